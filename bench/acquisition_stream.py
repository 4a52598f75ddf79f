"""How many samples a second the client of a sample stream takes, from a server that never has to wait for one."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from figure import Figure

from nixel.acquisition.adapters.scpi_daq import ScpiDaqAdapter
from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.wire import ChunkHeader, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["measure", "take"]

PROMISED = 125e6 / 8  # samples a second of two channels: the highest rate of a RedPitaya
CHUNK = 2**16
LONG, SHORT = 30.0, 1.0  # s


def serve(listener: socket.socket) -> None:
    """Send chunks as fast as they are taken; run in a process of its own."""
    print("ready", flush=True)
    with listener, listener.accept()[0] as connection, contextlib.suppress(OSError):
        connection.sendall(b"DATA 1\n")
        samples, first = bytes(4 * CHUNK), 0
        while True:
            connection.sendall(ChunkHeader(Status.OK, 2, first, CHUNK).pack() + samples)
            first += CHUNK


@contextlib.contextmanager
def _server() -> Iterator[tuple[str, str]]:
    """The addresses of a control connection that accepts everything and of such a data connection."""
    with socket.create_server(("127.0.0.1", 0)) as data, socket.create_server(("127.0.0.1", 0)) as control:
        process = subprocess.Popen(
            [sys.executable, __file__, str(data.fileno())],
            pass_fds=(data.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()

        def answer() -> None:
            with control.accept()[0] as connection, connection.makefile("rb") as lines:
                for _ in lines:
                    connection.sendall(b"0\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield tuple(f"127.0.0.1:{listener.getsockname()[1]}" for listener in (control, data))  # type: ignore[misc]
        finally:
            process.kill()
            process.communicate()


def take(seconds: float) -> dict[str, Any]:
    """Read a stream for a while.

    Returns
    -------
    dict
        ``samples``, of two channels each, and ``seconds``.
    """
    instrument = load_instrument("virtual-scanner")
    assert instrument.scanner is not None
    with _server() as (control, data):
        settings = instrument.devices["daq"].model_copy(update={"control": control, "data": data})
        daq = ScpiDaqAdapter(settings, instrument.scanner)
        daq.open()
        try:
            began, samples = time.monotonic(), 0
            for chunk in daq.stream(0, 2**50, CHUNK):
                samples += len(chunk.codes)
                if time.monotonic() - began > seconds:
                    break
            return {"samples": samples, "seconds": time.monotonic() - began}
        finally:
            daq.close()


def measure(long: bool) -> Figure:
    """Measure the client's sample rate."""
    found = take(LONG if long else SHORT)
    rate = found["samples"] / found["seconds"]
    return Figure(
        title="Samples that the client of a stream takes",
        bound=f"{PROMISED / 1e6:.3f} MS/s of two channels (62.5 MB/s), the highest rate of a RedPitaya",
        found=f"{rate / 1e6:.0f} MS/s of two channels ({4 * rate / 1e6:.0f} MB/s)",
        good=rate >= PROMISED,
        how=f"A process sends chunks of {CHUNK} samples over loopback as fast as they are taken, for "
        f"{found['seconds']:.0f} s; the DAQ's adapter reads them, checks every header and hands the samples on.",
        values={**found, "rate": rate},
    )


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))

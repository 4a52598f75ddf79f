"""``nixel-virtual-scanner``: the virtual MPI scanner, a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.acquisition.adapters.scpi_daq import ScpiDaq
from nixel.acquisition.adapters.scpi_robot import ScpiRobot
from nixel.acquisition.instrument import Instrument, InstrumentError, load_instrument
from nixel.acquisition.virtual.cabinet import Cabinet
from nixel.acquisition.virtual.duration import seconds
from nixel.acquisition.virtual.parent import end_with_parent
from nixel.acquisition.virtual.plant import Plant
from nixel.acquisition.virtual.server import Server, listen
from nixel.acquisition.virtual.surveillance import WATCHDOG_TIME

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

__all__ = ["main"]


def _keep_up() -> None:
    """Be as punctual as the hardware that this stands for: no long turns of a thread, priority where allowed."""
    sys.setswitchinterval(5e-4)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nixel-virtual-scanner", description=__doc__)
    parser.add_argument("--instrument", default="virtual-scanner", help="name or TOML file")
    parser.add_argument("--seed", type=int, default=0, help="of the noise, with the session's own")
    parser.add_argument("--control", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0: a free one")
    parser.add_argument("--data", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0: a free one")
    parser.add_argument(
        "--surveillance-link", type=Path, required=True, help="symbolic link to its serial line"
    )
    parser.add_argument(
        "--watchdog", type=seconds, default=WATCHDOG_TIME, metavar="TIME", help="of its unit, as '100 ms'"
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")
    return parser


def _fail(reason: str) -> int:
    print(f"nixel-virtual-scanner: {reason}", file=sys.stderr)
    return 2


def _devices(instrument: Instrument) -> tuple[ScpiDaq, ScpiRobot]:
    daqs = [device for device in instrument.devices.values() if isinstance(device, ScpiDaq)]
    robots = [device for device in instrument.devices.values() if isinstance(device, ScpiRobot)]
    if instrument.scanner is None or len(daqs) != 1 or len(robots) != 1:
        raise ValueError(f"instrument {instrument.name}: expected a scanner with one DAQ and one robot")
    if not instrument.simulated:
        raise ValueError(
            f"instrument {instrument.name} is a real one (simulated = false) and is not simulated"
        )
    return daqs[0], robots[0]


def _listen(address: str, option: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        return listen(host, int(port))
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"{option} {address}: {reason}. Choose another port, or port 0 for any free one"
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the virtual scanner until it is told to end.

    Prints one line of JSON when it is ready: its addresses, the surveillance line and its process.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line; `sys.argv` by default.

    Returns
    -------
    int
        Exit status: 0, or 2 for a fault of the command line or a port that is taken.
    """
    options = _parser().parse_args(arguments)
    _keep_up()
    stop = threading.Event()
    try:
        instrument = load_instrument(options.instrument)
        daq, robot = _devices(instrument)
        if options.seed < 0:
            raise ValueError(f"--seed {options.seed}: expected zero or more")
        control = _listen(options.control, "--control")
        data = _listen(options.data, "--data")
    except (InstrumentError, ValueError) as error:
        return _fail(str(error))
    assert instrument.scanner is not None
    plant = Plant(instrument.scanner, daq, robot, options.seed)
    try:
        cabinet = Cabinet(options.surveillance_link, plant.set_amplifier, options.watchdog)
    except OSError as error:
        return _fail(f"--surveillance-link {options.surveillance_link}: {error.strerror}")
    plant.cabinet = cabinet.transmit
    server = Server(plant, cabinet, instrument.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if options.exit_with_parent:
        end_with_parent(stop)
    threads = [
        threading.Thread(target=server.accept_control, args=(control,), daemon=True),
        threading.Thread(target=server.accept_data, args=(data,), daemon=True),
    ]
    for thread in threads:
        thread.start()
    ready = {
        "control": _address(control),
        "data": _address(data),
        "surveillance": str(options.surveillance_link),
        "pid": os.getpid(),
    }
    print(json.dumps(ready), flush=True)
    while not stop.wait(0.1):
        plant.check_transmit_time()
        cabinet.beat()
    control.close()
    data.close()
    cabinet.close()
    return 0


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{host}:{port}"


if __name__ == "__main__":
    sys.exit(main())

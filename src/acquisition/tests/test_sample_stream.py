"""The client of a sample stream against servers that misbehave: it says what is wrong, in time, and stays closed."""

import socket
import struct
import threading
import time

import numpy as np
import pytest

from nixel.acquisition.adapters.scpi_daq import ScpiDaqAdapter
from nixel.acquisition.devices import DeviceError
from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.wire import ChunkHeader, Status

CHANNELS, CHUNK = 2, 100


def header(first, samples=CHUNK, channels=CHANNELS, status=Status.OK, lost=0, overwritten=0):
    return ChunkHeader(status, channels, first, samples, lost, overwritten).pack()


def chunk(first, **values):
    samples, channels = values.get("samples", CHUNK), values.get("channels", CHANNELS)
    return header(first, **values) + np.full((samples, channels), first, dtype="<i2").tobytes()


class Server:
    """A control connection that accepts everything, and a data connection that plays a script."""

    def __init__(self, *script):
        self._script = script
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.control, self.data = (f"127.0.0.1:{s.getsockname()[1]}" for s in self._listeners)
        self._asked, self._ended = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=serve) for serve in (self._serve_control, self._serve_data)]
        for thread in self._threads:
            thread.start()

    def _serve_control(self):
        connection, _ = self._listeners[0].accept()
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                if b"PIPE" in line.upper():
                    self._asked.set()
                connection.sendall(b'-221,"as the script says"\n' if b"ERR" in line.upper() else b"0\n")

    def _serve_data(self):
        connection, _ = self._listeners[1].accept()
        with connection:
            connection.sendall(b"DATA 1\n")
            assert self._asked.wait(5)
            try:
                for part in self._script:
                    if callable(part):
                        part()
                    else:
                        connection.sendall(part)
            except OSError:
                return
            # What the script leaves open stays so until the test ends.
            if not (self._script and self._script[-1] is closes):
                self._ended.wait(10)

    def close(self):
        self._ended.set()
        self._asked.set()
        for listener in self._listeners:
            listener.close()
        for thread in self._threads:
            thread.join(10)


def closes():
    """As the last part of a script: the server closes the connection."""


@pytest.fixture
def daq():
    """Make a DAQ whose server plays a script; its timeout is half a second."""
    made = []

    def make(*script):
        server = Server(*script)
        instrument = load_instrument("virtual-scanner")
        settings = instrument.devices["daq"].model_copy(
            update={"control": server.control, "data": server.data, "timeout": 0.5}
        )
        adapter = ScpiDaqAdapter(settings, instrument.scanner)
        adapter.open()
        made.append((adapter, server))
        return adapter

    yield make
    for adapter, server in made:
        adapter.close()
        server.close()


def read(adapter, count=3 * CHUNK):
    return list(adapter.stream(0, count, CHUNK))


def test_a_stream_that_is_right_is_given_whole(daq):
    adapter = daq(chunk(0), chunk(CHUNK, lost=2), chunk(2 * CHUNK, lost=2, overwritten=1, status=Status.LAST))
    parts = read(adapter)
    assert [part.first for part in parts] == [0, CHUNK, 2 * CHUNK]
    assert [(part.lost, part.overwritten) for part in parts] == [(0, 0), (2, 0), (2, 1)]
    assert [int(part.codes.mean()) for part in parts] == [0, CHUNK, 2 * CHUNK]


def test_pieces_of_any_size_are_put_together(daq):
    data = chunk(0) + chunk(CHUNK) + chunk(2 * CHUNK)
    assert len(read(daq(*(data[n : n + 7] for n in range(0, len(data), 7))))) == 3


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4], "a chunk header beginning with"),
        ([b"\0" * 64], "a chunk header beginning with"),
        ([chunk(0), b"NXS2" + header(CHUNK)[4:]], "a chunk header beginning with"),
        ([chunk(0, channels=3)], "100 samples of 2 channels from index 0, found 100 samples of 3 channels"),
        ([chunk(0, samples=99)], "found 99 samples"),
        ([header(0, samples=2**31)], "found 2147483648 samples"),
        ([chunk(CHUNK)], "from index 0, found 100 samples of 2 channels from index 100"),
        ([chunk(0), chunk(0)], "from index 100, found"),
        ([chunk(0, lost=5), chunk(CHUNK, lost=4)], "counters of at least 5 lost"),
        ([chunk(0), chunk(CHUNK)[:-1], closes], "found 399 bytes, then the connection was closed"),
        ([header(0)[:10], closes], "found 10 bytes, then the connection was closed"),
        ([chunk(0), closes], "found 0 bytes, then the connection was closed"),
        ([chunk(0)], "found 0 bytes, then silence"),
        ([header(0), b"abc"], "found 3 bytes, then silence"),
        ([header(0, samples=0, status=Status.ENDED)], "the transmission to last, found -221"),
    ],
)
def test_a_stream_that_is_wrong_is_said_to_be(daq, script, words):
    adapter = daq(*script)
    began = time.monotonic()
    with pytest.raises(DeviceError) as caught:
        read(adapter)
    assert words in str(caught.value)
    assert time.monotonic() - began < 5
    if "to last" not in words:
        # What is left on the wire is never taken for another stream.
        with pytest.raises(DeviceError, match="expected an open connection, found a closed one"):
            read(adapter)


def test_a_server_that_drips_has_stalled(daq):
    """Half a second is for the whole header, not for each of its bytes."""

    def pause():
        time.sleep(0.1)

    data = header(0)
    adapter = daq(*(part for n in range(len(data)) for part in (data[n : n + 1], pause)))
    began = time.monotonic()
    with pytest.raises(DeviceError, match="then silence"):
        read(adapter)
    assert time.monotonic() - began < 2.5


def test_a_stream_that_is_left_is_closed(daq):
    adapter = daq(chunk(0), chunk(CHUNK), chunk(2 * CHUNK))
    stream = adapter.stream(0, 3 * CHUNK, CHUNK)
    next(stream)
    stream.close()
    with pytest.raises(DeviceError, match="found a closed one"):
        read(adapter)


def test_every_unknown_header_is_refused(daq):
    wrong = struct.pack("<4sHHQIIIi", b"NXS1", 0x4000, CHANNELS, 0, CHUNK, 0, 0, 0)
    with pytest.raises(DeviceError, match="status"):
        read(daq(wrong))


def test_a_slow_reader_is_told_what_was_overwritten(scanner):
    adapter = ScpiDaqAdapter(scanner.instrument.devices["daq"], scanner.instrument.scanner)
    adapter.open()
    try:
        adapter.start()
        adapter.control.command("SIMulation:BUFFer 65536")
        assert adapter.control.query("RP:ADC:BUFfer:Size?") == "65536"
        overwritten = 0
        # 26 ms of buffer, and a reader that stops for as long as the machine's own buffers last and more.
        for number, part in enumerate(adapter.stream(0, 2**24, 2**16)):
            overwritten = part.overwritten
            if number < 3:
                time.sleep(1.0)
            if overwritten:
                break
        assert overwritten > 0
        assert overwritten % 2**16 == 0
    finally:
        adapter.close()
        adapter.open()
        adapter.control.command("SIMulation:BUFFer 33554432")
        adapter.close()


def test_a_reader_that_keeps_up_loses_nothing(scanner):
    adapter = ScpiDaqAdapter(scanner.instrument.devices["daq"], scanner.instrument.scanner)
    adapter.open()
    try:
        adapter.start()
        samples = 0
        for part in adapter.stream(0, 2**22, 2**16):
            assert (part.lost, part.overwritten) == (0, 0)
            samples += len(part.codes)
        assert samples == 2**22
    finally:
        adapter.close()


@pytest.mark.parametrize(
    ("says", "found"), [(b"", r"none within 0\.2 s"), (b"HELLO\n", "'HELLO'")], ids=["nothing", "another"]
)
def test_a_server_of_another_dialect_is_told_what_it_lacks(says, found):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    control, data = (f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners)
    held = []

    def serve():
        connection, _ = listeners[0].accept()
        held.append(connection)
        connection.recv(100)
        connection.sendall(b"CUSTOM,REDPITAYA,0,0.1\n")
        held.append(listeners[1].accept()[0])
        held[-1].sendall(says)

    thread = threading.Thread(target=serve)
    thread.start()
    instrument = load_instrument("virtual-scanner")
    settings = instrument.devices["daq"].model_copy(update={"control": control, "data": data, "timeout": 0.2})
    with pytest.raises(DeviceError, match=rf"{found}.*REDPITAYA.*docs/daq\.md"):
        ScpiDaqAdapter(settings, instrument.scanner).open()
    thread.join(10)
    for part in (*held, *listeners):
        part.close()

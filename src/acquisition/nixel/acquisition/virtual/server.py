"""The virtual scanner's connections: SCPI control and sample streams."""

from __future__ import annotations

import itertools
import select
import socket
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from nixel.acquisition.virtual.generator_commands import generator_commands
from nixel.acquisition.virtual.parameters import integer, number, on_off, one, pair, query
from nixel.acquisition.virtual.scpi import Interpreter, ScpiError
from nixel.acquisition.virtual.signal import (
    REFERENCE_VOLTS_PER_CODE,
    VOLTS_PER_CODE,
    Delta,
    Empty,
    NamedPhantom,
    Sample,
)
from nixel.acquisition.wire import ChunkHeader, Status
from nixel.physics.phantoms import PHANTOMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.acquisition.virtual.cabinet import Cabinet
    from nixel.acquisition.virtual.plant import Plant
    from nixel.acquisition.virtual.scpi import Handler

__all__ = ["Server", "listen"]

_ADC_CLOCK = 125e6  # Hz, as on a RedPitaya
_RECEIVE_TIMEOUT = 5.0  # s, for what a client announced
_SEND_TIMEOUT = 30.0  # s: a client that reads nothing for this long is gone
_AHEAD = 2e-3  # s that the stream may run ahead of the converter's rate


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes a free one.

    Raises
    ------
    OSError
        The address is taken or not this machine's.
    """
    return socket.create_server((host, port), backlog=8)


class Server:
    """Accepts control and data connections for one plant.

    Parameters
    ----------
    plant : Plant
    cabinet : Cabinet
    name : str
        The instrument's name, for ``*IDN?``.
    """

    def __init__(self, plant: Plant, cabinet: Cabinet, name: str) -> None:
        self.plant, self.cabinet, self.name = plant, cabinet, name
        self._data: dict[int, socket.socket] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def accept_control(self, listener: socket.socket) -> None:
        """Serve control connections until the listener is closed."""
        self._accept(listener, lambda connection: _Control(self, connection).serve())

    def accept_data(self, listener: socket.socket) -> None:
        """Greet data connections until the listener is closed."""
        self._accept(listener, self._greet)

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def _greet(self, connection: socket.socket) -> None:
        with self._lock:
            number = next(self._numbers)
            self._data[number] = connection
        with closing(connection), suppress(OSError):
            connection.settimeout(None)
            connection.sendall(f"DATA {number}\n".encode())
            # What a client sends here (the tables of a sequence) is the control connection's to read.
            end = select.poll()
            end.register(connection, select.POLLRDHUP)
            end.poll()
        with self._lock:
            del self._data[number]

    def data_connection(self, number: int) -> socket.socket:
        """Return the data connection of that number."""
        with self._lock:
            if number not in self._data:
                raise ScpiError(-224, f"there is no data connection {number}")
            return self._data[number]


class _Control:
    """One control connection: its commands and the stream it asked for."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self._server, self._plant, self._connection = server, server.plant, connection
        self._data: socket.socket | None = None
        self._stream: threading.Thread | None = None
        self._channels = tuple(range(server.plant.scanner.receive_channels))
        self._interpreter = Interpreter(self._commands())

    def serve(self) -> None:
        """Answer line by line until the client leaves."""
        try:
            with closing(self._connection), self._connection.makefile("rb") as lines, suppress(OSError):
                while line := lines.readline(4096):
                    answer = self._interpreter.answer(line.decode("ascii", "replace").strip())
                    self._connection.sendall(answer.encode("ascii", "replace") + b"\n")
        finally:
            self._plant.release(self)

    def _commands(self) -> dict[str, Handler]:
        plant, scanner = self._plant, self._plant.scanner
        decimation = _ADC_CLOCK / scanner.base_frequency
        return {
            "*IDN?": query(lambda _n: f"nixel,virtual-scanner,{self._server.name},1"),
            "SYSTem:TIME?": query(lambda _n: plant.time().strftime("%Y-%m-%dT%H:%M:%S.%f")),
            "RP:ADC:DECimation?": query(lambda _n: f"{decimation:g}"),
            "RP:ADC:DECimation": self._set_decimation,
            "RP:ADC:CHannel:COUNt?": query(lambda _n: str(plant.adc_channels)),
            "RP:ADC:CHannel:SELect?": query(lambda _n: ",".join(map(str, self._channels))),
            "RP:ADC:CHannel:SELect": self._select,
            "RP:ADC:BUFfer:Size?": query(lambda _n: str(plant.buffer)),
            "RP:ADC:SAMPlesperperiod?": query(lambda _n: str(scanner.samples_per_period)),
            "RP:CALib:ADC:CHannel#:SCAle?": query(self._scale),
            "RP:CALib:ADC:CHannel#:OFFset?": query(lambda n: self._adc(n[0], "0.0")),
            **generator_commands(plant, self, self._receive_bytes),
            "RP:ADC:ACQ:STATus?": query(lambda _n: str(int(plant.acquiring))),
            "RP:ADC:ACQ:STATus": lambda _n, p: plant.acquire(on_off(p), self),
            "RP:TRansmit:READy?": query(self._ready),
            "RP:TRansmit?": query(lambda _n: str(int(plant.transmitting))),
            "RP:TRansmit": self._transmit,
            "RP:ADC:WP?": query(lambda _n: str(plant.write_pointer())),
            "RP:ADC:DATa:CONNection": self._connect_data,
            "RP:ADC:DATa:PIPElined?": self._start_stream,
            "ROBot:MOVe": lambda _n, p: plant.move(pair(p), self),
            "ENVironment?": query(lambda _n: "{:.3f},{:.2f}".format(*plant.climate())),
            "ROBot:POSition?": query(lambda _n: ",".join(map(repr, plant.position))),
            "SIMulation:SAMPle?": query(lambda _n: str(plant.sample)),
            "SIMulation:SAMPle": lambda _n, p: plant.exchange(_sample(p), self),
            "SIMulation:ESTOP?": query(lambda _n: str(int(not self._server.cabinet.chain_closed))),
            "SIMulation:ESTOP": lambda _n, p: self._server.cabinet.set_emergency_stop(on_off(p)),
            "SIMulation:TEMPerature": self._set_temperature,
            "SIMulation:SENSor": self._set_sensor,
            "SIMulation:CONTact": self._set_contact,
            "SIMulation:COOLant": lambda _n, p: self._server.cabinet.set_coolant(on_off(p)),
            "SIMulation:HEARtbeat": lambda _n, p: self._server.cabinet.set_heartbeat(on_off(p)),
            "SIMulation:SEED": lambda _n, p: plant.begin_session(integer(p, 0, 0, 2**63 - 1)),
            "SIMulation:REFerence": self._set_reference,
            "SIMulation:BUFFer": lambda _n, p: setattr(plant, "buffer", integer(p, 0, 1, 2**31)),
            "SIMulation:LOSE": lambda _n, p: plant.lose(integer(p, 0, 0, 2**31)),
        }

    def _adc(self, channel: int, answer: str) -> str:
        self._plant.check_channel(channel, self._plant.adc_channels)
        return answer

    def _scale(self, numbers: list[int]) -> str:
        receives = numbers[0] < self._plant.scanner.receive_channels
        return self._adc(numbers[0], repr(VOLTS_PER_CODE if receives else REFERENCE_VOLTS_PER_CODE))

    def _select(self, _numbers: list[int], parameters: list[str]) -> None:
        count = max(1, len(parameters))
        channels = tuple(
            integer(parameters, place, 0, self._plant.adc_channels - 1, count) for place in range(count)
        )
        if len(set(channels)) != count:
            raise ScpiError(-222, f"expected each channel once, found {','.join(parameters)}")
        self._channels = channels

    def _set_reference(self, _numbers: list[int], parameters: list[str]) -> None:
        channel = integer(parameters, 0, 0, len(self._plant.chain.faults) - 1, 2)
        self._plant.chain.faults[channel] = number(parameters, 1, 2)

    def _receive_bytes(self, size: int) -> bytes:
        """Take bytes that the client sends on its data connection."""
        if self._data is None:
            raise ScpiError(-221, "no data connection was named (RP:ADC:DATa:CONNection)")
        if self._streaming():
            raise ScpiError(-221, "a transfer is under way")
        received = b""
        with suppress(OSError):
            self._data.settimeout(_RECEIVE_TIMEOUT)
            while len(received) < size and (part := self._data.recv(size - len(received))):
                received += part
        if len(received) < size:
            raise ScpiError(-221, f"expected {size} bytes on the data connection, found {len(received)}")
        return received

    def _set_decimation(self, _numbers: list[int], parameters: list[str]) -> None:
        expected = _ADC_CLOCK / self._plant.scanner.base_frequency
        if integer(parameters, 0, 1, 2**31) != expected:
            raise ScpiError(
                -222, f"this scanner samples with the decimation {expected:g}, found {parameters[0]}"
            )

    def _ready(self, _numbers: list[int]) -> str:
        self._server.cabinet.settle()
        return str(int(self._plant.ready))

    def _transmit(self, _numbers: list[int], parameters: list[str]) -> None:
        on = on_off(parameters)
        if on:
            self._server.cabinet.settle()
        self._plant.transmit(on, self)

    def _set_temperature(self, _numbers: list[int], parameters: list[str]) -> None:
        self._server.cabinet.set_temperature(number(parameters))

    def _set_sensor(self, _numbers: list[int], parameters: list[str]) -> None:
        name, fault = (one(parameters, place, 2).lower() for place in range(2))
        try:
            self._server.cabinet.set_fault(name, fault)
        except ValueError as error:
            raise ScpiError(-224, str(error)) from error

    def _set_contact(self, _numbers: list[int], parameters: list[str]) -> None:
        name, closed = one(parameters, 0, 2).lower(), on_off([one(parameters, 1, 2)])
        try:
            self._server.cabinet.set_contact(name, closed)
        except ValueError as error:
            raise ScpiError(-224, str(error)) from error

    # The stream.

    def _connect_data(self, _numbers: list[int], parameters: list[str]) -> None:
        self._data = self._server.data_connection(integer(parameters, 0, 0, 2**31))

    def _start_stream(self, _numbers: list[int], parameters: list[str]) -> str:
        start, count, chunk = (integer(parameters, place, 0, 2**62, 3) for place in range(3))
        if self._data is None:
            raise ScpiError(-221, "no data connection was named (RP:ADC:DATa:CONNection)")
        if self._streaming():
            raise ScpiError(-221, "a transfer is under way")
        self._plant.check_request(start, count, chunk, self)
        self._stream = threading.Thread(
            target=self._send, args=(self._data, start, count, chunk, self._channels), daemon=True
        )
        self._stream.start()
        return "0"

    def _streaming(self) -> bool:
        if self._stream is not None and self._stream.is_alive():
            # Its last bytes are out, as the client knows, but the thread may still be ending.
            self._stream.join(0.5)
        return self._stream is not None and self._stream.is_alive()

    def _send(
        self, data: socket.socket, start: int, count: int, chunk: int, channels: tuple[int, ...]
    ) -> None:
        plant, rate = self._plant, self._plant.scanner.base_frequency
        transmitting = plant.transmitting
        began, end = time.monotonic(), start + count
        computing = 0.0  # s that went into the simulation, which a converter would not need
        with suppress(OSError):
            data.settimeout(_SEND_TIMEOUT)
            while start < end:
                size, due = min(chunk, end - start), began + (start - (end - count)) / rate
                before = time.monotonic()
                if before - computing - due > plant.buffer / rate:
                    plant.overwrite(
                        size
                    )  # the client reads too slowly: the converter has gone round the buffer
                block = plant.read(start, size, transmitting, channels)
                computing += time.monotonic() - before
                if block.ended is None:
                    self._pace(due + size / rate, transmitting)
                status = Status.OVERLOAD if block.overload else Status.OK
                if block.ended is not None:
                    status |= Status.ENDED
                elif start + size == end:
                    status |= Status.LAST
                samples = len(block.codes)
                error = block.ended.code if block.ended else 0
                header = ChunkHeader(
                    status, len(channels), start, samples, block.lost, block.overwritten, error
                )
                if block.ended is not None:
                    self._interpreter.note(block.ended)  # before the client can ask for it
                data.sendall(header.pack() + block.codes.astype("<i2", copy=False).tobytes())
                if block.ended is not None:
                    return
                start += samples

    def _pace(self, due: float, transmitting: bool) -> None:
        """Wait until the converter would have taken the samples; a transmission that ends ends the wait."""
        with self._plant.changed:
            while (wait := due - time.monotonic()) > _AHEAD and self._plant.transmitting == transmitting:
                self._plant.changed.wait(wait)


def _sample(parameters: list[str]) -> Sample:
    kind, _, rest = ",".join(parameters).partition(" ")
    if kind.upper() == "EMPTY" and not rest:
        return Empty()
    if kind.upper() == "PHANTOM" and rest in PHANTOMS:
        return NamedPhantom(rest)
    if kind.upper() == "DELTA":
        width, height, thickness = (number(rest.split(","), place, 3) for place in range(3))
        if min(width, height, thickness) > 0:
            return Delta((width, height, thickness))
    names = ", ".join(f"PHANTOM {name}" for name in PHANTOMS)
    raise ScpiError(-224, f"expected EMPTY, {names} or DELTA x,y,z (m), found {','.join(parameters)!r}")

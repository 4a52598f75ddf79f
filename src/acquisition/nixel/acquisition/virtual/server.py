"""The virtual scanner's connections: SCPI control and sample streams."""

from __future__ import annotations

import itertools
import math
import socket
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from nixel.acquisition.virtual.scpi import Interpreter, ScpiError
from nixel.acquisition.virtual.signal import VOLTS_PER_CODE, Delta, Empty, NamedPhantom, Sample
from nixel.acquisition.wire import ChunkHeader, Status
from nixel.physics.phantoms import PHANTOMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.acquisition.virtual.cabinet import Cabinet
    from nixel.acquisition.virtual.plant import Plant
    from nixel.acquisition.virtual.scpi import Handler

__all__ = ["Server", "listen"]

_ADC_CLOCK = 125e6  # Hz, as on a RedPitaya
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
            # Clients say nothing here: data means the end of the connection or of the client's sanity.
            connection.recv(1)
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
            "*IDN?": _query(lambda _n: f"nixel,virtual-scanner,{self._server.name},1"),
            "SYSTem:TIME?": _query(lambda _n: plant.time().strftime("%Y-%m-%dT%H:%M:%S.%f")),
            "RP:ADC:DECimation?": _query(lambda _n: f"{decimation:g}"),
            "RP:ADC:DECimation": self._set_decimation,
            "RP:ADC:CHannel:COUNt?": _query(lambda _n: str(scanner.receive_channels)),
            "RP:ADC:SAMPlesperperiod?": _query(lambda _n: str(scanner.samples_per_period)),
            "RP:CALib:ADC:CHannel#:SCAle?": _query(lambda n: self._receive(n[0], repr(VOLTS_PER_CODE))),
            "RP:CALib:ADC:CHannel#:OFFset?": _query(lambda n: self._receive(n[0], "0.0")),
            "RP:DAC:CHannel#:COMPonent#:AMPlitude?": _query(lambda n: repr(plant.volts(_first(n)))),
            "RP:DAC:CHannel#:COMPonent#:AMPlitude": lambda n, p: plant.set_volts(_first(n), _number(p), self),
            "RP:DAC:CHannel#:COMPonent#:DIVider?": _query(lambda n: str(self._divider(n))),
            "RP:DAC:CHannel#:COMPonent#:DIVider": self._set_divider,
            "RP:DAC:CHannel#:COMPonent#:FREQuency?": _query(
                lambda n: repr(scanner.base_frequency / self._divider(n))
            ),
            "RP:DAC:CHannel#:COMPonent#:PHAse?": _query(lambda n: f"{0 * self._divider(n)}"),
            "RP:ADC:ACQ:STATus?": _query(lambda _n: str(int(plant.acquiring))),
            "RP:ADC:ACQ:STATus": lambda _n, p: plant.acquire(_on_off(p), self),
            "RP:TRansmit:READy?": _query(lambda _n: str(int(plant.ready))),
            "RP:TRansmit?": _query(lambda _n: str(int(plant.transmitting))),
            "RP:TRansmit": lambda _n, p: plant.transmit(_on_off(p), self),
            "RP:ADC:WP?": _query(lambda _n: str(plant.write_pointer())),
            "RP:ADC:DATa:CONNection": self._connect_data,
            "RP:ADC:DATa:PIPElined?": self._start_stream,
            "ROBot:MOVe": lambda _n, p: plant.move(_pair(p), self),
            "ROBot:POSition?": _query(lambda _n: ",".join(map(repr, plant.position))),
            "SIMulation:SAMPle?": _query(lambda _n: str(plant.sample)),
            "SIMulation:SAMPle": lambda _n, p: plant.exchange(_sample(p), self),
            "SIMulation:ESTOP?": _query(lambda _n: str(int(not self._server.cabinet.chain_closed))),
            "SIMulation:ESTOP": lambda _n, p: self._server.cabinet.set_emergency_stop(_on_off(p)),
            "SIMulation:TEMPerature": self._set_temperature,
            "SIMulation:SENSor": self._set_sensor,
            "SIMulation:CONTact": self._set_contact,
            "SIMulation:COOLant": lambda _n, p: self._server.cabinet.set_coolant(_on_off(p)),
            "SIMulation:HEARtbeat": lambda _n, p: self._server.cabinet.set_heartbeat(_on_off(p)),
            "SIMulation:SEED": lambda _n, p: plant.begin_session(_integer(p, 0, 0, 2**63 - 1)),
            "SIMulation:LOSE": lambda _n, p: plant.lose(_integer(p, 0, 0, 2**31)),
        }

    def _receive(self, channel: int, answer: str) -> str:
        self._plant.check_channel(channel, self._plant.scanner.receive_channels)
        return answer

    def _divider(self, numbers: list[int]) -> int:
        dividers = self._plant.scanner.dividers
        return dividers[self._plant.check_channel(_first(numbers), len(dividers))]

    def _frequency(self, numbers: list[int]) -> str:
        return repr(self._plant.scanner.base_frequency / self._divider(numbers))

    def _set_divider(self, numbers: list[int], parameters: list[str]) -> None:
        expected = self._divider(numbers)
        if _integer(parameters, 0, 0, 2**31) != expected:
            raise ScpiError(
                -222, f"this scanner's filters are for the divider {expected}, found {parameters[0]}"
            )

    def _set_decimation(self, _numbers: list[int], parameters: list[str]) -> None:
        expected = _ADC_CLOCK / self._plant.scanner.base_frequency
        if _integer(parameters, 0, 1, 2**31) != expected:
            raise ScpiError(
                -222, f"this scanner samples with the decimation {expected:g}, found {parameters[0]}"
            )

    def _set_temperature(self, _numbers: list[int], parameters: list[str]) -> None:
        self._server.cabinet.set_temperature(_number(parameters))

    def _set_sensor(self, _numbers: list[int], parameters: list[str]) -> None:
        name, fault = (_one(parameters, place, 2).lower() for place in range(2))
        try:
            self._server.cabinet.set_fault(name, fault)
        except ValueError as error:
            raise ScpiError(-224, str(error)) from error

    def _set_contact(self, _numbers: list[int], parameters: list[str]) -> None:
        name, closed = _one(parameters, 0, 2).lower(), _on_off([_one(parameters, 1, 2)])
        try:
            self._server.cabinet.set_contact(name, closed)
        except ValueError as error:
            raise ScpiError(-224, str(error)) from error

    # The stream.

    def _connect_data(self, _numbers: list[int], parameters: list[str]) -> None:
        self._data = self._server.data_connection(_integer(parameters, 0, 0, 2**31))

    def _start_stream(self, _numbers: list[int], parameters: list[str]) -> str:
        start, count, chunk = (_integer(parameters, place, 0, 2**62, 3) for place in range(3))
        if self._data is None:
            raise ScpiError(-221, "no data connection was named (RP:ADC:DATa:CONNection)")
        if self._stream is not None and self._stream.is_alive():
            # Its last bytes are out, as the client knows, but the thread may still be ending.
            self._stream.join(0.5)
            if self._stream.is_alive():
                raise ScpiError(-221, "a transfer is under way")
        self._plant.check_request(start, count, chunk, self)
        self._stream = threading.Thread(
            target=self._send, args=(self._data, start, count, chunk), daemon=True
        )
        self._stream.start()
        return "0"

    def _send(self, data: socket.socket, start: int, count: int, chunk: int) -> None:
        plant = self._plant
        transmitting = plant.transmitting
        began, end = time.monotonic(), start + count
        with suppress(OSError):
            data.settimeout(_SEND_TIMEOUT)
            while start < end:
                size = min(chunk, end - start)
                block = plant.read(start, size, transmitting)
                if block.ended is None:
                    self._pace(
                        began + (start + size - (end - count)) / plant.scanner.base_frequency, transmitting
                    )
                status = Status.OVERLOAD if block.overload else Status.OK
                if block.ended is not None:
                    status |= Status.ENDED
                elif start + size == end:
                    status |= Status.LAST
                samples, channels = block.codes.shape
                error = block.ended.code if block.ended else 0
                header = ChunkHeader(status, channels, start, samples, block.lost, 0, error)
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


def _query(answer: Callable[[list[int]], str]) -> Handler:
    def handle(numbers: list[int], parameters: list[str]) -> str:
        if parameters:
            raise ScpiError(-108, f"expected none, found {','.join(parameters)!r}")
        return answer(numbers)

    return handle


def _one(parameters: list[str], place: int = 0, expected: int = 1) -> str:
    if len(parameters) != expected:
        code = -109 if len(parameters) < expected else -108
        raise ScpiError(code, f"expected {expected}, found {len(parameters)}")
    return parameters[place]


def _number(parameters: list[str], place: int = 0, expected: int = 1) -> float:
    text = _one(parameters, place, expected)
    try:
        value = float(text)
    except ValueError:
        raise ScpiError(-104, f"expected a number, found {text!r}") from None
    if not math.isfinite(value):
        raise ScpiError(-222, f"expected a finite number, found {text!r}")
    return value


def _integer(parameters: list[str], place: int, low: int, high: int, expected: int = 1) -> int:
    text = _one(parameters, place, expected)
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
        raise ScpiError(-104, f"expected an integer, found {text!r}")
    if not low <= int(text) <= high:
        raise ScpiError(-222, f"expected {low} to {high}, found {text}")
    return int(text)


def _on_off(parameters: list[str]) -> bool:
    states = {"ON": True, "1": True, "OFF": False, "0": False}
    text = _one(parameters).upper()
    if text not in states:
        raise ScpiError(-224, f"expected ON or OFF, found {text!r}")
    return states[text]


def _pair(parameters: list[str]) -> tuple[float, float]:
    return _number(parameters, 0, 2), _number(parameters, 1, 2)


def _first(numbers: list[int]) -> int:
    channel, component = numbers
    if component != 0:
        raise ScpiError(-222, f"expected component 0, found {component}")
    return channel


def _sample(parameters: list[str]) -> Sample:
    kind, _, rest = ",".join(parameters).partition(" ")
    if kind.upper() == "EMPTY" and not rest:
        return Empty()
    if kind.upper() == "PHANTOM" and rest in PHANTOMS:
        return NamedPhantom(rest)
    if kind.upper() == "DELTA":
        width, height, thickness = (_number(rest.split(","), place, 3) for place in range(3))
        if min(width, height, thickness) > 0:
            return Delta((width, height, thickness))
    names = ", ".join(f"PHANTOM {name}" for name in PHANTOMS)
    raise ScpiError(-224, f"expected EMPTY, {names} or DELTA x,y,z (m), found {','.join(parameters)!r}")

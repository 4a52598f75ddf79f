"""Data acquisition in the RedPitayaDAQServer's manner: SCPI control, samples on a connection of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.adapters.scpi import ScpiConnection, connect
from nixel.acquisition.devices import Chunk, DeviceError
from nixel.acquisition.wire import HEADER_SIZE, ChunkHeader, Status, WireError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nixel.acquisition.instrument import Scanner, ScpiDaq

__all__ = ["ScpiDaqAdapter"]

_ADC_CLOCK = 125e6  # Hz
_AMPLITUDE_TOLERANCE = 1e-6  # V, of what is read back


class ScpiDaqAdapter:
    """The DAQ of an MPI scanner.

    Parameters
    ----------
    device : ScpiDaq
    scanner : Scanner
    name : str
        The device's name in the instrument.
    """

    def __init__(self, device: ScpiDaq, scanner: Scanner, name: str = "daq") -> None:
        self._device, self._scanner = device, scanner
        self.control = ScpiConnection(device.control, device.timeout, name)
        self._where = f"{name} at {device.data}"
        self._data: socket.socket | None = None

    def open(self) -> None:
        """Connect control and data.

        Raises
        ------
        DeviceError
            Either cannot be reached.
        """
        self.control.open()
        try:
            self._data = connect(self._device.data, self._device.timeout, self._where)
            greeting = self._receive_line()
            word, _, number = greeting.partition(" ")
            if word != "DATA" or not number.isdigit():
                raise self._error("connecting", "the greeting DATA <number>", repr(greeting))
            self.control.command(f"RP:ADC:DATa:CONNection {number}")
        except DeviceError:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect; the server ends what this connection left running."""
        if self._data is not None:
            self._data.close()
            self._data = None
        self.control.close()

    def clock(self) -> datetime:
        """Return the instrument's clock, in UTC."""
        text = self.control.query("SYSTem:TIME?")
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            expected = "a time such as 2000-01-01T00:00:00.000000"
            raise self._error("SYSTem:TIME?", expected, repr(text)) from None

    def conversion(self) -> NDArray[np.float64]:
        """Return scale (V per code) and offset (V) of each receive channel, shape (channels, 2)."""
        keys = ("SCAle", "OFFset")
        channels = range(self._scanner.receive_channels)
        return np.array(
            [[self.control.number(f"RP:CALib:ADC:CHannel{c}:{key}?") for key in keys] for c in channels]
        )

    def configure(self) -> None:
        """Set sampling and drive field as the instrument says, and read them back.

        Raises
        ------
        DeviceError
            The device refuses, or says other values afterwards.
        """
        decimation = _ADC_CLOCK / self._scanner.base_frequency
        if not decimation.is_integer():
            raise self._error(
                "setting the sampling rate",
                "125 MHz divided by an integer",
                f"a base_frequency of {self._scanner.base_frequency:g} Hz",
            )
        self.control.command(f"RP:ADC:DECimation {decimation:.0f}")
        factors = self._device.drive_field_per_volt
        axes = zip(self._scanner.dividers, self._scanner.drive_field, factors, strict=True)
        for channel, (divider, field, factor) in enumerate(axes):
            component = f"RP:DAC:CHannel{channel}:COMPonent0"
            self.control.command(f"{component}:DIVider {divider}")
            self.control.command(f"{component}:AMPlitude {field / factor!r}")
            amplitude = self.control.number(f"{component}:AMPlitude?")
            if abs(amplitude - field / factor) > _AMPLITUDE_TOLERANCE:
                raise self._error(f"{component}:AMPlitude", f"{field / factor:g} V", f"{amplitude:g} V")

    def start(self) -> None:
        """Start an acquisition: the next sample's index is 0."""
        self.control.command("RP:ADC:ACQ:STATus ON")

    def stop(self) -> None:
        """End the transmission and the acquisition."""
        self.control.command("RP:TRansmit OFF")
        self.control.command("RP:ADC:ACQ:STATus OFF")

    def ready(self) -> bool:
        """Whether the amplifier is on, so that the drive field can be."""
        return self.control.number("RP:TRansmit:READy?") != 0.0

    def transmit(self, on: bool) -> None:
        """Switch the drive field.

        Raises
        ------
        DeviceError
            The amplifier is off, or another connection owns the scanner.
        """
        self.control.command(f"RP:TRansmit {'ON' if on else 'OFF'}")

    def write_pointer(self) -> int:
        """Return the index of the next sample."""
        return int(self.control.number("RP:ADC:WP?"))

    def stream(self, first: int, count: int, chunk: int) -> Iterator[Chunk]:
        """Give samples as they come.

        Parameters
        ----------
        first : int
            Index of the first sample since the acquisition's start.
        count, chunk : int
            Samples in all and at a time.

        Yields
        ------
        Chunk

        Raises
        ------
        DeviceError
            The transmission ended, the connection broke, or other samples came than were asked for.
        """
        self.control.command(f"RP:ADC:DATa:PIPElined? {first},{count},{chunk}")
        # A chunk takes its own duration, and may be followed by the device's timeout.
        if self._data is None:
            raise self._error("reading samples", "an open connection", "a closed one")
        self._data.settimeout(self._device.timeout + chunk / self._scanner.base_frequency)
        end = first + count
        while first < end:
            header = self._header()
            if header.status & Status.ENDED:
                raise self._error("reading samples", "the transmission to last", self.control.last_error())
            expected = min(chunk, end - first)
            if (header.first, header.samples, header.channels) != (
                first,
                expected,
                self._scanner.receive_channels,
            ):
                raise self._error(
                    "reading samples",
                    f"{expected} samples of {self._scanner.receive_channels} channels from index {first}",
                    f"{header.samples} samples of {header.channels} channels from index {header.first}",
                )
            codes = np.frombuffer(self._receive(header.payload), dtype="<i2")
            yield Chunk(
                first,
                codes.reshape(header.samples, header.channels),
                header.lost,
                header.overwritten,
                bool(header.status & Status.OVERLOAD),
            )
            first += header.samples

    def _header(self) -> ChunkHeader:
        try:
            return ChunkHeader.unpack(self._receive(HEADER_SIZE))
        except WireError as error:
            raise self._error("reading samples", "a chunk header", str(error)) from error

    def _receive(self, size: int) -> bytes:
        if self._data is None:
            raise self._error("reading samples", "an open connection", "a closed one")
        buffer = bytearray(size)
        view, received = memoryview(buffer), 0
        try:
            while received < size:
                part = self._data.recv_into(view[received:])
                if part == 0:
                    raise ConnectionResetError("the connection was closed")
                received += part
        except OSError as error:
            found = "silence" if isinstance(error, TimeoutError) else error.strerror or str(error)
            found = f"{received} bytes, then {found}"
            raise self._error("reading samples", f"{size} bytes", found) from error
        return bytes(buffer)

    def _receive_line(self) -> str:
        line = b""
        while not line.endswith(b"\n") and len(line) < 64:
            line += self._receive(1)
        return line.decode("ascii", "replace").strip()

    def _error(self, what: str, expected: str, found: str) -> DeviceError:
        remedy = "Check the device and its connection, then start anew."
        return DeviceError(what, where=self._where, expected=expected, found=found, remedy=remedy)

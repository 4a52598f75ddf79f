"""Data acquisition in the RedPitayaDAQServer's manner: SCPI control, samples on a connection of their own."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.adapters.scpi import ScpiConnection
from nixel.acquisition.adapters.scpi_daq_settings import ScpiDaq
from nixel.acquisition.adapters.scpi_generator import Generator
from nixel.acquisition.adapters.scpi_stream import SampleStream
from nixel.acquisition.devices import Chunk, DeviceError, HasProperties, Property, PropertyTable
from nixel.acquisition.field_control import phasors
from nixel.acquisition.transmit_setup import ChannelSetup, Tone, TransmitSetup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from nixel.acquisition.scanner_tables import Scanner

__all__ = ["ADAPTER", "ScpiDaq", "ScpiDaqAdapter"]


_ADC_CLOCK = 125e6  # Hz
_ROUNDING = 1 + 1e-9
_RAMPING = (2, 3)  # up and down
_POLL = 1e-3  # s


class ScpiDaqAdapter(HasProperties):
    """The DAQ of an MPI scanner.

    Its properties can be read; what drives the coils is set by a run's protocol alone.

    Parameters
    ----------
    device : ScpiDaq
    scanner : Scanner
    name : str
        The device's name in the instrument.
    """

    def __init__(self, device: ScpiDaq, scanner: Scanner, name: str = "daq") -> None:
        self._device, self._scanner = device, scanner
        self.name = name
        self.control = ScpiConnection(device.control, device.timeout, name)
        self.where = self.control.where
        self._samples = SampleStream(self.control, device.data, device.timeout, f"{name} at {device.data}")
        self.generator = Generator(self.control, self._samples.send, scanner.base_frequency)
        self._shift = [0.0] * len(scanner.dividers)
        self._table = PropertyTable(self.where)
        rate = Property("sample_rate", "number", "Hz", "samples a second of each channel", read_only=True)
        ready = Property("ready", "boolean", "", "whether the amplifier is on", read_only=True)
        transmitting = Property(
            "transmitting", "boolean", "", "whether the drive field is on", read_only=True
        )
        self._table.add(rate, lambda: _ADC_CLOCK / self.control.number("RP:ADC:DECimation?"))
        self._table.add(ready, self.ready)
        self._table.add(transmitting, lambda: self.control.number("RP:TRansmit?") != 0.0)
        for channel in range(len(scanner.dividers)):
            query = f"RP:DAC:CHannel{channel}:COMPonent0:AMPlitude?"
            amplitude = Property(
                f"amplitude_{channel}", "number", "V", f"of transmit channel {channel}", read_only=True
            )
            self._table.add(amplitude, functools.partial(self.control.number, query))

    def open(self) -> None:
        """Connect control and data.

        Raises
        ------
        DeviceError
            Either cannot be reached.
        """
        self.control.open()
        try:
            self._samples.open()
        except DeviceError:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect; the server ends what this connection left running."""
        self._samples.close()
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
        return self._conversion(range(self._scanner.receive_channels))

    def _conversion(self, channels: Iterable[int]) -> NDArray[np.float64]:
        keys = ("SCAle", "OFFset")
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
        self.program(self.nominal())
        self._receive_channels(range(self._scanner.receive_channels))

    def nominal(self) -> TransmitSetup:
        """What brings the scanner's drive field, as far as the transmit chain is what the instrument file says."""
        scanner, device = self._scanner, self._device
        factors = device.drive_field_per_volt
        axes = zip(scanner.dividers, scanner.drive_field, factors, strict=True)
        tones = [Tone(divider, field / factor) for divider, field, factor in axes]
        return TransmitSetup(tuple(ChannelSetup((tone,), ramp=device.ramp) for tone in tones))

    def program(self, setup: TransmitSetup) -> None:
        """Set the transmitter up and read it back; its channels' limits are looked at before anything is sent.

        What a channel may transmit at most is the sum of its tones, its offset and a sequence's largest step.

        Raises
        ------
        DeviceError
            A channel would transmit more than it may, the device refuses, or it says other values afterwards.
        """
        shift = setup.shift()
        self._check(setup, shift)
        # Should it fail half-way, either may be what the device holds.
        self._shift = [max(pair) for pair in zip(self._shift, shift, strict=True)]
        self.generator.program(setup)
        self._shift = shift

    def transmit_volts(self, volts: NDArray[np.complex128]) -> None:
        """Set the complex amplitude of each channel at each drive frequency, while transmitting or before.

        Parameters
        ----------
        volts : array of complex128, shape (channels, frequencies)
            In V.

        Raises
        ------
        DeviceError
            As `program`.
        """
        dividers = self._scanner.dividers
        count = len(dividers)
        channels = []
        for channel, row in enumerate(volts):
            # Component 0 is the channel's own frequency.
            places = [(channel + number) % count for number in range(count)]
            tones = [Tone(dividers[p], float(abs(row[p])), float(np.angle(row[p]))) for p in places]
            channels.append(ChannelSetup(tuple(tones)))
        self._check(TransmitSetup(tuple(channels)), self._shift)
        self.generator.tones([channel.tones for channel in channels])

    def focus(self, fields: Sequence[float]) -> None:
        """Move the field of view: offset the field of each drive-field channel, while transmitting or before.

        Parameters
        ----------
        fields : sequence of float, one a channel
            In T.

        Raises
        ------
        DeviceError
            The instrument has no focus field or not so much, the device refuses, or it says other values afterwards.
        """
        factors, limit = self._device.focus_field_per_volt, self._scanner.limits.focus_field
        if factors is None or limit is None:
            expected = "focus_field_per_volt and scanner.limits.focus_field"
            raise self._error("setting the focus field", expected, "none in the instrument file")
        for number, field in enumerate(fields):
            if not abs(field) <= limit * _ROUNDING:
                raise DeviceError(
                    f"setting the focus field of channel {number}",
                    where=self.where,
                    expected=f"at most scanner.limits.focus_field, {limit * 1e3:g} mT",
                    found=f"{field * 1e3:.4g} mT",
                    remedy="Choose a place nearer to the middle. Nothing was changed.",
                )
        self.generator.offsets([field / factor for field, factor in zip(fields, factors, strict=True)])

    @property
    def field_per_volt(self) -> tuple[float, ...]:
        """What the instrument file says of each channel's transmit chain, in T/V."""
        return self._device.drive_field_per_volt

    @property
    def voltage_limits(self) -> tuple[float, ...]:
        """What each channel may transmit at most in V: its components, its offset and a sequence's steps together."""
        device, field = self._device, self._scanner.limits.drive_field
        return device.voltage_limit or tuple(field / factor for factor in device.drive_field_per_volt)

    def _check(self, setup: TransmitSetup, shift: Sequence[float]) -> None:
        each = zip(setup.channels, shift, self.voltage_limits, strict=True)
        for number, (channel, offset, limit) in enumerate(each):
            volts = sum(tone.amplitude for tone in channel.tones) + offset
            if volts > limit * _ROUNDING:
                raise DeviceError(
                    f"setting transmit channel {number}",
                    where=self.where,
                    expected=f"at most {limit:g} V",
                    found=f"{volts:.4g} V, which would be clipped",
                    remedy="Ask for less drive field. Nothing was changed.",
                )

    def field(self, periods: int) -> tuple[NDArray[np.complex128], bool]:
        """Measure the drive field with the reference channels.

        Parameters
        ----------
        periods : int
            Of the trajectory.

        Returns
        -------
        field : array of complex128, shape (channels, frequencies)
            Complex amplitudes in T of each channel at each drive frequency.
        overload : bool
            Whether a reference channel was at the end of its range.

        Raises
        ------
        DeviceError
            There are no reference channels, or reading them failed.
        """
        references, factors = self._device.feedback_channels, self._device.feedback_field_per_volt
        if references is None or factors is None:
            raise self._error("measuring the drive field", "feedback_channels", "none in the instrument file")
        scanner = self._scanner
        period = scanner.samples_per_period
        conversion = self._conversion(references)
        self._receive_channels(references)
        try:
            chunks = list(self.stream(self.settled(), periods * period, periods * period, len(references)))
        finally:
            self._receive_channels(range(scanner.receive_channels))
        codes = np.concatenate([chunk.codes for chunk in chunks]).T.astype(np.float64)
        volts = codes * conversion[:, :1] + conversion[:, 1:]
        field = phasors(volts, scanner.dividers) * np.array(factors)[:, None]
        return field, any(chunk.overload for chunk in chunks)

    def settled(self, now: int | None = None) -> int:
        """Index of the first sample, at the beginning of a period, at which a field switched now is settled.

        Parameters
        ----------
        now : int, optional
            Index of the next sample, if it is known already.
        """
        now = self.write_pointer() if now is None else now
        period = self._scanner.samples_per_period
        ramp = -(-round(self._device.ramp * self._scanner.base_frequency) // period)
        waiting = ramp + self._device.settle_periods
        return (-(-now // period) + waiting) * period

    def _receive_channels(self, channels: Iterable[int]) -> None:
        text = ",".join(map(str, channels))
        self.control.command(f"RP:ADC:CHannel:SELect {text}")
        found = self.control.query("RP:ADC:CHannel:SELect?")
        if found != text:
            raise self._error("choosing channels", text, repr(found))

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
        """Switch the drive field; it comes and goes by the ramp.

        Raises
        ------
        DeviceError
            The amplifier is off, or another connection owns the scanner.
        """
        if not on and self._device.ramp > 0:
            self._ramp_down()
        self.control.command(f"RP:TRansmit {'ON' if on else 'OFF'}")

    def _ramp_down(self) -> None:
        channels = range(len(self._scanner.dividers))
        self.control.together([f"RP:DAC:CHannel{channel}:RAMPing:DoWN ON" for channel in channels])
        deadline = time.monotonic() + self._device.ramp + self._device.timeout
        # Four bits a channel: whether it ramps at all, and its state.
        while any((self._ramping() >> 4 * channel + 1) & 7 in _RAMPING for channel in channels):
            if time.monotonic() > deadline:
                raise self._error("ramping down", "it to end", f"it going on after {self._device.ramp:g} s")
            time.sleep(_POLL)

    def _ramping(self) -> int:
        return int(self.control.number("RP:DAC:RAMPing:STATus?"))

    def write_pointer(self) -> int:
        """Return the index of the next sample."""
        return int(self.control.number("RP:ADC:WP?"))

    def stream(self, first: int, count: int, chunk: int, channels: int | None = None) -> Iterator[Chunk]:
        """Give samples as they come.

        Parameters
        ----------
        first : int
            Index of the first sample since the acquisition's start.
        count, chunk : int
            Samples in all and at a time.
        channels : int, optional
            How many there are; as many as receive channels if left out.

        Yields
        ------
        Chunk

        Raises
        ------
        DeviceError
            The transmission ended, the connection broke, or other samples came than were asked for. What is left
            of a stream cannot be told from another one, so the device is to be opened anew then.
        """
        scanner = self._scanner
        expected = scanner.receive_channels if channels is None else channels
        return self._samples.chunks(first, count, chunk, expected, scanner.base_frequency)

    def interrupt(self) -> None:
        """End the transmission and the stream under way, so that another can be asked for.

        Raises
        ------
        DeviceError
            The device or its connection failed.
        """
        self.transmit(False)
        self._samples.interrupt()

    def _error(self, what: str, expected: str, found: str) -> DeviceError:
        remedy = "Check the device and its connection, then start anew."
        return DeviceError(what, where=self.where, expected=expected, found=found, remedy=remedy)


def _make(name: str, settings: ScpiDaq, around: Surroundings) -> ScpiDaqAdapter:
    assert around.instrument.scanner is not None  # checked with the instrument
    return ScpiDaqAdapter(settings, around.instrument.scanner, name)


ADAPTER = Adapter(ScpiDaq, _make)

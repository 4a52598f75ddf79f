"""The virtual scanner's signal generator: components, offsets, ramps and step sequences of each transmit channel.

What it generates is seq(t) + o + r(t) sum_j a_j sin(2 pi f_j t + phi_j) on each channel, after the RedPitayaDAQServer's
documentation; r ramps up from 0 when the transmission starts and down to 0 before it ends.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from nixel.acquisition.virtual.scpi import ScpiError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nixel.acquisition.adapters.scpi_daq import ScpiDaq
    from nixel.acquisition.scanner_tables import Scanner

__all__ = ["COMPONENTS", "Component", "Lut", "Transmitter"]

COMPONENTS = 4  # a channel
LARGEST_LUT = 2**20  # values
_ROUNDING = 1 + 1e-9
_OFFSET_LIMIT = 1.0  # V
_LONGEST_RAMP = 10.0  # s

Part = Literal["values", "up", "down"]


@dataclass(frozen=True)
class Component:
    """One sine of a channel: divider of the base frequency, amplitude in V, phase in rad."""

    divider: int
    amplitude: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class Lut:
    """Steps of the sequence channels in V, shape (steps, channels), gone through so many times."""

    values: NDArray[np.float32]
    repetitions: int

    @property
    def steps(self) -> int:
        """In all."""
        return len(self.values) * self.repetitions


@dataclass
class _Sequence:
    samples_per_step: int = 1
    channels: int = 1
    luts: dict[Part, Lut] = field(default_factory=dict)
    enable: NDArray[np.bool_] | None = None


class Transmitter:
    """What is set of each channel; the plant guards it with its lock.

    Parameters
    ----------
    scanner : Scanner
    daq : ScpiDaq
    """

    def __init__(self, scanner: Scanner, daq: ScpiDaq) -> None:
        self._scanner = scanner
        self.per_volt = daq.drive_field_per_volt
        self.limits = daq.voltage_limit or tuple(
            scanner.limits.drive_field / factor for factor in self.per_volt
        )
        self.focus_per_volt = daq.focus_field_per_volt or (0.0,) * len(self.per_volt)
        count = len(scanner.dividers)
        # Component 0 has the channel's own frequency; the others begin with those of the other channels.
        self.components = [
            [Component(scanner.dividers[(channel + number) % count]) for number in range(COMPONENTS)]
            for channel in range(count)
        ]
        for channel, (amplitude, factor) in enumerate(zip(scanner.drive_field, self.per_volt, strict=True)):
            self.components[channel][0] = replace(self.components[channel][0], amplitude=amplitude / factor)
        self.offsets = [0.0] * count
        self.ramps = [0.0] * count
        self.ramping = [False] * count
        self.configured = _Sequence()
        self._sequence: _Sequence | None = None

    @property
    def channels(self) -> int:
        """How many."""
        return len(self.components)

    def volts(self) -> NDArray[np.complex128]:
        """Complex amplitudes of each channel at each drive frequency in V, shape (channels, frequencies)."""
        result = np.zeros((self.channels, len(self._scanner.dividers)), dtype=np.complex128)
        for channel, components in enumerate(self.components):
            for component in components:
                place = self._scanner.dividers.index(component.divider)
                result[channel, place] += component.amplitude * np.exp(1j * component.phase)
        return result

    def power(self) -> float:
        """Relative to that of the scanner's nominal drive field."""
        nominal = np.array(self._scanner.drive_field) / np.array(self.per_volt)
        return float(np.mean((np.abs(self.volts()) ** 2).sum(axis=1) / nominal**2))

    # Setting it.

    def component(self, channel: int, number: int) -> Component:
        """Look at a component."""
        if not 0 <= number < COMPONENTS:
            raise ScpiError(-222, f"expected a component of 0 to {COMPONENTS - 1}, found {number}")
        return self.components[channel][number]

    def set_component(self, channel: int, number: int, changed: Component) -> None:
        """Change a component, within the channel's limit."""
        others = [c.amplitude for place, c in enumerate(self.components[channel]) if place != number]
        limit = self.limits[channel]
        if not changed.amplitude >= 0.0 or sum(others) + changed.amplitude > limit * _ROUNDING:
            raise ScpiError(
                -222,
                f"expected amplitudes of 0 to {limit:g} V in all, found {sum(others) + changed.amplitude:g} V",
            )
        self.components[channel][number] = changed

    def set_frequency(self, channel: int, number: int, frequency: float) -> None:
        """Give a component the drive frequency nearest to one in Hz; it has to be one."""
        known = {divider: self._scanner.base_frequency / divider for divider in self._scanner.dividers}
        divider = min(known, key=lambda divider: abs(known[divider] - frequency))
        if abs(known[divider] - frequency) > 1e-3:
            expected = " or ".join(f"{value:.3f}" for value in known.values())
            raise ScpiError(-222, f"this scanner's filters are for {expected} Hz, found {frequency:g} Hz")
        self.set_component(channel, number, replace(self.component(channel, number), divider=divider))

    def set_offset(self, channel: int, volts: float) -> None:
        """Set a channel's offset in V."""
        if abs(volts) > _OFFSET_LIMIT:
            raise ScpiError(-222, f"expected an offset of at most {_OFFSET_LIMIT:g} V, found {volts:g} V")
        self.offsets[channel] = volts

    def set_ramp(self, channel: int, duration: float) -> None:
        """Set how long a channel ramps, in s."""
        if not 0.0 <= duration <= _LONGEST_RAMP:
            raise ScpiError(-222, f"expected a ramp of 0 to {_LONGEST_RAMP:g} s, found {duration:g} s")
        self.ramps[channel] = duration

    def ramp(self) -> float:
        """Time in s that the slowest channel takes to ramp."""
        return max(duration if on else 0.0 for duration, on in zip(self.ramps, self.ramping, strict=True))

    # The sequence.

    def lut_bytes(self, steps: int, repetitions: int) -> int:
        """How long a look-up table of so many steps is on the data connection."""
        values = steps * self.configured.channels
        if steps < 1 or repetitions < 1 or values > LARGEST_LUT or steps * repetitions > 2**31:
            raise ScpiError(
                -222,
                f"expected 1 or more steps and repetitions, and at most {LARGEST_LUT} values, "
                f"found {steps} and {repetitions}",
            )
        return 4 * values

    def set_lut(self, part: Part, data: bytes, repetitions: int) -> None:
        """Take a look-up table: little endian float32 in V, the channels of one step side by side."""
        values = np.frombuffer(data, dtype="<f4").reshape(-1, self.configured.channels)
        if not (np.isfinite(values).all() and (np.abs(values) <= _OFFSET_LIMIT).all()):
            raise ScpiError(-222, f"expected values of at most {_OFFSET_LIMIT:g} V")
        self.configured.luts[part] = Lut(values, repetitions)
        if part == "values":
            self.configured.enable = None

    def set_enable(self, data: bytes) -> None:
        """Take the flags of the steps: a byte each, in the order of the values."""
        lut = self.configured.luts["values"]
        self.configured.enable = np.frombuffer(data, dtype=np.uint8).reshape(lut.values.shape) != 0

    def checksum(self, part: Part) -> int:
        """CRC-32 of a look-up table as it came; 0 if there is none."""
        lut = self.configured.luts.get(part)
        return 0 if lut is None else zlib.crc32(lut.values.tobytes())

    def set_sequence(self) -> None:
        """Make the configured sequence the one of the next transmission."""
        if "values" not in self.configured.luts:
            raise ScpiError(-221, "there is no look-up table (RP:DAC:SEQ:LUT)")
        self._sequence = _Sequence(**vars(self.configured))
        self._sequence.luts = dict(self.configured.luts)

    def clear_sequence(self) -> None:
        """Have none, configured or set."""
        self.configured, self._sequence = _Sequence(), None

    def step(self, since: int) -> tuple[tuple[float, ...], tuple[bool, ...], int | None]:
        """What the sequence adds, so many samples after the transmission's start.

        Returns
        -------
        focus : tuple of float
            Offset field of each channel in T.
        enabled : tuple of bool
            Whether each channel's components are on.
        left : int or None
            Samples until that changes; None for never.
        """
        offsets, enabled, left = list(self.offsets), [True] * self.channels, None
        sequence = self._sequence
        if sequence is not None:
            number, into = divmod(since, sequence.samples_per_step)
            left = sequence.samples_per_step - into
            values, flags = self._values(sequence, number)
            if values is None:  # the sequence is over
                enabled, left = [False] * self.channels, None
            else:
                for channel, value in enumerate(values):
                    offsets[channel] += float(value)
                    enabled[channel] = bool(flags[channel])
        focus = tuple(v * f for v, f in zip(offsets, self.focus_per_volt, strict=True))
        return focus, tuple(enabled), left

    @staticmethod
    def _values(sequence: _Sequence, number: int) -> tuple[NDArray[np.float32] | None, NDArray[np.bool_]]:
        on = np.ones(sequence.channels, dtype=bool)
        parts: tuple[Part, ...] = ("up", "values", "down")
        for part in parts:
            lut = sequence.luts.get(part)
            if lut is None:
                continue
            if number < lut.steps:
                place = number % len(lut.values)
                flagged = part == "values" and sequence.enable is not None
                return lut.values[place], sequence.enable[place] if flagged else on  # type: ignore[index]
            number -= lut.steps
        return None, on

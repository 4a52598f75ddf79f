"""The virtual transmit chain: from a channel's voltage to the field of the coils.

The chain is not quite what the instrument file says, as no real one is: its gain is off by a few percent, it turns the
phase, neighbouring coils couple, and both drift while it warms. Its temperature follows the scanner's own clock, which
moves by samples: what is asked of the scanner decides it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.virtual.thermal import Coil

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Phasors = NDArray[np.complex128]

__all__ = ["Chain", "DriveSum"]

_GAIN = (0.97, 1.03, 0.98)  # of what the instrument file says, one a channel
_PHASE = (-0.20, 0.15, -0.10)  # rad
_COUPLING, _COUPLING_PHASE = 0.04, 0.5  # into each other channel; relative, rad
_GAIN_DRIFT, _PHASE_DRIFT = -1e-3, 2e-3  # a kelvin; relative, rad
_AMBIENT = 22.0  # degC


class Chain:
    """Amplifier, filter and coil of each channel.

    Parameters
    ----------
    per_volt : tuple of float
        T/V of each channel as the instrument file says.
    """

    def __init__(self, per_volt: tuple[float, ...]) -> None:
        self._per_volt = np.array(per_volt)
        channels = range(len(per_volt))
        other = _COUPLING * np.exp(1j * _COUPLING_PHASE)
        own = [_GAIN[c] * np.exp(1j * _PHASE[c]) for c in channels]
        self._matrix = np.array([[own[c] if c == d else other for d in channels] for c in channels])
        self.faults = np.ones(len(per_volt), dtype=np.complex128)  # of the reference channels
        self.reset()

    def reset(self) -> None:
        """Be as at power-on."""
        self._coil = Coil(0.0, ambient=_AMBIENT)

    def set_power(self, power: float, now: float) -> None:
        """Warm with a power relative to the nominal one from `now` (s, of the scanner's clock) on."""
        self._coil.set_power(power, now)

    def field(self, volts: Phasors, now: float) -> Phasors:
        """Complex amplitudes of each channel's field at each frequency, in T.

        Parameters
        ----------
        volts : array of complex128, shape (channels, frequencies)
        now : float
            In s, of the scanner's clock.
        """
        warm = self._coil.temperature(now) - _AMBIENT
        drift = (1.0 + _GAIN_DRIFT * warm) * np.exp(1j * _PHASE_DRIFT * warm)
        result: Phasors = drift * (self._matrix @ (self._per_volt[:, None] * volts))
        return result


@dataclass(frozen=True)
class DriveSum:
    """A drive field whose axes hold all drive frequencies, as coupled coils make it; see `nixel.physics.mpi.Drive`.

    Parameters
    ----------
    base_frequency : float
        In Hz.
    dividers : tuple of int
        Of the frequencies.
    amplitudes : array of complex128, shape (axes, frequencies)
        Axis i has the sum of |a_ik| sin(2 pi f_k t + arg a_ik), in T.
    """

    base_frequency: float
    dividers: tuple[int, ...]
    amplitudes: Phasors

    @property
    def axes(self) -> int:
        """Components of the field."""
        return len(self.amplitudes)

    @property
    def segments(self) -> int:
        """One: it is measured as a whole."""
        return 1

    @property
    def samples(self) -> int:
        """Samples in one period."""
        return int(np.lcm.reduce(self.dividers))

    def times(self) -> NDArray[np.float64]:
        """Sampling instants of one period, shape (samples,), in s."""
        return np.arange(self.samples) / self.base_frequency

    @property
    def _omega(self) -> NDArray[np.float64]:
        return 2.0 * np.pi * self.base_frequency / np.array(self.dividers)

    def field(self, times: NDArray[np.floating]) -> NDArray[np.float64]:
        """Field at `times` (s), shape (samples, axes), in T."""
        turning = np.exp(1j * np.asarray(times)[:, None] * self._omega)
        return np.ascontiguousarray((turning @ self.amplitudes.T).imag)

    def field_rate(self, times: NDArray[np.floating]) -> NDArray[np.float64]:
        """Time derivative of the field at `times` (s), shape (samples, axes), in T/s."""
        turning = np.exp(1j * np.asarray(times)[:, None] * self._omega)
        return np.ascontiguousarray((turning @ (self._omega * self.amplitudes).T).real)

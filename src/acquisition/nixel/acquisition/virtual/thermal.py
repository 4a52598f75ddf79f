"""A coil that warms: first-order thermal model."""

from __future__ import annotations

import math

__all__ = ["Coil"]


class Coil:
    """A body with one heat capacity and one resistance to its surroundings.

    dT/dt = (T_ambient + rise * power - T) / time_constant, solved exactly between changes. Both `rise` and
    `time_constant` are in proportion to the resistance.

    Parameters
    ----------
    now : float
        Time in s.
    ambient : float
        In degC; also the temperature at the start.
    rise : float
        Final temperature above ambient at power 1, in K.
    time_constant : float
        In s.
    """

    def __init__(
        self, now: float, *, ambient: float = 22.0, rise: float = 30.0, time_constant: float = 100.0
    ) -> None:
        self._ambient, self._rise, self._time_constant = ambient, rise, time_constant
        self._since, self._start, self._power, self._resistance = now, ambient, 0.0, 1.0

    def temperature(self, now: float) -> float:
        """Temperature at the time `now` (s, not before the last change) in degC."""
        final = self._ambient + self._rise * self._resistance * self._power
        time_constant = self._time_constant * self._resistance
        return final + (self._start - final) * math.exp(-(now - self._since) / time_constant)

    def set_power(self, power: float, now: float) -> None:
        """Heat with a power relative to the nominal one from `now` on."""
        self._start, self._since, self._power = self.temperature(now), now, power

    def set_resistance(self, resistance: float, now: float) -> None:
        """Part it from its surroundings by a resistance relative to the nominal one from `now` on."""
        self._start, self._since, self._resistance = self.temperature(now), now, resistance

    def set_temperature(self, temperature: float, now: float) -> None:
        """Put the coil at a temperature in degC, from which the model goes on."""
        self._start, self._since = temperature, now

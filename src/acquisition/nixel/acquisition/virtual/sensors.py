"""What the virtual surveillance unit measures: temperatures, coolant, currents, contacts, and how each may fail.

Everything follows the transmission. The coil and the amplifier warm with its power, the currents are its own; the
coolant flows unless its pump stops, and then the coil warms four times as far and as slowly. Measured values carry
noise, so that a sensor that stands still can be told from one that works.
"""

from __future__ import annotations

import contextlib
import math
import random
from typing import TYPE_CHECKING

from nixel.acquisition.virtual.thermal import Coil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ANALOG", "BROKEN", "CHAIN", "DIGITAL", "FROZEN", "RESTORED", "Sensors"]

# In the order of the unit's channels.
ANALOG = (
    *("coil-1", "coil-2", "amplifier-1", "amplifier-2", "flow", "level"),
    *("current-x", "current-y"),
)
CHAIN = ("emergency-stop-1", "emergency-stop-2")
DIGITAL = (*CHAIN, "bore", "door", "amplifier", "heartbeat")
BROKEN, FROZEN, RESTORED = "break", "freeze", "restore"

_FLOW, _LEVEL = 4.0, 80.0  # l/min, percent
_UNCOOLED = 4.0
# Standard deviations of what is measured (degC, l/min, percent); a current is its own amplitude, without noise.
_NOISE = {"coil": 0.01, "amplifier": 0.01, "flow": 0.01, "level": 0.02}
_OFFSET = {"coil-2": -0.2, "amplifier-2": 0.3}  # K: the second sensors sit elsewhere
_NO_CURRENT = (0.0, 0.0)


class Sensors:
    """The sensors and contacts of the scanner.

    Parameters
    ----------
    clock : callable
        Monotonic time in s.
    seed : int
        Of the noise.
    """

    def __init__(self, clock: Callable[[], float], seed: int = 0) -> None:
        now = clock()
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311  # noise, no secret
        self._coil = Coil(now)
        self._amplifier = Coil(now, ambient=24.0, rise=20.0, time_constant=60.0)
        self._currents: Sequence[float] = _NO_CURRENT
        self._flowing = True
        self._contacts = dict.fromkeys(DIGITAL, True)
        self._faults: dict[str, float] = {}

    def analog(self) -> list[float]:
        """Measure everything, in the order of `ANALOG`: degC, l/min, percent, A."""
        faults = self._faults
        return [faults[name] if name in faults else self._measure(name) for name in ANALOG]

    def digital(self) -> list[bool]:
        """Look at every contact, in the order of `DIGITAL`."""
        return list(self._contacts.values())

    @property
    def chain_closed(self) -> bool:
        """Whether both channels of the emergency-stop chain are closed."""
        return all(self._contacts[name] for name in CHAIN)

    def transmit(self, power: float, currents: Sequence[float]) -> None:
        """Follow a transmission: its power relative to the nominal one, the amplitude of each axis' current in A."""
        now = self._clock()
        self._coil.set_power(power, now)
        self._amplifier.set_power(power, now)
        self._currents = (*currents, *_NO_CURRENT)[:2]

    def set_temperature(self, temperature: float) -> None:
        """Put the coil at a temperature in degC, from which the model goes on."""
        self._coil.set_temperature(temperature, self._clock())

    def set_coolant(self, flowing: bool) -> None:
        """Start or stop the coolant's pump."""
        self._flowing = flowing
        self._coil.set_resistance(1.0 if flowing else _UNCOOLED, self._clock())

    def set_contacts(self, names: Sequence[str], closed: bool) -> None:
        """Open or close contacts, all in one moment.

        Raises
        ------
        ValueError
            There is no such contact.
        """
        for name in names:
            if name not in self._contacts:
                raise ValueError(f"expected one of {', '.join(DIGITAL)}, found {name!r}")
        self._contacts = {**self._contacts, **dict.fromkeys(names, closed)}

    def set_fault(self, name: str, fault: str) -> None:
        """Break a sensor (it gives NaN), freeze it, let it give one number, or restore it.

        Raises
        ------
        ValueError
            There is no such sensor, or the fault is neither a word for one nor a finite number.
        """
        if name not in ANALOG:
            raise ValueError(f"expected one of {', '.join(ANALOG)}, found {name!r}")
        # Replaced, not changed: the line reads in a thread of its own.
        others = {other: value for other, value in self._faults.items() if other != name}
        self._faults = others if fault == RESTORED else {**others, name: self._fault(name, fault)}

    def _fault(self, name: str, fault: str) -> float:
        if fault == BROKEN:
            return math.nan
        if fault == FROZEN:
            return self._measure(name)
        with contextlib.suppress(ValueError):
            if math.isfinite(value := float(fault)):
                return value
        raise ValueError(f"expected {BROKEN}, {FROZEN}, {RESTORED} or a finite number, found {fault!r}")

    def _measure(self, name: str) -> float:
        kind, _, which = name.partition("-")
        if kind == "current":
            return self._currents["xy".index(which)]
        return self._random.gauss(self._truth(kind) + _OFFSET.get(name, 0.0), _NOISE[kind])

    def _truth(self, kind: str) -> float:
        if kind == "coil":
            return self._coil.temperature(self._clock())
        if kind == "amplifier":
            return self._amplifier.temperature(self._clock())
        if kind == "level":
            return _LEVEL
        return _FLOW if self._flowing else 0.0

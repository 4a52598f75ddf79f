"""The units that an instrument file may write quantities in, each with its factor to the unit that is computed in."""

from __future__ import annotations

TIME = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
# How far apart dates may be.
DATES = {"s": 1.0, "d": 86400.0}
FREQUENCY = {"Hz": 1.0, "kHz": 1e3}
# What a level may be a level of, and how it may be written.
LEVELS = {
    "degC": {"degC": 1.0},
    "K": {"K": 1.0},
    "A": {"A": 1.0, "mA": 1e-3},
    "V": {"V": 1.0, "mV": 1e-3},
    "W": {"W": 1.0, "kW": 1e3},
    "T": {"T": 1.0, "mT": 1e-3},
    "T/s": {"T/s": 1.0},
    "W/kg": {"W/kg": 1.0},
    "Hz": FREQUENCY,
    "bar": {"bar": 1.0, "mbar": 1e-3},
    "l/min": {"l/min": 1.0},
    "mm": {"mm": 1.0},
    "percent": {"percent": 1.0},
}
UNITS = tuple(LEVELS)


def differences(unit: str) -> dict[str, float]:
    """Give the units in which a difference of two levels in `unit` may be written.

    Parameters
    ----------
    unit
        One of `UNITS`.

    Returns
    -------
    dict
        Factors by unit.
    """
    return {**LEVELS[unit], "K": 1.0} if unit == "degC" else LEVELS[unit]


def rates(unit: str) -> dict[str, float]:
    """Give the units in which a rate of change of levels in `unit` may be written.

    Parameters
    ----------
    unit
        One of `UNITS`.

    Returns
    -------
    dict
        Factors to `unit` per second, by unit.
    """
    return {
        f"{word}/{time}": factor / TIME[time]
        for word, factor in differences(unit).items()
        for time in ("s", "min")
    }

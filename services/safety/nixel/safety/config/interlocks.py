"""The tables `[safety.interlocks.NAME]`: every kind of interlock, within the bounds that no file can weaken."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from nixel.safety.config.names import name_of
from nixel.safety.config.quantities import LEVELS, TIME, UNITS, differences, rates
from nixel.safety.config.wiring import Signal
from nixel.safety.core.declared import (
    LONGEST_AGE,
    LONGEST_BYPASS,
    LONGEST_DISCREPANCY,
    LONGEST_TRIP_DELAY,
    LONGEST_WINDOW,
)
from nixel.safety.core.model import (
    Boolean,
    Direction,
    Heartbeat,
    Limit,
    Rate,
    Sense,
    TwoContacts,
    TwoSensors,
)

if TYPE_CHECKING:
    from nixel.safety.config.ratings import Catalogue
    from nixel.safety.config.tables import Table
    from nixel.safety.config.wiring import Wiring
    from nixel.safety.core.model import Interlock

KINDS = ("limit", "rate", "boolean", "two-channel", "heartbeat")
LONGEST_STANDSTILL = 3600.0
SAMPLES = 8  # ticks at least that a rate is judged over
LARGEST_FACTOR = 1e12
# What does harm in one direction as in the other, and so is judged by its magnitude.
BOTH_WAYS = ("A", "V", "T", "T/s")

_COMMON = ("kind", "max_age", "message", "trips_after", "clears_after", "bypass", "emergency_stop")
_LEVELS = ("unit", "trip", "warn", "direction", "hysteresis", "factor", "power", "magnitude")
# The keys of each kind, a two-channel one on contacts or on sensors.
KEYS = {
    "limit": (*_COMMON, "source", *_LEVELS, "frozen_after", "sensor", "part"),
    "rate": (*_COMMON, "source", "unit", "trip", "window", "sense", "frozen_after"),
    "boolean": (*_COMMON, "source", "healthy"),
    "two-channel contacts": (*_COMMON, "sources", "healthy", "discrepancy"),
    "two-channel sensors": (*_COMMON, "sources", "unit", "tolerance", "discrepancy"),
    "heartbeat": (*_COMMON, "source", "interval"),
}


class _Common(TypedDict):
    """The arguments of interlocks of every kind."""

    max_age: float
    message: str
    trips_after: float
    clears_after: float
    bypass: float
    emergency_stop: bool


class Reader:
    """Reads the interlocks of one instrument.

    Parameters
    ----------
    period
        The time between two ticks [s].
    wiring
        Which sources there are.
    catalogue
        What sensors can measure and parts withstand.
    """

    def __init__(self, period: float, wiring: Wiring, catalogue: Catalogue) -> None:
        self.period = period
        self.wiring = wiring
        self.catalogue = catalogue

    def interlock(self, table: Table) -> Interlock:
        """Read one interlock.

        Parameters
        ----------
        table
            `[safety.interlocks.NAME]`.

        Returns
        -------
        Interlock
            Within all bounds.

        Raises
        ------
        ConfigError
            If a key is missing, unknown, out of bounds, or names what is not there.
        """
        name = name_of(table)
        match table.choice("kind", KINDS):
            case "limit":
                return self._limit(table, name)
            case "rate":
                return self._rate(table, name)
            case "boolean":
                return self._boolean(table, name)
            case "two-channel":
                return self._two_channel(table, name)
            case _:
                return self._heartbeat(table, name)

    def _limit(self, table: Table, name: str) -> Limit:
        table.only(KEYS["limit"])
        unit = table.choice("unit", UNITS)
        trip = table.quantity("trip", LEVELS[unit], f"60 {unit}")
        warn = table.quantity("warn", LEVELS[unit], f"50 {unit}") if table.has("warn") else None
        direction = Direction(table.choice("direction", tuple(Direction), default=Direction.ABOVE))
        above = direction is Direction.ABOVE
        if warn is not None and (warn >= trip if above else warn <= trip):
            side = "below" if above else "above"
            raise table.wrong(
                "warn", f"a level {side} trip = {trip:g} {unit}, so that it warns before it trips"
            )
        hysteresis = 0.0
        if table.has("hysteresis"):
            hysteresis = table.quantity("hysteresis", differences(unit), f"2 {unit}", low=0.0)
        limit = Limit(
            name=name,
            source=self.wiring.source(table, Signal.NUMBER),
            unit=unit,
            trip=trip,
            warn=warn,
            direction=direction,
            hysteresis=hysteresis,
            factor=table.number("factor", 0.0, LARGEST_FACTOR, default=1.0),
            power=table.integer("power", 1, 2, default=1),
            magnitude=self._magnitude(table, above and unit in BOTH_WAYS),
            frozen_after=self._frozen_after(table),
            **self._common(table),
        )
        self.catalogue.check(table, limit)
        return limit

    def _magnitude(self, table: Table, both_ways: bool) -> bool:
        magnitude = table.boolean("magnitude", default=both_ways)
        if both_ways and not magnitude:
            raise table.wrong("magnitude", "true or no such key, for either direction does harm")
        return magnitude

    def _rate(self, table: Table, name: str) -> Rate:
        table.only(KEYS["rate"])
        unit = table.choice("unit", UNITS)
        trip = table.quantity("trip", rates(unit), f"2 {unit}/s")
        if not trip > 0.0:
            raise table.wrong("trip", "a rate above zero; sense tells which way")
        common = self._common(table)
        # A window shorter than a reading may be old would spread a change over longer than itself.
        shortest = max(SAMPLES * self.period, common["max_age"])
        return Rate(
            name=name,
            source=self.wiring.source(table, Signal.NUMBER),
            unit=unit,
            trip=trip,
            window=table.quantity("window", TIME, "1 s", low=shortest, high=LONGEST_WINDOW),
            sense=Sense(table.choice("sense", tuple(Sense), default=Sense.EITHER)),
            frozen_after=self._frozen_after(table),
            **common,
        )

    def _boolean(self, table: Table, name: str) -> Boolean:
        table.only(KEYS["boolean"])
        return Boolean(
            name=name,
            source=self.wiring.source(table, Signal.CONTACT),
            healthy=table.boolean("healthy"),
            **self._common(table),
        )

    def _two_channel(self, table: Table, name: str) -> TwoContacts | TwoSensors:
        sources, signal = self.wiring.two_sources(table)
        discrepancy = table.quantity("discrepancy", TIME, "500 ms", low=self.period, high=LONGEST_DISCREPANCY)
        if signal is Signal.CONTACT:
            table.only(KEYS["two-channel contacts"])
            return TwoContacts(
                name=name,
                sources=sources,
                healthy=table.booleans("healthy"),
                discrepancy=discrepancy,
                **self._common(table),
            )
        table.only(KEYS["two-channel sensors"])
        unit = table.choice("unit", UNITS)
        return TwoSensors(
            name=name,
            sources=sources,
            unit=unit,
            tolerance=table.quantity("tolerance", differences(unit), f"5 {unit}", low=0.0),
            discrepancy=discrepancy,
            **self._common(table),
        )

    def _heartbeat(self, table: Table, name: str) -> Heartbeat:
        table.only(KEYS["heartbeat"])
        return Heartbeat(
            name=name,
            source=self.wiring.source(table, Signal.ANY),
            interval=table.quantity("interval", TIME, "500 ms", low=2 * self.period, high=LONGEST_AGE),
            **self._common(table),
        )

    def _common(self, table: Table) -> _Common:
        emergency_stop = table.boolean("emergency_stop", default=False)
        if emergency_stop and table.content["kind"] not in ("boolean", "two-channel"):
            raise table.wrong("emergency_stop", "an interlock on contacts (boolean or two-channel)")
        if emergency_stop and table.has("unit"):
            raise table.wrong("emergency_stop", "an interlock on contacts, not on measured quantities")
        for key in ("bypass", "trips_after"):
            if emergency_stop and table.has(key):
                done = "bypassed" if key == "bypass" else "delayed"
                raise table.wrong(key, f"no such key, for an emergency stop is never {done}")
        return _Common(
            max_age=table.quantity("max_age", TIME, "150 ms", low=2 * self.period, high=LONGEST_AGE),
            message=table.text("message", default=""),
            trips_after=_time(table, "trips_after", "20 ms", LONGEST_TRIP_DELAY),
            clears_after=_time(table, "clears_after", "1 s", LONGEST_STANDSTILL),
            bypass=_time(table, "bypass", "10 min", LONGEST_BYPASS),
            emergency_stop=emergency_stop,
        )

    def _frozen_after(self, table: Table) -> float | None:
        if not table.has("frozen_after"):
            return None
        return table.quantity("frozen_after", TIME, "10 s", low=2 * self.period, high=LONGEST_STANDSTILL)


def _time(table: Table, key: str, example: str, longest: float) -> float:
    return table.quantity(key, TIME, example, low=0.0, high=longest) if table.has(key) else 0.0

"""The tables `[safety.outputs.NAME]`: what can be energised, through which sink, in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nixel.safety.config.names import name_of
from nixel.safety.config.quantities import TIME
from nixel.safety.core.declared import LONGEST_READBACK
from nixel.safety.core.model import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nixel.safety.config.tables import Table
    from nixel.safety.config.wiring import Wiring
    from nixel.safety.core.model import Interlock

KEYS = ("sink", "gated_by", "readback_within", "after", "settle", "on_time", "duty")
LONGEST_SETTLE = 60.0
LONGEST_ON_TIME = 24 * 3600.0


def outputs(
    safety: Table, interlocks: Sequence[Interlock], wiring: Wiring, period: float
) -> tuple[Output, ...]:
    """Read all outputs.

    Parameters
    ----------
    safety
        The table `[safety]`.
    interlocks
        Of the instrument; each must gate an output.
    wiring
        Which sinks there are.
    period
        The time between two ticks [s].

    Returns
    -------
    tuple of Output
        In the order of the start-up, whatever their order in the file.

    Raises
    ------
    ConfigError
        If one is not right by itself, or they do not fit together.
    """
    tables = safety.tables("outputs")
    names = [name_of(table) for table in tables]
    read = [_output(table, interlocks, names, wiring, period) for table in tables]
    _check_sinks(safety, read)
    _check_gates(safety, interlocks, read)
    return _in_order(safety, read)


def _output(
    table: Table, interlocks: Sequence[Interlock], names: Sequence[str], wiring: Wiring, period: float
) -> Output:
    table.only(KEYS)
    gates = table.texts("gated_by")
    _check_names(table, "gated_by", gates, [interlock.name for interlock in interlocks], "interlocks")
    after = table.texts("after") if table.has("after") else ()
    others = [name for name in names if name != table.last]
    _check_names(table, "after", after, others, "other outputs")
    optional: dict[str, float] = {}
    if table.has("readback_within"):
        optional["readback_within"] = table.quantity(
            "readback_within", TIME, "250 ms", low=2 * period, high=LONGEST_READBACK
        )
    if table.has("settle"):
        optional["settle"] = table.quantity("settle", TIME, "2 s", low=0.0, high=LONGEST_SETTLE)
    if table.has("on_time"):
        optional["on_time"] = table.quantity("on_time", TIME, "10 s", low=2 * period, high=LONGEST_ON_TIME)
    if table.has("duty"):
        if not table.has("on_time"):
            raise table.wrong("on_time", "the longest time on at a stretch, which a duty cycle needs")
        optional["duty"] = table.quantity("duty", {"percent": 1.0}, "50 percent", low=0.1, high=100.0) / 100.0
    return Output(table.last, wiring.sink(table), gates, after=after, **optional)


def _check_names(table: Table, key: str, found: Sequence[str], known: Sequence[str], what: str) -> None:
    if len(set(found)) != len(found):
        raise table.wrong(key, "each name once")
    if not set(found) <= set(known):
        raise table.wrong(key, f"names of {what} of this file ({', '.join(known)})")


def _check_sinks(safety: Table, read: Sequence[Output]) -> None:
    sinks: dict[str, str] = {}
    for output in read:
        if output.sink in sinks:
            other = sinks[output.sink]
            key, found = f"outputs.{output.name}.sink", f'"{output.sink}"'
            raise safety.wrong(key, f"a sink other than that of {other!r}", found)
        sinks[output.sink] = output.name


def _check_gates(safety: Table, interlocks: Sequence[Interlock], read: Sequence[Output]) -> None:
    """Refuse an interlock that gates nothing, and an emergency stop that misses an output."""
    gating = {gate for output in read for gate in output.gated_by}
    for interlock in interlocks:
        if interlock.name not in gating:
            wanted = "to be named in the gated_by of an output; as it is, it gates nothing"
            found = "an interlock that no output names"
            raise safety.wrong(f"interlocks.{interlock.name}", wanted, found)
        for output in read:
            if interlock.emergency_stop and interlock.name not in output.gated_by:
                wanted = f"{interlock.name} among them, for an emergency stop switches everything off"
                found = ", ".join(output.gated_by)
                raise safety.wrong(f"outputs.{output.name}.gated_by", wanted, found)


def _in_order(safety: Table, read: Sequence[Output]) -> tuple[Output, ...]:
    """Put the outputs in the order of the start-up; tables need not stand in it, and generated files do not."""
    ordered: list[Output] = []
    left = list(read)
    while left:
        placed = {output.name for output in ordered}
        ready = next((output for output in left if placed.issuperset(output.after)), None)
        if ready is None:
            loop = ", ".join(output.name for output in left)
            key, found = f"outputs.{left[0].name}.after", f"a circle ({loop})"
            raise safety.wrong(key, "an order in which one output is the first", found)
        ordered.append(ready)
        left.remove(ready)
    return tuple(ordered)

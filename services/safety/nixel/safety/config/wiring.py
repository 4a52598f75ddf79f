"""The sources and sinks that an instrument has, as texts: `analog:0`, `gpio:17`, `cpu:temperature`, `ac`."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from nixel.safety.core.frozen import dataclass

if TYPE_CHECKING:
    from nixel.safety.config.tables import Table
    from nixel.safety.config.units import GpioChip, SurveillanceUnit

CPU_TEMPERATURE = "cpu:temperature"
RELAY = "ac"

_CHANNEL = re.compile(r"(analog|digital):(0|[1-9][0-9]?)")


class Signal(StrEnum):
    """What a source gives."""

    NUMBER = "numbers"
    CONTACT = "states of a contact"
    ANY = "numbers or states of a contact"


@dataclass(frozen=True, slots=True)
class Wiring:
    """The sources and sinks of the devices that an instrument has."""

    surveillance: SurveillanceUnit | None
    gpio: GpioChip | None

    def source(self, table: Table, wanted: Signal) -> str:
        """Read the key `source`.

        Raises
        ------
        ConfigError
            If no device has it, or it gives something else than is wanted.
        """
        found = table.content.get("source")
        signal = self._signal(found)
        if not isinstance(found, str) or signal is None or wanted not in (signal, Signal.ANY):
            raise table.wrong("source", f"a source of {wanted}: {self._sources(wanted)}")
        return found

    def two_sources(self, table: Table) -> tuple[tuple[str, str], Signal]:
        """Read the key `sources`: two different ones that give the same.

        Raises
        ------
        ConfigError
            If they are not, or no device has them.
        """
        found = table.texts("sources")
        signals = {self._signal(source) for source in found}
        if len(found) != 2 or len(set(found)) != 2 or len(signals) != 1:
            raise table.wrong("sources", "two different sources of the same kind")
        signal = signals.pop()
        if signal is None:
            raise table.wrong("sources", f"two sources of {Signal.ANY}: {self._sources(Signal.ANY)}")
        return (found[0], found[1]), signal

    def sink(self, table: Table) -> str:
        """Read the key `sink`.

        Raises
        ------
        ConfigError
            If no device has it.
        """
        sinks = [RELAY] if self.surveillance else []
        sinks += [f"gpio:{output.line}" for output in (self.gpio.outputs if self.gpio else ())]
        return table.choice("sink", tuple(sinks))

    def _signal(self, source: object) -> Signal | None:
        """Say what a source gives; `None` if no device has it."""
        if not isinstance(source, str):
            return None
        if source == CPU_TEMPERATURE:
            return Signal.NUMBER
        channel = _CHANNEL.fullmatch(source)
        if channel is not None and self.surveillance is not None:
            return Signal.NUMBER if channel[1] == "analog" else Signal.CONTACT
        return Signal.CONTACT if source in self._lines() else None

    def _lines(self) -> list[str]:
        return [f"gpio:{line.line}" for line in (self.gpio.inputs if self.gpio else ())]

    def _sources(self, wanted: Signal) -> str:
        """List the sources that give what is wanted."""
        kinds = {"analog": Signal.NUMBER, "digital": Signal.CONTACT}
        listed = [
            f'"{kind}:0" to "{kind}:99"'
            for kind, signal in kinds.items()
            if self.surveillance is not None and wanted in (signal, Signal.ANY)
        ]
        if wanted is not Signal.NUMBER:
            listed += [f'"{line}"' for line in self._lines()]
        if wanted is not Signal.CONTACT:
            listed.append(f'"{CPU_TEMPERATURE}"')
        return ", ".join(listed)

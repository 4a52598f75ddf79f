"""The virtual microscope's panel: what is wired to its GPIO lines, and how that behaves. No sockets here.

====  =========  ==========================================================================================
line  direction  what is wired to it
====  =========  ==========================================================================================
5     in         lid, first contact: to ground while the lid is closed, open otherwise
6     in         lid, second contact: to ground while the lid is open, open otherwise
13    in         key switch: to ground while the key is turned on, open otherwise
16    in         monitor of the emission indicator: driven high while the indicator's lamp is intact
19    in         comparator of the light's current: driven high while it is within 0.7 A
26    in         mirror contact of the light's relay: to ground while the relay is off, open otherwise
17    out        the light's relay: picks up while this is high and the charge pump runs
22    out        selector of the light's diode: low for the first, high for the second; the relay feeds both
27    out        charge pump: an AC-coupled supply of the relay, alive until `HOLD` after the last edge
====  =========  ==========================================================================================

A contact that is open, and a wire that is broken, leave a line to its pull; without a pull it reads low. So
``pull = "up"`` makes a broken wire read as an open contact.

Released lines do what those of a Raspberry Pi do under its own kernel: outputs stay as they were last driven. What
makes the light safe then is that nothing toggles the charge pump.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CURRENT_LIMIT", "HOLD", "Panel", "PanelError"]

LID, LID_OPEN, KEY, INDICATOR, CURRENT, MIRROR = 5, 6, 13, 16, 19, 26
LIGHT, SELECTOR, PUMP = 17, 22, 27
HOLD = 0.05  # s, unless it is said otherwise
CURRENT_LIMIT = 0.7  # A
_INPUTS = frozenset({LID, LID_OPEN, KEY, INDICATOR, CURRENT, MIRROR})
_OUTPUTS = frozenset({LIGHT, SELECTOR, PUMP})
_PULLS = {"up": True, "down": False, "none": False}
# What a hand can do, in the words of `nixel simulate`, and which part it puts into which state.
_HANDS = {
    ("lid", "open"): ("lid_closed", False),
    ("lid", "close"): ("lid_closed", True),
    ("key", "on"): ("key_on", True),
    ("key", "off"): ("key_on", False),
    ("indicator", "break"): ("indicator_intact", False),
    ("indicator", "mend"): ("indicator_intact", True),
}


class PanelError(Exception):
    """What was asked for cannot be; the text says why."""


@dataclass
class _Output:
    owner: object | None = None
    level: bool = False


class Panel:
    """The panel: contacts, a relay, and the charge pump that feeds it.

    It comes up as a panel looks in the morning: lid closed, key on, indicator intact, everything dark. Times are in s
    and never go back.

    Parameters
    ----------
    warm : callable, optional
        Told the processor's temperature in degC whenever a hand changes it; without it there is no processor here.
    hold : float, optional
        For how long the relay holds without an edge of the charge pump [s].
    """

    def __init__(self, warm: Callable[[float], None] | None = None, hold: float = HOLD) -> None:
        self._warm = warm
        self._hold = hold
        self.lid_closed = True
        self.key_on = True
        self.indicator_intact = True
        self.current = 0.35  # A, while the light is on
        self.relay = False
        self.moved = 0.0
        self.edges = 0
        self._edge: float | None = None
        self._inputs: dict[int, tuple[object, str]] = {}
        self._outputs = {line: _Output() for line in sorted(_OUTPUTS)}

    # --- the lines ---

    def claim_input(self, owner: object, line: int, pull: str) -> None:
        """Make a line an input of `owner` with a pull: up, down or none.

        Raises
        ------
        PanelError
            If there is no such line or pull, or the line belongs to another.
        """
        if line not in _INPUTS:
            raise PanelError(f"line {line} is none of the inputs {_listed(_INPUTS)}")
        if pull not in _PULLS:
            raise PanelError(f"expected the pull up, down or none, found {pull!r}")
        if self._inputs.get(line, (owner, ""))[0] is not owner:
            raise PanelError(f"line {line} belongs to another connection")
        self._inputs[line] = (owner, pull)

    def claim_output(self, owner: object, line: int, level: bool, now: float) -> None:
        """Make a line an output of `owner` that is driven to a level from the beginning.

        Raises
        ------
        PanelError
            If there is no such line, or it belongs to another.
        """
        if line not in _OUTPUTS:
            raise PanelError(f"line {line} is none of the outputs {_listed(_OUTPUTS)}")
        output = self._outputs[line]
        if output.owner not in (None, owner):
            raise PanelError(f"line {line} belongs to another connection")
        output.owner = owner
        self._drive(line, level, now)

    def drive(self, owner: object, line: int, level: bool, now: float) -> None:
        """Drive an output.

        Raises
        ------
        PanelError
            If it is none of `owner`'s.
        """
        if line not in self._outputs or self._outputs[line].owner is not owner:
            raise PanelError(f"line {line} is no output of this connection")
        self._drive(line, level, now)

    def levels(self, owner: object, now: float) -> dict[int, bool]:
        """Give the levels of the inputs of `owner`, by line."""
        self.tick(now)
        lines = sorted(line for line, (whose, _) in self._inputs.items() if whose is owner)
        return {line: self._level(line, self._inputs[line][1]) for line in lines}

    def level(self, owner: object, line: int, now: float) -> bool:
        """Give the level of one line of `owner`, an output's too.

        Raises
        ------
        PanelError
            If it is none of `owner`'s.
        """
        if line in self._outputs and self._outputs[line].owner is owner:
            return self._outputs[line].level
        levels = self.levels(owner, now)
        if line not in levels:
            raise PanelError(f"line {line} is none of this connection")
        return levels[line]

    def release(self, owner: object) -> None:
        """Take back the lines of `owner`; outputs stay as they were last driven."""
        self._inputs = {line: claim for line, claim in self._inputs.items() if claim[0] is not owner}
        for output in self._outputs.values():
            if output.owner is owner:
                output.owner = None

    # --- the parts ---

    def tick(self, now: float) -> None:
        """Let the relay drop if the charge pump has stood still for too long."""
        fed = self._edge is not None and now - self._edge <= self._hold
        on = fed and self._outputs[LIGHT].level
        if on != self.relay:
            self.relay = on
            # A relay that starves drops when its supply is used up, whenever we happen to look.
            starved = not on and self._outputs[LIGHT].level and self._edge is not None
            self.moved = self._edge + self._hold if starved and self._edge is not None else now

    def next_drop(self) -> float | None:
        """When the relay drops if nothing happens [s]; `None` while it is off."""
        return self._edge + self._hold if self.relay and self._edge is not None else None

    def hand(self, part: str, action: str) -> None:
        """Do what a hand at the panel does.

        Parameters
        ----------
        part, action : str
            lid open or close, key on or off, indicator break or mend, current and a number of A that flows while the
            light is on, processor and a temperature in degC.

        Raises
        ------
        PanelError
            If it can do no such thing.
        """
        if part == "current":
            self.current = _quantity(action, 0.0, 10.0, "a current", "A")
            return
        if part == "processor":
            celsius = _quantity(action, -40.0, 150.0, "a temperature", "degC")
            if self._warm is None:
                raise PanelError("this panel was started without a simulated processor (--thermal)")
            self._warm(celsius)
            return
        if (part, action) not in _HANDS:
            known = ", ".join(f"{part} {action}" for part, action in _HANDS)
            raise PanelError(
                f"expected one of {known}, current AMPERES, processor DEGC; found {part} {action}"
            )
        name, state = _HANDS[part, action]
        setattr(self, name, state)

    def describe(self, now: float) -> str:
        """Say how everything is, as ``name=value`` separated by spaces; times in s."""
        self.tick(now)
        state = {
            "relay": int(self.relay),
            "moved": f"{self.moved:.6f}",
            "edges": self.edges,
            "light": int(self._outputs[LIGHT].level),
            "diode": 1 + int(self._outputs[SELECTOR].level),
            "lid": "closed" if self.lid_closed else "open",
            "key": "on" if self.key_on else "off",
            "indicator": "intact" if self.indicator_intact else "broken",
            "current": f"{self.current if self.relay else 0.0:g}",
        }
        return " ".join(f"{name}={value}" for name, value in state.items())

    def _drive(self, line: int, level: bool, now: float) -> None:
        self.tick(now)
        output = self._outputs[line]
        if line == PUMP and output.level != level:
            self.edges += 1
            self._edge = now
        output.level = level
        self.tick(now)

    def _level(self, line: int, pull: str) -> bool:
        if line == INDICATOR:
            return self.indicator_intact
        if line == CURRENT:
            return not (self.relay and self.current > CURRENT_LIMIT)
        to_ground = {
            LID: self.lid_closed,
            LID_OPEN: not self.lid_closed,
            KEY: self.key_on,
            MIRROR: not self.relay,
        }[line]
        return not to_ground and _PULLS[pull]


def _quantity(text: str, low: float, high: float, what: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise PanelError(f"expected {what} from {low:g} to {high:g} {unit}, found {text!r}")
    return value


def _listed(lines: frozenset[int]) -> str:
    return ", ".join(str(line) for line in sorted(lines))

"""What Grbl 1.1 says and what its numbers mean, as its interface document has them; no wires here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALARMS", "AXES", "ERRORS", "Status", "alarm_text", "error_text", "parse_setting", "parse_status"]

AXES = ("x", "y", "z")

ALARMS: Mapping[int, str] = {
    1: "a limit switch was hit; the position is likely lost",
    2: "the target lies beyond the machine's travel; the position is kept",
    3: "it was reset while moving; the position is likely lost",
    4: "the probe was not in its expected state before probing",
    5: "the probe did not touch within its travel",
    6: "homing was interrupted by a reset",
    7: "homing was interrupted by the safety door",
    8: "homing could not clear the limit switch when pulling off",
    9: "homing did not find the limit switch within its search distance",
    10: "homing did not find the second limit switch of a dual axis",
}

ERRORS: Mapping[int, str] = {
    1: "a word has no letter",
    2: "a number is missing or badly written",
    3: "it does not know this $ command",
    4: "a value is negative that must not be",
    5: "homing is not enabled ($22)",
    6: "the step pulse is shorter than 3 us",
    7: "its EEPROM could not be read and has been set to defaults",
    8: "this $ command needs it to be idle",
    9: "G-code is locked during an alarm or a jog",
    10: "soft limits ($20) need homing ($22)",
    11: "the line is too long",
    12: "the setting needs a step rate that it cannot reach",
    13: "the safety door is open",
    14: "the line is too long for its EEPROM",
    15: "the jog's target lies beyond the machine's travel",
    16: "the jog has no = or holds G-code that a jog must not",
    17: "laser mode needs a PWM output",
    20: "it does not support this G-code",
    21: "two commands of one modal group stand in a line",
    22: "no feed rate has been set",
    23: "the command needs an integer",
    24: "two commands in a line need axis words",
    25: "a word is repeated",
    26: "axis words are missing",
    27: "the line number is not valid",
    28: "a value is missing that the command needs",
    29: "it does not support this work coordinate system",
    30: "G53 needs G0 or G1",
    31: "axis words stand in a line whose command uses none",
    32: "an arc needs an axis word in its plane",
    33: "the target of the movement is not valid",
    34: "the radius of the arc is not valid",
    35: "an arc needs an offset in its plane",
    36: "the line holds values that nothing uses",
    37: "the tool length offset is not on its axis",
    38: "the tool number is too large",
}

_STATES = frozenset({"Idle", "Run", "Hold", "Jog", "Alarm", "Door", "Check", "Home", "Sleep"})
_SETTING = re.compile(r"\$(\d+)=([0-9.+-]+)")


@dataclass(frozen=True)
class Status:
    """A status report.

    Parameters
    ----------
    state : str
        ``Idle``, ``Run``, ``Hold``, ``Jog``, ``Alarm``, ``Door``, ``Check``, ``Home`` or ``Sleep``.
    substate : int or None
        Of ``Hold`` and ``Door``; 0 is one that is complete.
    position : dict of str to float
        Machine position by axis in m.
    pins : str
        Letters of the inputs that are triggered, such as ``"Z"`` for a limit switch.
    """

    state: str
    substate: int | None
    position: dict[str, float] = field(default_factory=dict)
    pins: str = ""

    @property
    def stopped(self) -> bool:
        """Whether nothing moves, and a reset loses no position."""
        return self.state in ("Idle", "Alarm", "Check", "Sleep") or (
            self.state == "Hold" and self.substate == 0
        )


def alarm_text(line: str) -> str:
    """Say what ``ALARM:NUMBER`` means, the line itself in front."""
    return _text(line, ALARMS)


def error_text(line: str) -> str:
    """Say what ``error:NUMBER`` means, the line itself in front."""
    return _text(line, ERRORS)


def _text(line: str, meanings: Mapping[int, str]) -> str:
    _, _, number = line.partition(":")
    meaning = meanings.get(int(number)) if number.isdecimal() else None
    return f"{line} ({meaning or 'a number that Grbl 1.1 does not define'})"


def parse_status(line: str) -> Status:
    """Read a status report.

    Parameters
    ----------
    line : str
        ``<Idle|MPos:0.000,0.000,0.000|FS:0,0>``, in mm.

    Raises
    ------
    ValueError
        It is none, or gives no machine position.
    """
    if not (line.startswith("<") and line.endswith(">")):
        raise ValueError("expected a status report in angle brackets")
    first, *fields = line[1:-1].split("|")
    state, _, sub = first.partition(":")
    if state not in _STATES or (sub and not sub.isdecimal()):
        raise ValueError(f"expected one of Grbl's states, found {first!r}")
    values = dict(text.partition(":")[::2] for text in fields)
    if "MPos" not in values:
        raise ValueError("expected the machine position, MPos (set $10=1)")
    numbers = [float(text) / 1e3 for text in values["MPos"].split(",")]
    if len(numbers) < len(AXES):
        raise ValueError(f"expected the position of {len(AXES)} axes, found {len(numbers)}")
    position = dict(zip(AXES, numbers, strict=False))
    return Status(state, int(sub) if sub else None, position, values.get("Pn", ""))


def parse_setting(line: str) -> tuple[int, float]:
    """Read a line of ``$$``, such as ``$110=500.000``.

    Raises
    ------
    ValueError
        It is none.
    """
    match = _SETTING.fullmatch(line)
    if match is None:
        raise ValueError("expected $NUMBER=VALUE")
    return int(match[1]), float(match[2])

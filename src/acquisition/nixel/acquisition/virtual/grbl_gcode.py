"""The part of Grbl 1.1's G-code that the simulated controller understands, and its errors by their numbers.

Straight lines, dwells, the units, distance modes and machine coordinates; no arcs, probes, offsets or tools. What Grbl
knows and this does not is refused as Grbl refuses what it does not know (error 20).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

__all__ = ["AXES", "Block", "GrblError", "Modes", "parse"]

AXES = ("X", "Y", "Z")
_WORD = re.compile(r"([A-Z])([+-]?(?:\d+\.?\d*|\.\d+)?)")
_INCH = 25.4  # mm
# Modal groups: of each, a block may have one.
_GROUPS = {
    "G0": "motion", "G1": "motion", "G4": "other", "G53": "other",
    "G20": "units", "G21": "units", "G90": "distance", "G91": "distance",
    "G94": "feed", "G17": "plane", "G54": "system", "G40": "cutter", "G49": "length",
    "M5": "spindle", "M9": "coolant", "M0": "flow", "M2": "flow", "M30": "flow",
}  # fmt: skip


class GrblError(Exception):
    """What Grbl answers with ``error:NUMBER``."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"error:{number}")


@dataclass(frozen=True)
class Modes:
    """What one block leaves to the next: the motion mode, units, distances, and the feed rate in mm/min."""

    motion: str = "G0"
    inches: bool = False
    incremental: bool = False
    feed: float | None = None

    def describe(self) -> str:
        """Say them as ``$G`` does."""
        units, distance = "G20" if self.inches else "G21", "G91" if self.incremental else "G90"
        return f"[GC:{self.motion} G54 G17 {units} {distance} G94 M5 M9 T0 F{self.feed or 0:g} S0]"


@dataclass(frozen=True)
class Block:
    """What a line asks for: where to (mm, by axis), how fast (mm/min, None for as fast as can be), and for how long."""

    modes: Modes
    target: dict[str, float] = field(default_factory=dict)
    feed: float | None = None
    dwell: float | None = None


def parse(line: str, modes: Modes, here: dict[str, float], jog: bool = False) -> Block:
    """Read one block.

    Parameters
    ----------
    line : str
        Without spaces and comments, in capitals.
    modes : Modes
    here : dict of str to float
        Where each axis will be when the block begins, in mm.
    jog : bool
        Whether it stands behind ``$J=``.

    Returns
    -------
    Block
        With the modes that follow; a jog leaves them as they were.

    Raises
    ------
    GrblError
    """
    codes, values = _words(line)
    if jog and not {*codes} <= {"G20", "G21", "G53", "G90", "G91"}:
        raise GrblError(16)
    groups = [_GROUPS[code] for code in codes if _GROUPS[code] != "other"]
    if len(groups) != len(set(groups)):
        raise GrblError(21)
    new = replace(
        modes,
        motion=next((code for code in codes if _GROUPS[code] == "motion"), modes.motion),
        inches=modes.inches if not {"G20", "G21"} & {*codes} else "G20" in codes,
        incremental=modes.incremental if not {"G90", "G91"} & {*codes} else "G91" in codes,
    )
    scale = _INCH if new.inches else 1.0
    if "F" in values:
        if values["F"] < 0:
            raise GrblError(4)
        new = replace(new, feed=values.pop("F") * scale)
    elif jog:
        raise GrblError(22)
    if "G4" in codes:
        if "P" not in values:
            raise GrblError(28)
        return Block(new, dwell=values["P"])
    moved = {axis: values.pop(axis) * scale for axis in AXES if axis in values}
    if values.keys() - {"N", "S", "T"}:
        raise GrblError(36)
    if not moved:
        if jog or {"G0", "G1"} & {*codes}:
            raise GrblError(26)
        return Block(new)
    if "G53" not in codes and new.incremental:
        moved = {axis: here[axis] + way for axis, way in moved.items()}
    straight = jog or new.motion == "G1"
    if straight and not new.feed:
        raise GrblError(22)
    return Block(modes if jog else new, here | moved, new.feed if straight else None)


def _words(line: str) -> tuple[list[str], dict[str, float]]:
    codes: list[str] = []
    values: dict[str, float] = {}
    place = 0
    while place < len(line):
        match = _WORD.match(line, place)
        if match is None:
            raise GrblError(1)
        letter, number = match.groups()
        if not number or number in "+-":
            raise GrblError(2)
        place = match.end()
        if letter in "GM":
            if float(number) != int(float(number)):
                raise GrblError(20)
            code = f"{letter}{int(float(number))}"
            if code not in _GROUPS:
                raise GrblError(20)
            codes.append(code)
        elif letter not in "FNPSTXYZ":
            raise GrblError(20)
        elif letter in values:
            raise GrblError(25)
        else:
            values[letter] = float(number)
    return codes, values

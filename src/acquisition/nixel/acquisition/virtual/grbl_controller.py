"""A stepper controller that speaks Grbl 1.1, without its wire; `nixel.acquisition.virtual.grbl` says what it does."""

from __future__ import annotations

import math
import re
from collections import deque
from typing import TYPE_CHECKING

from nixel.acquisition.virtual.grbl_gcode import AXES, Block, GrblError, Modes, parse
from nixel.acquisition.virtual.wire import HandError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nixel.acquisition.virtual.carried_sensor import Carrying

__all__ = ["DEFAULTS", "Grbl"]

DEFAULTS: dict[int, float] = {
    0: 10, 1: 25, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 10: 1, 11: 0.010, 12: 0.002, 13: 0,
    20: 1, 21: 1, 22: 1, 23: 0, 24: 300, 25: 1200, 26: 10, 27: 0.5, 30: 1000, 31: 0, 32: 0,
    100: 800, 101: 800, 102: 800, 110: 1200, 111: 1200, 112: 1200, 120: 200, 121: 200, 122: 200,
    130: 20, 131: 20, 132: 20,
}  # fmt: skip
_WHOLE = frozenset({0, 1, 2, 3, 4, 5, 6, 10, 13, 20, 21, 22, 23, 26, 32})
_WELCOME = "\r\nGrbl 1.1h ['$' for help]\r\n"
_LOCKED = "[MSG:'$H'|'$X' to unlock]\r\n"
_HOLDING = 0.02  # s
_BLOCKS, _LONGEST_LINE = 15, 80
_REALTIME = frozenset(b"?!~\x18\x85")
_SETTING = re.compile(r"\$(\d+)=(.*)")


class Grbl:
    """The controller, a `nixel.acquisition.virtual.wire.Machine`.

    Parameters
    ----------
    settings : dict of int to float, optional
        Instead of `DEFAULTS`.
    carry : callable, optional
        Takes what the axes carry to their positions in mm, and says whether it is there; a move lasts until it is, and
        what is blocked presses a limit switch.
    """

    def __init__(
        self,
        settings: dict[int, float] | None = None,
        carry: Callable[[Mapping[str, float]], Carrying] = lambda _: "there",
    ) -> None:
        self._carry = carry
        self.settings = DEFAULTS | (settings or {})
        self.jammed: set[str] = set()
        self._now = 0.0
        self.position = dict.fromkeys(AXES, -1.0)  # mm, of which the controller only knows after homing
        self.state = "Alarm"
        self._reset()

    def _reset(self) -> None:
        self._modes, self._blocks = Modes(), deque[Block]()
        self._line, self._waiting, self._critical = b"", deque[str](), False
        self._held: float | None = None
        self._home: float | None = None
        self._dwell: float | None = None
        self._reports = 0

    @property
    def busy(self) -> bool:
        """Whether something moves."""
        return self.state in ("Run", "Jog") or self._home is not None or self._held is not None

    def power_on(self, now: float) -> bytes:
        """Come up: locked, if homing is on, because nobody knows where the axes are."""
        self._reset()
        self._now = now
        self.state = "Alarm" if self.settings[22] else "Idle"
        self._carry(self.position)
        return self._welcome().encode()

    def _welcome(self) -> str:
        return _WELCOME + (_LOCKED if self.state == "Alarm" else "")

    def receive(self, data: bytes, now: float) -> bytes:
        """Take real-time commands at once and lines one after another."""
        said = self._advance(now)
        for byte in data:
            if byte in _REALTIME:
                said += self._realtime(byte)
            elif byte < 0x80 and byte in b"\r\n":
                line, self._line = self._line, b""
                said += self._take(line.decode("ascii", "replace"))
            elif byte < 0x80:
                self._line += bytes((byte,))
        return said.encode()

    def tick(self, now: float) -> bytes:
        """Move on, and answer the lines that had to wait."""
        return self._advance(now).encode()

    def hand(self, words: Sequence[str]) -> str:
        """Press a switch, block or free an axis, or tell how everything is."""
        match [word.upper() for word in words]:
            case ["LIMIT", axis] if axis in AXES:
                self._limit = axis
                return "ok"
            case ["JAM", axis] if axis in AXES:
                self.jammed.add(axis)
            case ["FREE", axis] if axis in AXES:
                self.jammed.discard(axis)
            case ["STATE"]:
                return f"{self.state} " + " ".join(f"{axis}={self.position[axis]:.3f}" for axis in AXES)
            case _:
                raise HandError(
                    f"found {' '.join(words)!r}; expected limit, jam or free with an axis, or state"
                )
        return "ok"

    _limit = ""  # the switch that a hand has pressed since the last look

    # --- real time ---

    def _realtime(self, byte: int) -> str:
        if byte == 0x18:
            return self._soft_reset()
        if self._critical:
            return ""  # nothing but a reset is heard any more
        if byte == ord("?"):
            return "" if self.state == "Home" else self._report()
        if byte == ord("!") and self.state in ("Idle", "Run"):
            self._held = self._now if self.state == "Run" else self._now - _HOLDING
            self.state = "Hold"
        elif byte in (ord("!"), 0x85) and self.state == "Jog":
            self._blocks.clear()
            self.state = "Idle"
        elif byte == ord("~") and self.state == "Hold" and self._stopped:
            self._held = None
            self.state = "Run" if self._blocks else "Idle"
        return ""

    @property
    def _stopped(self) -> bool:
        return self._held is not None and self._now - self._held >= _HOLDING

    def _soft_reset(self) -> str:
        said = ""
        homing = self.state == "Home"
        moving = self.state in ("Run", "Jog") or (self.state == "Hold" and not self._stopped)
        if homing or moving:
            said = f"ALARM:{6 if homing else 3}\r\n"
            self.state = "Alarm"
        # A line that the alarm has cut short is answered before the controller starts anew.
        said += "ok\r\n" if self._critical or homing else ""
        self._reset()
        self._carry(self.position)
        if self.state != "Alarm":
            self.state = "Idle"
        return said + self._welcome()

    def _report(self) -> str:
        state = f"Hold:{int(not self._stopped)}" if self.state == "Hold" else self.state
        kind, scale = ("MPos" if int(self.settings[10]) & 1 else "WPos"), (25.4 if self.settings[13] else 1.0)
        digits = 4 if self.settings[13] else 3
        where = ",".join(f"{self.position[axis] / scale:.{digits}f}" for axis in AXES)
        feed = (self._blocks[0].feed or 0.0) if self.state in ("Run", "Jog") and self._blocks else 0.0
        said = f"<{state}|{kind}:{where}"
        if int(self.settings[10]) & 2:
            said += f"|Bf:{_BLOCKS - len(self._blocks)},128"
        said += f"|FS:{feed:.0f},0"
        # Offsets now and then, overrides in the report after.
        if self._reports % 10 == 0:
            said += "|WCO:0.000,0.000,0.000"
        elif self._reports % 10 == 1:
            said += "|Ov:100,100,100"
        self._reports += 1
        return said + ">\r\n"

    # --- lines ---

    def _take(self, line: str) -> str:
        if self._critical:
            return ""
        if self._home is not None or self._waiting or len(self._blocks) >= _BLOCKS:
            self._waiting.append(line)
            return ""
        return self._execute(line)

    def _execute(self, line: str) -> str:
        if len(line) > _LONGEST_LINE:
            return "error:11\r\n"
        text = re.sub(r"\([^)]*\)|;.*|\s", "", line).upper()
        try:
            if text.startswith("$"):
                said = self._system(text)
                return said if self._home is not None else said + "ok\r\n"
            if text:
                if self.state in ("Alarm", "Jog"):
                    raise GrblError(9)
                return self._move(parse(text, self._modes, self._end()), jog=False)
        except GrblError as error:
            return f"{error}\r\n"
        return "ok\r\n"

    def _move(self, block: Block, jog: bool) -> str:
        self._modes = block.modes
        if block.target and self.settings[20] and not self._reachable(block.target):
            if jog:
                raise GrblError(15)
            self._blocks.clear()
            self._critical, self.state = True, "Alarm"
            return "ALARM:2\r\n[MSG:Reset to continue]\r\n"
        if block.target or block.dwell is not None:
            self._blocks.append(block)
            if self.state == "Idle":
                self.state = "Jog" if jog else "Run"
        return "ok\r\n"

    def _end(self) -> dict[str, float]:
        """Where the axes are when everything asked for is done."""
        return next((block.target for block in reversed(self._blocks) if block.target), self.position)

    def _reachable(self, target: dict[str, float]) -> bool:
        return all(-self.settings[130 + number] <= target[axis] <= 0.0 for number, axis in enumerate(AXES))

    def _system(self, text: str) -> str:
        still = self.state in ("Idle", "Alarm")
        if text == "$":
            return "[HLP:$$ $# $G $I $N $x=val $Nx=line $J=line $SLP $C $X $H ~ ! ? ctrl-x]\r\n"
        if text.startswith("$J"):
            if self.state not in ("Idle", "Jog"):
                raise GrblError(8)
            if not text.startswith("$J="):
                raise GrblError(16)
            return self._move(parse(text[3:], self._modes, self._end(), jog=True), jog=True).removesuffix(
                "ok\r\n"
            )
        if text == "$G":
            return self._modes.describe() + "\r\n"
        if text == "$X":
            if self.state != "Alarm":
                return ""
            self.state = "Idle"
            return "[MSG:Caution: Unlocked]\r\n"
        if text == "$$":
            if self.state in ("Run", "Hold"):
                raise GrblError(8)
            return "".join(f"${number}={self._shown(number)}\r\n" for number in sorted(self.settings))
        if not still:
            raise GrblError(8)
        if text == "$H":
            if not self.settings[22]:
                raise GrblError(5)
            self.state, self._home = "Home", self._now + self._homing_time()
            return ""
        if text == "$I":
            return f"[VER:1.1h.20190830:simulated]\r\n[OPT:V,{_BLOCKS},128]\r\n"
        return self._store(text)

    def _store(self, text: str) -> str:
        match = _SETTING.fullmatch(text)
        if match is None or int(match[1]) not in self.settings:
            raise GrblError(3)
        try:
            number, value = int(match[1]), float(match[2])
        except ValueError:
            raise GrblError(2) from None
        if not (math.isfinite(value) and value >= 0):
            raise GrblError(4)
        if number == 0 and value < 3:
            raise GrblError(6)
        if number == 20 and value and not self.settings[22]:
            raise GrblError(10)
        self.settings[number] = float(int(value)) if number in _WHOLE else round(value, 3)
        if number == 22 and not value:
            self.settings[20] = 0.0
        return ""

    def _shown(self, number: int) -> str:
        value = self.settings[number]
        return str(int(value)) if number in _WHOLE or number in (30, 31) else f"{value:.3f}"

    # --- motion ---

    def _homing_time(self) -> float:
        search = max(abs(self.position[axis]) for axis in AXES) / self.settings[25]
        return 60 * (search + 2 * self.settings[27] / self.settings[24]) + 2e-3 * self.settings[26]

    def _advance(self, now: float) -> str:
        seconds, self._now = now - self._now, now
        if self._limit:
            self._limit = ""
            if self.settings[21] and self.state in ("Run", "Jog", "Hold", "Idle"):
                self._blocks.clear()
                self._critical, self.state, self._held = True, "Alarm", None
                return "ALARM:1\r\n[MSG:Reset to continue]\r\n"
        if self._home is not None:
            return self._end_homing() if now >= self._home else ""
        if self.state in ("Run", "Jog"):
            self._travel(seconds)
        said = ""
        while self._waiting and len(self._blocks) < _BLOCKS and self._home is None and not self._critical:
            said += self._execute(self._waiting.popleft())
        return said

    def _end_homing(self) -> str:
        if self.jammed:
            self._home = None
            self.state = "Alarm"
            self._reset()
            return "ALARM:9\r\nok\r\n" + self._welcome()
        pull_off, mask = self.settings[27], int(self.settings[23])
        for number, axis in enumerate(AXES):
            negative = mask >> number & 1
            self.position[axis] = pull_off - self.settings[130 + number] if negative else -pull_off
        if not self._arrived():
            return ""
        self._home = None
        self.state = "Idle"
        return "ok\r\n"

    def _arrived(self) -> bool:
        carrying = self._carry(self.position)
        if carrying == "blocked":
            self._limit = "carried"
        return carrying != "moving"

    def _travel(self, seconds: float) -> None:
        while self._blocks and seconds > 0:
            block = self._blocks[0]
            if block.dwell is not None:
                left = block.dwell if self._dwell is None else self._dwell
                self._dwell, seconds = max(0.0, left - seconds), seconds - left
                if self._dwell > 0:
                    return
                self._dwell = None
                self._blocks.popleft()
                continue
            way = {axis: block.target[axis] - self.position[axis] for axis in AXES}
            length = math.hypot(*way.values())
            done = min(1.0, seconds * self._speed(block, way, length) / length) if length else 1.0
            seconds -= done * length / self._speed(block, way, length) if length else 0.0
            for axis in AXES:
                # The controller counts the steps that it asked for: of a blocked axis it knows nothing.
                self.position[axis] += done * way[axis]
            if done == 1.0:
                self._blocks.popleft()
                self.position = self._on_steps(block.target)
        if not self._blocks and self._arrived():
            self.state = "Idle"

    def _on_steps(self, target: dict[str, float]) -> dict[str, float]:
        steps = {axis: self.settings[100 + number] for number, axis in enumerate(AXES)}
        return {axis: round(target[axis] * steps[axis]) / steps[axis] for axis in AXES}

    def _speed(self, block: Block, way: dict[str, float], length: float) -> float:
        """In mm/s: no axis goes faster than its maximum rate."""
        fastest = min(
            self.settings[110 + number] * length / abs(way[axis])
            for number, axis in enumerate(AXES)
            if way[axis]
        )
        return min(fastest, block.feed or math.inf) / 60

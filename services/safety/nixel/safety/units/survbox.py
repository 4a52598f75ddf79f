"""The protocol of a serial surveillance unit ("SURVBOX:3"), as a state machine without input and output.

Frames are `!COMMAND*#` to the unit and `TEXT#` from it; each command has one reply, and replies come in
order, also those to commands that are written together: 60 bytes at most, which the smallest buffers hold. The
unit owns the relay of the amplifier's mains and drops it by itself when `RESET:WD` has not come for 100 ms: so the
heartbeat of the control loop, passed on as `RESET:WD`, is the charge pump. What it has switched off by itself it
keeps off until `RESET:FAIL`, which passes on that a person has reset and armed.

The command set is that of the surveillance units which MPIMeasurements.jl drives. Two of its commands make a unit look
on, and are therefore never sent: `DISABLE:WD` and `DISABLE:SURVEILLANCE`.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from nixel.safety.core.frozen import dataclass
from nixel.safety.units.survbox_replies import LinkError, readings, relay

if TYPE_CHECKING:
    from nixel.safety.core.model import Reading

BANNER = "SURVBOX:3"
# Contacts and currents change at once, the relay does not: where time is short it is asked every other time. It is
# asked first and told last, for a unit drops it by itself when a contact opens: whoever sees it off has then seen the
# contact, too.
_ROUND = ("GET:DIGITAL", "GET:ANALOG")
_WITH_RELAY = ("GET:STATUS", *_ROUND)
_FIRST = 2  # rounds, which a start waits for: at once and one by one
# s between the last reply of a round and the tick that is to judge it: two for the rounding of the wait for a line.
_MARGIN = 2e-3

# How long one round of the unit itself takes: asked beside the relay while nothing may be on, once in so long [s].
_CYCLE = "GET:CYCLETIME"
CYCLE_EVERY = 1.0
FED_WITHIN = 0.1  # s; the unit's watchdog

_RELAY_ON, _RELAY_OFF = "ENABLE:AC", "DISABLE:AC"
_WATCH, _SURVEY = "ENABLE:WD", "ENABLE:SURVEILLANCE"
_FEED = "RESET:WD"
_FORGIVE = "RESET:FAIL"
_VERSION = "VERSION"
# Older units of this family acknowledge with ACQ.
_ACKNOWLEDGED = ("ACK", "ACQ")
_LONGEST_FRAME = 4096
_STRAY_FRAMES = 8  # what a predecessor asked for may still be under way when we open the line


# Safe to write at any time, to any unit, in any state of the link: off, and where something is wrong kept so.
PARTING = b"!DISABLE:AC*#"
PARTING_IN_NEED = PARTING + b"!NOTAUS*#"


@dataclass(frozen=True, slots=True)
class Timing:
    """The pace of the link, all in seconds.

    Attributes
    ----------
    reply
        The longest time that a reply may take.
    boot, again
        The same for the first reply, for a unit may restart when its line is opened; how soon it is asked
        again.
    feed
        The shortest time between two `RESET:WD`; well under the unit's 100 ms.
    active, idle
        The time between two polls of everything, while outputs are permitted and otherwise; while the relay is to be
        on there are two in that time, if the line is quick enough.
    """

    reply: float = 0.15
    boot: float = 2.5
    again: float = 0.5
    feed: float = 0.02
    active: float = 0.01
    idle: float = 0.04


@dataclass(frozen=True, slots=True)
class Demand:
    """What the control loop wants: relay, outputs permitted, how often its heartbeat has toggled."""

    on: bool = False
    permitted: bool = False
    beats: int = 0


class Link:
    """One opened line to a unit.

    Call `poll` whenever something may be due and write what it returns; pass what was read to `feed`.
    `readings` holds the newest of everything, stamped with the time of the question; it is replaced, never
    changed. `rounds` counts how often everything that is asked in turn has been answered.

    Parameters
    ----------
    timing
        The pace.
    now
        The time of opening [s].
    """

    def __init__(self, timing: Timing, now: float) -> None:
        self.timing = timing
        self.readings: dict[str, Reading] = {}
        self.ready = False
        self.rounds = 0
        self._demand = Demand()
        self._buffer = b""
        self._asked: deque[tuple[str, float]] = deque()
        self._setup: deque[str] = deque([_VERSION])
        self._turn: deque[str] = deque()
        self._cycles = 0
        self._opened = now
        self._strays = 0
        self._relay_on = False
        # What the relay says of itself, until the rest of the round has been read.
        self._relay_says: dict[str, Reading] = {}
        self._last = ""
        self._beats = 0
        self._fed = -math.inf
        self._polled = -math.inf
        self._timed = -math.inf
        self._polling = False
        self._takes = 0.0  # s for a round of questions one by one, as of late
        self._gathers = -math.inf  # until when the replies to a round that was asked at once need not be read
        self._due = self._last_due = -math.inf  # the next round, and the last one before the next tick
        self._ticked = False
        self._forgiving = False  # asked to, since outputs are permitted
        self._forgiven = False
        self._failures = 0

    def demand(self, demand: Demand) -> None:
        """Take over what the control loop wants; `poll` acts on it.

        Parameters
        ----------
        demand
            The newest.
        """
        self._ticked = self._ticked or demand.beats != self._demand.beats
        self._demand = demand
        if demand.permitted:
            self._gathers = -math.inf
        else:
            self._forgiving = self._forgiven = False
            self._failures = 0

    def poll(self, now: float) -> bytes:
        """Give what is to be written now.

        Switching the relay off goes out at once, even while a reply is awaited; everything else waits its
        turn.

        Parameters
        ----------
        now
            The time [s].

        Returns
        -------
        bytes
            Whole frames; often empty.

        Raises
        ------
        LinkError
            If a reply is overdue.
        """
        self._keep_step(now)
        frames = b""
        if self._relay_on and not self._demand.on:
            self._relay_on = False
            frames += self._ask(_RELAY_OFF, now)
        self._check_overdue(now)
        if now >= self._feed_due():
            frames += self._ask(_FEED, now)
        if not self._asked:
            command = self._next(now)
            if command:
                frames += self._ask(command, now)
                frames += self._ask_at_once(now)
            elif self._polling:
                self._polling = False
                self.rounds += 1
                if self._demand.permitted:
                    took = min(now - self._polled, self.timing.active)
                    # Rises at once and falls slowly, so that one quick round does not make the next ones late.
                    self._takes = max(took, self._takes + (took - self._takes) / 16)
        return frames

    def quiet(self) -> bool:
        """Whether the line can be left: the relay is off as far as we know, and no reply is awaited.

        Returns
        -------
        bool
            Always true before the unit has identified itself.
        """
        return not self.ready or not (self._relay_on or self._asked)

    def gathering(self, now: float) -> float:
        """Say for how long what is received need not be read, unless something else is demanded meanwhile.

        Parameters
        ----------
        now
            The time [s].

        Returns
        -------
        float
            Seconds, not negative; 0 whenever outputs are permitted.
        """
        return max(0.0, self._gathers - now)

    def next_time(self, now: float) -> float:
        """Say how long `poll` has nothing to do if nothing is read or demanded meanwhile.

        Parameters
        ----------
        now
            The time [s].

        Returns
        -------
        float
            Seconds, not negative.
        """
        due = self._feed_due()
        if self._asked:
            limit = self.timing.reply if self.ready else self.timing.again
            due = min(due, self._asked[0][1] + limit)
        else:
            due = min(due, self._poll_due())
        return max(0.0, due - now)

    def feed(self, data: bytes) -> None:
        """Take in what was read.

        Parameters
        ----------
        data
            Any piece of the stream.

        Raises
        ------
        LinkError
            If a reply is not what the protocol allows.
        """
        self._buffer += data
        *frames, self._buffer = self._buffer.split(b"#")
        for frame in frames:
            self._take(frame.strip().decode("ascii", "replace"))
        if len(self._buffer) > _LONGEST_FRAME:
            msg = f"sends {_LONGEST_FRAME} bytes without an end ('#'); it is another device"
            raise LinkError(msg)

    # --- sending ---

    def _ask(self, command: str, now: float) -> bytes:
        self._asked.append((command, now))
        self._last = command
        if command == _FEED:
            self._beats, self._fed = self._demand.beats, now
        return f"!{command}*#".encode("ascii")

    def _ask_at_once(self, now: float) -> bytes:
        """Ask the rest of a round without waiting for a reply, if nothing may be on: one waking reads them all later.

        Not the first rounds, which a start waits for.
        """
        frames = b""
        if not self._demand.permitted and self._polling and self._cycles > _FIRST:
            while self._turn:
                frames += self._ask(self._turn.popleft(), now)
            self._gathers = now + self.timing.idle / 4
        return frames

    def _feed_due(self) -> float:
        """Say when the unit's watchdog is to be fed: for a heartbeat that has toggled, and never else."""
        demand = self._demand
        if not demand.permitted or demand.beats == self._beats or not self.ready or self._setup:
            return math.inf
        waiting = any(command == _FEED for command, _ in self._asked)
        return math.inf if waiting else self._fed + self.timing.feed

    def _poll_due(self) -> float:
        if self._cycles < _FIRST:
            return -math.inf
        return self._due if self._demand.permitted else self._polled + self.timing.idle

    def _keep_step(self, now: float) -> None:
        """Ask so that the replies are there just before the next tick; one just after it waits a period.

        A heartbeat that has toggled is a tick, and wakes us at once. While the relay is to be on a line that is quick
        enough is asked half a period earlier, too: a fault waits for the next question for most of its time.
        """
        if self._ticked:
            self._ticked = False
            active = self.timing.active
            self._due = self._last_due = now + max(0.0, active - self._takes - _MARGIN)
            if self._demand.on and self._takes + _MARGIN < active / 2:
                self._due -= active / 2

    def _check_overdue(self, now: float) -> None:
        if not self._asked:
            return
        command, asked = self._asked[0]
        limit = self.timing.reply if self.ready else self.timing.boot
        if now - (asked if self.ready else self._opened) > limit:
            msg = f"has not answered {command} within {limit * 1e3:.0f} ms; is it connected and powered?"
            raise LinkError(msg)
        if not self.ready and now - asked > self.timing.again:
            # A unit that was still starting has not heard the question.
            self._asked.clear()
            self._setup = deque((_VERSION,))

    def _next(self, now: float) -> str:
        """Choose the next command of those that wait their turn: set-up, then switching on, then polling."""
        if self._setup:
            return self._setup.popleft()
        if self._demand.permitted and not self._forgiving:
            self._forgiving = True
            return _FORGIVE
        if self._demand.on and not self._relay_on:
            # Fed first, or the unit's watchdog would drop the relay that it has just picked up.
            if self._last != _FEED:
                return _FEED
            self._relay_on = True
            return _RELAY_ON
        if not self._turn and now >= self._poll_due():
            unhurried = self._cycles >= _FIRST and not self._demand.permitted
            self._turn.extend(_WITH_RELAY if unhurried or self._cycles % 2 else _ROUND)
            if self._cycles and not self._demand.permitted and now - self._timed >= CYCLE_EVERY:
                self._turn.append(_CYCLE)
                self._timed = now
            self._cycles += 1
            self._polled, self._polling = now, True
            # Unless a tick says better.
            self._due = self._last_due if now < self._last_due else now + self.timing.active
        return self._turn.popleft() if self._turn else ""

    # --- receiving ---

    def _take(self, frame: str) -> None:
        if not self.ready:
            self._greet(frame)
            return
        if frame == BANNER:
            return  # the answer to a question that was asked again
        if not self._asked:
            msg = f"sends {frame[:40]!r} without having been asked"
            raise LinkError(msg)
        command, asked = self._asked.popleft()
        prefix, _, rest = frame.partition(":")
        if prefix == "NAK":
            msg = f"refuses {command}: {rest or 'no reason given'}"
            raise LinkError(msg)
        if command.startswith("GET:"):
            if prefix != command.removeprefix("GET:"):
                raise self._nonsense(command, frame)
            self._read(prefix, rest, asked)
        elif frame not in _ACKNOWLEDGED:
            raise self._nonsense(command, frame)
        elif command == _FORGIVE:
            self._forgiven = self._forgiving

    def _greet(self, frame: str) -> None:
        self._asked.clear()
        if frame == BANNER:
            self.ready = True
            # Whatever a predecessor left behind: off, and watched.
            self._setup = deque((_RELAY_OFF, _WATCH, _SURVEY))
            return
        self._strays += 1
        if self._strays > _STRAY_FRAMES:
            msg = f"answers {frame[:40]!r} to {_VERSION}, expected {BANNER!r}; it is another device"
            raise LinkError(msg)
        self._setup = deque((_VERSION,))

    def _read(self, kind: str, text: str, asked: float) -> None:
        if kind == "STATUS":
            self._relay_says, failed = relay(text, asked)
            self._check_failure(failed, asked)
            return
        new = readings(kind, text, asked)
        if self._turn or any(command.startswith("GET:") for command, _ in self._asked):
            self.readings = {**self.readings, **new}
        else:
            self.readings = {**self.readings, **new, **self._relay_says}
            self._relay_says = {}

    def _check_failure(self, failed: bool, asked: float) -> None:
        """Break the link to a unit that has switched off by itself, unless we are told or know why.

        What the unit saw shows in the contacts within the next round, as a fault of its own name. A unit that was not
        fed has done what it is there for; its relay says so.
        """
        unknown = self._forgiven and asked - self._fed <= FED_WITHIN
        self._failures = self._failures + 1 if failed and unknown else 0
        if self._failures > 1:
            msg = "has switched off by itself, for a reason that shows in no contact; look at the unit"
            raise LinkError(msg)

    def _nonsense(self, command: str, frame: str) -> LinkError:
        return LinkError(f"answers {frame[:40]!r} to {command}, which makes no sense")

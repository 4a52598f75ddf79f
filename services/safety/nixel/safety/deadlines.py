"""How many deadlines the control loop has missed, and of late too many."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nixel.safety.config.instrument import Deadlines


class Punctuality:
    """Counts missed deadlines, each of them a tick that did not take place.

    Parameters
    ----------
    allowed
        How many may be missed in which time.

    Attributes
    ----------
    missed
        Since the start.
    of_late
        When deadlines were missed [s], and how many; empty if none was of late.
    """

    def __init__(self, allowed: Deadlines) -> None:
        self.missed = 0
        self._allowed = allowed
        self.of_late: deque[tuple[float, int]] = deque()

    def miss(self, count: int, now: float) -> None:
        """Note deadlines that were missed.

        Parameters
        ----------
        count
            How many.
        now
            When that was noticed [s].
        """
        self.missed += count
        self.of_late.append((now, count))
        # So many are too many already; a loop that is late for ever fills no memory.
        while len(self.of_late) > self._allowed.limit + 1:
            self.of_late.popleft()

    def fault(self, now: float) -> str:
        """Say that too many were missed.

        Parameters
        ----------
        now
            The time [s].

        Returns
        -------
        str
            A sentence; empty if not.
        """
        if not self.of_late:
            return ""
        window, limit = self._allowed.window, self._allowed.limit
        while self.of_late and now - self.of_late[0][0] > window:
            self.of_late.popleft()
        if sum(count for _, count in self.of_late) <= limit:
            return ""
        what = f"the control loop missed more than {limit} deadlines within {window:g} s"
        return f"{what}; this machine is too busy for it, or was stopped"

"""Whose turn it is with an instrument's devices: a run goes before those who only look."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Turn:
    """One at a time; who claims the turn interrupts who looks, and goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._claims = 0

    @contextmanager
    def looking(self) -> Iterator[Callable[[], bool]]:
        """Have the turn for the block, once nobody claims it; gives what to ask whether to let go of it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken and not self._claims)
            self._taken = True
        try:
            yield lambda: self._claims > 0
        finally:
            self._end()

    @contextmanager
    def claimed(self, patience: float) -> Iterator[bool]:
        """Have the turn for the block, which gets False if whoever has it did not let go within so many seconds."""
        deadline = time.monotonic() + patience
        with self._changed:
            self._claims += 1
            mine = self._changed.wait_for(lambda: not self._taken, deadline - time.monotonic())
            self._claims -= 1
            self._taken = self._taken or mine
            self._changed.notify_all()
        try:
            yield mine
        finally:
            if mine:
                self._end()

    def _end(self) -> None:
        with self._changed:
            self._taken = False
            self._changed.notify_all()

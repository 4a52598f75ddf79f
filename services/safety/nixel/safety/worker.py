"""A thread of the daemon that tells at little cost whether it runs, for the loop asks in every tick."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Worker(threading.Thread):
    """A thread that ends with the process.

    Parameters
    ----------
    work
        What it does.
    name
        Of the thread.

    Attributes
    ----------
    running
        Whether it has been started and its work has not ended, in whatever way.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.running = False
        self._work = work

    def start(self) -> None:
        """Begin."""
        self.running = True
        try:
            super().start()
        except BaseException:
            self.running = False
            raise

    def run(self) -> None:
        """Do the work; called in the thread."""
        try:
            self._work()
        finally:
            self.running = False

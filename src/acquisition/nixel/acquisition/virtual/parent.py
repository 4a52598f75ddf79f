"""A simulator that ends with the process that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

__all__ = ["end_with_parent"]

_PR_SET_PDEATHSIG = 1


def end_with_parent(stop: threading.Event) -> None:
    """Have `stop` set when the parent is gone or closes our standard input."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    def watch() -> None:
        # The parent may have gone before prctl took effect; its end of our standard input has closed then.
        while os.getppid() == parent and os.read(0, 1024):
            time.sleep(0)
        stop.set()

    threading.Thread(target=watch, daemon=True).start()

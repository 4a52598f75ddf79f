"""The peak of a process's memory while something runs."""

from __future__ import annotations

import ctypes
import gc
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_SELF = Path("/proc/self")
_SAMPLING = 2e-4  # s


def peak_extra(run: Callable[[], Any]) -> int:
    """Run once and give the most memory that it held beyond what was held before, its result included.

    The kernel keeps the peak of the resident memory and sets it back on request. Where it does not (a sandbox), a
    thread looks every 0.2 ms; what is held for less than that can be missed.

    Parameters
    ----------
    run
        Does the work.

    Returns
    -------
    int
        Bytes.
    """
    gc.collect()
    _trim()
    before = _status("VmRSS")
    try:
        # 5: set the peak back to what is resident now (proc(5)).
        (_SELF / "clear_refs").write_text("5")
        kept = _status("VmHWM") - before < 2**20
    except (OSError, KeyError):
        kept = False
    if kept:
        result = run()
        peak = _status("VmHWM")
    else:
        result, peak = _watched(run)
    del result
    return max(0, peak - before)


def _watched(run: Callable[[], Any]) -> tuple[Any, int]:
    peak, stop = _status("VmRSS"), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(_SAMPLING):
            peak = max(peak, _status("VmRSS"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        result = run()
        peak = max(peak, _status("VmRSS"))
    finally:
        stop.set()
        thread.join()
    return result, peak


def _status(name: str) -> int:
    """Bytes, of a line of the process's status in kB."""
    found = re.search(rf"^{name}:\s*(\d+) kB$", (_SELF / "status").read_text(), re.MULTILINE)
    if found is None:
        raise KeyError(name)
    return int(found[1]) * 1024


def _trim() -> None:
    """Give freed memory back to the system, so that the run does not use it unseen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    if trim is not None:
        trim(0)

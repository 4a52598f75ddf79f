"""What the operating system can do for a loop that must not be late: real time, and memory that stays."""

from __future__ import annotations

import os
import resource
from pathlib import Path

_PRIORITY = 10  # threads of kernel drivers run at 50; we are not more important than the serial port
_BEHIND = 5
# <sys/mman.h> of every architecture that we run on.
_CURRENT, _FUTURE, _ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14


def prefer_us() -> bool:
    """Ask for realtime scheduling of this thread and of those that it starts.

    Without it the loop still runs, but a busy machine may make it miss deadlines and so trip.

    Returns
    -------
    bool
        Whether it was granted.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
    except OSError:
        return False
    return True


def give_way() -> None:
    """Let this thread run only while the loop need not, yet before whatever else the machine does.

    Threads of one priority take turns of up to 100 ms on a processor; one that clients keep busy must not be among
    those that the loop takes turns with.
    """
    if os.sched_getscheduler(0) == os.SCHED_RR:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_BEHIND))


def lock_memory() -> bool:
    """Keep this process in memory, so that the loop never waits for a page from disk.

    What is mapped now is read in at once; what is mapped later stays from when it is first touched, so that the
    stacks of threads need no more memory than they use.

    Returns
    -------
    bool
        Whether that was granted. Where the amount is limited it is not asked for: the limit would be met later, by
        an allocation that fails.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit != resource.RLIM_INFINITY and not _may_lock_without_limit():
        return False
    try:
        import ctypes  # here, for a daemon that may not lock needs none of it

        libc = ctypes.CDLL(None)
        return not (libc.mlockall(_CURRENT) or libc.mlockall(_FUTURE | _ONFAULT))
    except (ImportError, OSError, AttributeError, MemoryError):
        return False


def _may_lock_without_limit() -> bool:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_IPC_LOCK & 1)

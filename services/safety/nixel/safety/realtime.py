"""Precedence over whatever else the machine does, where this user may have it."""

from __future__ import annotations

import os

PRIORITY = 50  # below the kernel's own threaded interrupts, above every ordinary program


def take_precedence() -> bool:
    """Schedule this thread, and those it starts from now on, in real time (SCHED_FIFO).

    Where the user may not (no CAP_SYS_NICE and no LimitRTPRIO), nothing changes: the
    loop is as punctual as the machine lets it be, counts its missed deadlines, and a stale reading still trips.

    Returns
    -------
    bool
        Whether it is so.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return False
    return True

"""`nixel-update set-clock`: for a machine that has no network to learn the time from, and no battery to keep it."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.update import here
from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from nixel.update.cli.registry import Commands

_FORMS = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")
_RTC = Path("/dev/rtc0")


def add(commands: Commands) -> None:
    """Describe the command's arguments.

    Parameters
    ----------
    commands
        Where its parser is made.
    """
    parser = commands.add_parser(
        "set-clock", help="set a clock that is wrong, on a machine without a network"
    )
    parser.add_argument("time", metavar="TIME", help='the time in UTC, as "2026-03-01 14:30"')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Set the clock.

    Parameters
    ----------
    arguments
        As parsed.

    Returns
    -------
    int
        0.

    Raises
    ------
    Refusal
        If it is no time, or one at which this machine's system did not exist.
    """
    machine = here.look()
    wanted = parse(arguments.time, machine.identity.date)
    print(set_clock(wanted))
    return 0


def parse(text: str, earliest: int) -> float:
    """Read a time.

    Parameters
    ----------
    text
        In UTC, as `2026-03-01 14:30`, with seconds or without.
    earliest
        The date of the running system, in s since 1970.

    Returns
    -------
    float
        In s since 1970.

    Raises
    ------
    Refusal
        If it is no time, before that date, or decades after it.
    """
    for form in _FORMS:
        try:
            found = datetime.strptime(text.strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if found.timestamp() < earliest:
            date = datetime.fromtimestamp(earliest, UTC).strftime(_FORMS[0])
            raise Refusal(
                f"{text} is before this machine's system was made ({date} UTC).",
                "Give the time that it is now, in UTC.",
            )
        if found.timestamp() > earliest + here.LONG_S:
            raise Refusal(f"{text} is decades after this machine's system was made.", "Look at the year.")
        return found.timestamp()
    raise Refusal(f"{text!r} is no time.", 'Write it as "2026-03-01 14:30", in UTC.')


def set_clock(
    wanted: float, setter: Callable[[int, float], None] = time.clock_settime, rtc: Path = _RTC
) -> str:
    """Set the machine's clock, and the one that runs while it is switched off, if it has one.

    Parameters
    ----------
    wanted
        In s since 1970.
    setter
        What sets it.
    rtc
        The device of the other clock.

    Returns
    -------
    str
        A sentence that says so.
    """
    setter(time.CLOCK_REALTIME, wanted)
    said = f"The clock is set to {datetime.fromtimestamp(wanted, UTC).strftime(_FORMS[1])} UTC."
    if not rtc.exists():
        return f"{said} This machine has no clock that runs while it is switched off."
    done = subprocess.run(["hwclock", "--systohc", "--utc"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"{said} The clock that runs while it is switched off could not be set: {done.stderr.strip()}"
    return said

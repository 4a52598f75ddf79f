"""How far something long has come, and how long it may still take, in numbers and in words."""

from __future__ import annotations

from collections.abc import Callable

# Told bytes done and bytes in all; called often, so that it decides itself how often it shows something.
Progress = Callable[[int, int], None]

_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_MINUTE = 60


def nobody(done: int, total: int) -> None:
    """Tell nobody."""


class TimeLeft:
    """Estimates when something ends from how fast it went.

    Parameters
    ----------
    began
        The clock when it began, in s.
    """

    # The first moments of a copy go to a cache, and say nothing of the stick.
    LEAST = 2.0

    def __init__(self, began: float) -> None:
        self._began = began
        self._before: int | None = None

    def left(self, done: int, total: int, now: float) -> float | None:
        """Estimate.

        Parameters
        ----------
        done, total
            In bytes. What was done when this was first asked is not counted into the speed: a copy that goes on does
            not begin at nothing.
        now
            The clock, in s.

        Returns
        -------
        float or None
            Seconds; `None` while it is too early to tell.
        """
        if self._before is None:
            self._before, self._began = done, now
        spent, moved = now - self._began, done - self._before
        if done >= total:
            return 0.0
        if spent < self.LEAST or moved <= 0:
            return None
        return (total - done) * spent / moved


def size(count: int) -> str:
    """Say a number of bytes.

    Parameters
    ----------
    count
        The number.

    Returns
    -------
    str
        As `1.2 GB`, in powers of ten as on a stick's label.
    """
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 1 if unit and value < 99.95 else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def time(seconds: float) -> str:
    """Say a time.

    Parameters
    ----------
    seconds
        In s.

    Returns
    -------
    str
        As `40 s`, `3 min` or `1 h 20 min`: no more exact than an estimate is.
    """
    if seconds < _MINUTE:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes} min" if minutes < _MINUTE else f"{minutes // 60} h {minutes % 60} min"


def line(word: str, done: int, total: int, left: float | None) -> str:
    """Say how far something is.

    Parameters
    ----------
    word
        What is being done.
    done, total
        In bytes.
    left
        How long it may still take, in s; `None` if that cannot be told yet.

    Returns
    -------
    str
        One line.
    """
    percent = 100 * done // total if total else 100
    more = "" if left is None or done >= total else f", {time(left)} left"
    return f"{word}: {percent} % of {size(total)}{more}"

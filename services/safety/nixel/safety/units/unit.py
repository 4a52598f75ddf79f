"""The units of input and output: what the loop asks of each, and how several are treated as one.

A unit is a device with a thread of its own. The loop looks at what it last said and hands over what it is to do;
neither waits. A unit that cannot be opened, or whose thread ends, is a fault under its name.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from nixel.safety.core.frozen import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nixel.safety.core.model import Reading

RETRY = (
    0.25  # s between two attempts to open a device; a fault lasts at least so long, and so many ticks see it
)


@dataclass(frozen=True, slots=True)
class View:
    """What is known of a unit: the newest readings by source, and why it does not work, if so."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """What the loop wants: the sinks that are on, outputs permitted, how often its heartbeat has toggled."""

    on: frozenset[str] = frozenset()
    permitted: bool = False
    beats: int = 0


class Unit(Protocol):
    """A device with a thread of its own.

    Attributes
    ----------
    name
        Under which its faults are told.
    view
        Always the newest; replaced, never changed.
    """

    name: str
    view: View

    def start(self) -> None:
        """Begin to read."""
        ...

    def alive(self) -> bool:
        """Whether its thread still runs."""
        ...

    def command(self, command: Command) -> None:
        """Hand over what the loop wants; returns at once."""
        ...

    def close(self, timeout: float) -> None:
        """Switch everything of its own off and end the thread.

        Raises
        ------
        UnitError
            If that did not work, with a sentence.
        """
        ...


class UnitError(Exception):
    """A unit could not be closed as it must be; the text is a sentence."""


class Units:
    """All units of an instrument, as the loop sees them.

    Parameters
    ----------
    units
        In the order of their start; they are closed in reverse.
    news
        What they wake when they have read anew while an output is on; `None` if they do not tell.
    """

    def __init__(self, units: Sequence[Unit], news: Waker | None = None) -> None:
        self._units = tuple(units)
        news = Waker() if news is None else news
        self.wait = news.wait  # for a unit that has read anew while an output is on
        self._started: list[Unit] = []
        self._broken: dict[str, str] = {}
        self._views: tuple[tuple[Unit, View | None], ...] = tuple((unit, None) for unit in self._units)
        self._readings: dict[str, Reading] = {}
        self._commanded: Command | None = None

    def start(self) -> None:
        """Start every unit; one that cannot is a fault and keeps no other from starting."""
        for unit in self._units:
            if self._guard(unit, unit.start):
                self._started.append(unit)

    def look(self) -> tuple[dict[str, Reading], dict[str, str]]:
        """Put together what all units know.

        Returns
        -------
        readings : dict
            The newest of each source; the same object as before while no unit has read anew, and never changed.
        faults : dict
            Units that do not work, by name, each with a sentence.
        """
        faults = self._broken.copy()
        views: list[tuple[Unit, View | None]] = []
        readings: dict[str, Reading] = {}
        anew = False
        for unit, known in self._views:
            view = unit.view
            anew = anew or view is not known
            views.append((unit, view))
            readings.update(view.readings)
            if not unit.alive():
                faults.setdefault(unit.name, f"the thread of the {unit.name} has ended; restart the daemon")
            elif view.fault:
                faults[unit.name] = view.fault
        if anew:
            self._views, self._readings = tuple(views), readings
        return self._readings, faults

    def news(self) -> bool:
        """Whether `look` would find anything else than it last did."""
        for unit, view in self._views:  # noqa: SIM110  `any` would take twice as long
            if unit.view is not view or not unit.alive():
                return True
        return False

    def command(self, command: Command) -> None:
        """Hand over to every unit what the loop wants; one that fails keeps no other from hearing it.

        Parameters
        ----------
        command
            The newest; one that is the last again is not handed over.
        """
        if command == self._commanded:
            return
        self._commanded = command
        for unit in self._started:
            self._guard(unit, partial(unit.command, command))

    def close(self, timeout: float) -> tuple[str, ...]:
        """Switch everything off: each unit, in reverse of their start, whatever goes wrong with another.

        Parameters
        ----------
        timeout
            How long to wait for each [s].

        Returns
        -------
        tuple of str
            What went wrong, a sentence each; empty when all is off and closed.
        """
        # All of them are told before any is waited for, and whatever they were told last.
        self._commanded = None
        self.command(Command())
        failures: list[str] = []
        for unit in reversed(self._started):
            try:
                unit.close(timeout)
            except Exception as error:  # noqa: BLE001  the others must be closed whatever this is
                failures.append(str(error) if isinstance(error, UnitError) else f"the {unit.name}: {error!r}")
        return tuple(failures)

    def _guard(self, unit: Unit, step: Callable[[], None]) -> bool:
        try:
            step()
        except Exception as error:  # noqa: BLE001  whatever it is, it is a fault of this unit alone
            self._broken[unit.name] = f"the {unit.name} has failed ({error!r}); restart the daemon"
            return False
        return True


class Waker:
    """What a thread waits on and another wakes it by, without ever waiting itself."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def wake(self) -> None:
        """End the wait, or the next one if nobody waits."""
        os.eventfd_write(self._descriptor, 1)

    def wait(self, seconds: float) -> bool:
        """Wait until woken.

        Parameters
        ----------
        seconds
            The longest time to wait [s].

        Returns
        -------
        bool
            Whether that was why it ended.
        """
        if seconds > 0.0 and not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        with suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)
            return True
        return False

"""The lines of a GPIO chip as a unit: contacts in, relays out, and the charge pump that holds them.

The relays are fed through an AC-coupled charge pump: one line toggles once with every tick that was completed while
outputs are permitted, and when it stands still, high or low, the relays drop. So they drop when the loop, this
thread, the process or the kernel stands still.

**When the process is killed** (SIGKILL, a crash, the kernel's out-of-memory killer) nobody is left to switch a line
off: the kernel takes the lines back. What they do then is the driver's business: upstream drivers turn them into
inputs, those of the Raspberry Pi's own kernel leave an output as it was last driven, unless the machine is started
with ``dtparam=strict_gpiod``. The safe state must not hang on it and does not: nothing toggles any more.

What drives a chip is `Lines`; there are two, `nixel.safety.units.gpio_chip` for the kernel's chips and
`nixel.safety.units.gpio_panel` for the virtual one. Both give and take levels; what is active is decided here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from nixel.safety.core.model import Reading
from nixel.safety.units.unit import RETRY, Command, UnitError, View, Waker
from nixel.safety.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nixel.safety.config.units import GpioChip

_OFF = Command()
# s between the reading of the lines and the tick that is to judge it, at most; a quarter of a shorter period.
_MARGIN = 2e-3


class LinesError(Exception):
    """The lines cannot be had, read or driven; the text goes after "the GPIO chip X"."""


class Lines(Protocol):
    """The opened lines of a chip; every method raises `LinesError` if it cannot be done.

    Inputs have their pull, outputs were off, from the moment they are opened.
    """

    def read(self) -> Mapping[int, bool | None]:
        """Give the level of every input line; `None` for one that makes no sense."""
        ...

    def write(self, line: int, level: bool) -> None:
        """Drive an output line."""
        ...

    def close(self) -> None:
        """Give the lines back."""
        ...


def sink(line: int) -> str:
    """Name a line as a source or a sink.

    Parameters
    ----------
    line
        Its number.

    Returns
    -------
    str
        Such as "gpio:17".
    """
    return f"gpio:{line}"


class Gpio:
    """The lines of a GPIO chip, in a thread of its own: a `nixel.safety.units.unit.Unit`.

    While outputs are permitted all inputs are read every period, shortly before the next tick, otherwise at an idle
    pace; each reading is stamped with its time. A chip that cannot be opened is tried again for ever, its outputs off.

    Parameters
    ----------
    chip
        Its lines.
    period
        Of the control loop [s].
    idle
        The time between two readings while nothing may be on [s]; not longer than the ages that are allowed.
    opener
        How to open the lines; may take its time, and may load what it needs.
    clock
        The monotonic clock.
    news
        Woken when the inputs have been read while an output is to be on.
    """

    def __init__(
        self,
        chip: GpioChip,
        period: float,
        idle: float,
        opener: Callable[[GpioChip], Lines],
        clock: Callable[[], float] = time.monotonic,
        news: Waker | None = None,
    ) -> None:
        self.name = "gpio"
        self._news = news
        self.view = View()
        self._chip = chip
        self._called = f"GPIO chip {chip.path or chip.chip}"
        self._period, self._idle = period, idle
        self._lead = min(_MARGIN, period / 4)
        # Without a tick for so long, relays may have dropped; they must not pick up again by themselves.
        self._standstill = max(chip.hold, 3 * period)
        self._opener = opener
        self._clock = clock
        self._command = _OFF
        self._waker = Waker()
        self._stopping = False
        self._left: tuple[str, ...] = ()
        self._inputs = [(sink(line.line), line.line, line.active_high) for line in chip.inputs]
        self._outputs = {sink(line.line): line for line in chip.outputs}
        self._readbacks = [(f"readback:{name}", sink(line.readback)) for name, line in self._outputs.items()]
        self._thread = Worker(self._run, "gpio")

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.running

    def command(self, command: Command) -> None:
        """Hand over what the control loop wants; returns at once.

        Parameters
        ----------
        command
            The newest; an unchanged one costs nothing.
        """
        if command != self._command:
            self._command = command
            self._waker.wake()

    def close(self, timeout: float) -> None:
        """Switch the outputs off, in reverse of their order, and give the lines back.

        Parameters
        ----------
        timeout
            How long to wait for that [s].

        Raises
        ------
        UnitError
            If a line could not be switched off or given back.
        """
        self._command = _OFF
        self._stopping = True
        self._waker.wake()
        self._thread.join(timeout)
        pump = "the charge pump stands still, so the relays drop"
        if self._thread.is_alive():
            msg = f"the {self._called} has not let its lines go within {timeout * 1e3:.0f} ms; {pump}"
            raise UnitError(msg)
        if self._left:
            msg = f"the {self._called} {'; '.join(self._left)}; {pump}"
            raise UnitError(msg)

    # --- in the thread ---

    def _run(self) -> None:
        while not self._stopping:
            try:
                lines = self._opener(self._chip)
            except LinesError as error:
                self._fail(error)
                self._rest()
                continue
            try:
                self._work(lines)
            except LinesError as error:
                self._fail(error)
            finally:
                self._left = self._part(lines)
            self._rest()

    def _work(self, lines: Lines) -> None:
        """Read and drive the lines until they fail or the daemon ends."""
        # A command from before the lines were there was not carried out, and must not be now.
        before, done, level = self._command, _OFF, False
        due = ticked = self._clock()
        while not self._stopping:
            command = self._command
            if command is before:
                command = _OFF
            now = self._clock()
            lit = not self._outputs.keys().isdisjoint(done.on & command.on)
            # While nothing ticks it is the pump that lets the relays drop; we see to it that they stay so.
            if lit and command.beats != done.beats:
                self._check_standstill(now - ticked)
            if command is not done:
                self._switch(lines, done.on, command.on)
                # Last, and once however late we are: it says that all of this tick has been done.
                if command.beats != done.beats and command.permitted:
                    ticked = now
                    if self._chip.charge_pump is not None:
                        level = not level
                        lines.write(self._chip.charge_pump, level)
                done = command
                # Towards just before the next tick, but never so that a period and a half goes by unread.
                due = min(due + self._period / 2, now + self._period - self._lead)
            if now >= due:
                self._sample(lines, now)
                if self._news is not None and command.on:
                    self._news.wake()
                due = now + (self._period if command.permitted else self._idle)
            self._waker.wait(due - self._clock())

    def _check_standstill(self, seconds: float) -> None:
        if seconds > self._standstill:
            what = (
                f"was not told anything by the control loop for {seconds * 1e3:.0f} ms while an output was on"
            )
            msg = f"{what}; its relays may have dropped and must not pick up again by themselves"
            raise LinesError(msg)

    def _switch(self, lines: Lines, old: frozenset[str], new: frozenset[str]) -> None:
        for name, output in reversed(self._outputs.items()):
            if name in old - new:
                lines.write(output.line, not output.active_high)
        for name, output in self._outputs.items():
            if name in new - old:
                lines.write(output.line, output.active_high)

    def _sample(self, lines: Lines, now: float) -> None:
        levels = lines.read()
        on, off, none = Reading(True, now), Reading(False, now), Reading(None, now)
        readings: dict[str, Reading] = {}
        for name, line, active in self._inputs:
            level = levels.get(line)
            readings[name] = none if level is None else on if level is active else off
        for name, source in self._readbacks:
            readings[name] = readings[source]
        self.view = View(readings)

    def _part(self, lines: Lines) -> tuple[str, ...]:
        """Switch everything off and give the lines back, step by step, whatever fails."""
        failures: list[str] = []
        for name, output in reversed(self._outputs.items()):
            try:
                lines.write(output.line, not output.active_high)
            except LinesError as error:
                failures.append(f"could not switch {name} off: it {error}")
        try:
            lines.close()
        except LinesError as error:
            failures.append(str(error))
        return tuple(failures)

    def _fail(self, error: LinesError) -> None:
        # The old readings stay, and grow stale by themselves.
        self.view = View(self.view.readings, f"the {self._called} {error}")

    def _rest(self) -> None:
        until = self._clock() + RETRY
        while not self._stopping and (left := until - self._clock()) > 0.0:
            self._waker.wait(left)

"""The temperature of the processor as a unit: the hottest of the kernel's thermal zones."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.safety.config.wiring import CPU_TEMPERATURE
from nixel.safety.core.model import Reading
from nixel.safety.realtime import give_way
from nixel.safety.units.unit import UnitError, View, Waker
from nixel.safety.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.safety.units.unit import Command

THERMAL = Path("/sys/class/thermal")


class Cpu:
    """The source `cpu:temperature` [degC], in a thread of its own: a `nixel.safety.units.unit.Unit` without sinks.

    A zone that cannot be read is passed over, for kernels list zones of devices that are switched off; with none
    left there is no reading, and a fault that says so.

    Parameters
    ----------
    interval
        The time between two readings [s].
    folder
        Where the kernel lists its thermal zones.
    clock
        The monotonic clock.
    """

    def __init__(
        self, interval: float, folder: Path = THERMAL, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = "cpu"
        self.view = View()
        self._interval = interval
        self._folder = folder
        self._clock = clock
        self._waker = Waker()
        self._stopping = False
        self._thread = Worker(self._run, "cpu")

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.running

    def command(self, command: Command) -> None:
        """Hear what the control loop wants, of which nothing is for a thermometer."""

    def close(self, timeout: float) -> None:
        """End the thread.

        Parameters
        ----------
        timeout
            How long to wait for that [s].

        Raises
        ------
        UnitError
            If it has not ended by then.
        """
        self._stopping = True
        self._waker.wake()
        self._thread.join(timeout)
        if self._thread.is_alive():
            msg = f"the thermal zones in {self._folder} have not answered within {timeout * 1e3:.0f} ms"
            raise UnitError(msg)

    # --- in the thread ---

    def _run(self) -> None:
        give_way()
        while not self._stopping:
            now = self._clock()
            found = hottest(self._folder)
            if found is None:
                # The old reading stays, and grows stale by itself.
                text = f"no thermal zone in {self._folder} can be read, so the processor's temperature is not known"
                self.view = View(self.view.readings, text)
            else:
                self.view = View({CPU_TEMPERATURE: Reading(found, now)})
            self._waker.wait(self._interval)


def hottest(folder: Path) -> float | None:
    """Read the hottest thermal zone.

    Parameters
    ----------
    folder
        Where the kernel lists them.

    Returns
    -------
    float or None
        In degC; `None` if none can be read.
    """
    found: list[float] = []
    # Without pathlib, which would take most of what a reading takes.
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return None
    for name in names:
        if name.startswith("thermal_zone"):
            try:
                with open(f"{folder}/{name}/temp", "rb", buffering=0) as zone:  # noqa: PTH123
                    found.append(int(zone.read(32)) / 1000.0)
            except (OSError, ValueError):
                continue
    return max(found, default=None)

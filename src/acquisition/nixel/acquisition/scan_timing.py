"""How long a run of the scanner takes: what a session does, walked through on paper.

Time goes by in whole periods of the trajectory, because frames begin with one. What is not known of the instrument
(`[scanner.times]`) takes no time here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.field_control import ControlFailure, ControlLimits, FieldControl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nixel.acquisition.adapters.scpi_daq_settings import ScpiDaq
    from nixel.acquisition.scanner_tables import Scanner

__all__ = ["Timeline", "control_steps"]

_OFF_BY = 0.05  # by which a real chain's gain and coupling differ from what the instrument file says


def control_steps(scanner: Scanner, daq: ScpiDaq) -> int:
    """Measurements until a drive field that is off has its amplitude, for a chain that is nearly as the file says.

    Parameters
    ----------
    scanner : Scanner
        With ``[scanner.field_control]``.
    daq : ScpiDaq

    Returns
    -------
    int
        At most what the control gives itself.
    """
    settings = scanner.field_control
    assert settings is not None
    nominal = np.array(daq.drive_field_per_volt)
    limits = ControlLimits(
        daq.voltage_limit or tuple(scanner.limits.drive_field / nominal),
        settings.voltage_step,
        scanner.limits.drive_field,
        settings.steps,
    )
    control = FieldControl(
        np.array(scanner.drive_field), nominal, settings.tolerance_of(scanner.drive_field), limits
    )
    chain = np.eye(len(nominal)) + _OFF_BY * (1 - 2 * np.eye(len(nominal)))
    try:
        wanted: NDArray[np.complex128] | None = control.begin()
        while wanted is not None:
            wanted = control.next(chain @ (nominal[:, None] * wanted))
    except ControlFailure:
        return settings.steps
    return len(control.steps)


class Timeline:
    """A run's phases, as they come.

    Parameters
    ----------
    scanner : Scanner
    daq : ScpiDaq
        Its ramp and settling are counted.
    averages : int
        Periods averaged into one frame, at each patch.
    patches : int
        Places of the field of view that one frame goes through.

    Attributes
    ----------
    phases : list of (float, bool)
        Durations in s, and whether the drive field is on.
    """

    def __init__(self, scanner: Scanner, daq: ScpiDaq, averages: int, patches: int = 1) -> None:
        self._period = scanner.samples_per_period / scanner.base_frequency
        self._averages, self._patches = averages, patches
        self._ramp = self._periods(daq.ramp)
        self._settling = -(-round(daq.ramp * scanner.base_frequency) // scanner.samples_per_period)
        self._settling += daq.settle_periods
        self._move = self._periods(scanner.times.move or 0.0)
        self._exchange = self._periods(scanner.times.exchange or 0.0)
        settings = scanner.field_control
        self._learning = control_steps(scanner, daq) if settings else 0
        self._look = self._settling + settings.periods if settings else 0
        self._interval = settings.interval / self._period if settings else None
        self._clock = self._since = 0  # in periods
        self._known = 0  # patches whose field has been brought to its amplitude once
        self._controlled: list[int | None] = []
        self.phases: list[tuple[float, bool]] = []

    @property
    def duration(self) -> float:
        """So far, in s."""
        return self._clock * self._period

    def _periods(self, duration: float) -> int:
        # Rounding must not make a period more of what is a whole number of them.
        return math.ceil(round(duration / self._period, 6))

    def exchange(self) -> None:
        """Take the sample out, or put one in; the drive field is off."""
        self._clock += self._exchange
        self.phases.append((self._exchange * self._period, False))

    def move(self) -> None:
        """Move the robot."""
        self._clock += self._move

    def on(self) -> None:
        """Switch the drive field on and bring it to its amplitude."""
        self._since = self._clock
        self._controlled = [None] * self._patches
        if self._interval is not None:
            self._control(0)

    def off(self) -> None:
        """Switch it off."""
        self._clock += self._ramp
        self.phases.append(((self._clock - self._since) * self._period, True))

    def _control(self, patch: int) -> None:
        learning = patch >= self._known
        self._known = max(self._known, patch + 1)
        self._clock += self._look * (self._learning if learning else 1)
        self._controlled[patch] = self._clock

    def frames(self, count: int) -> None:
        """Measure frames."""
        if self._patches > 1:
            for _ in range(count):
                for patch in range(self._patches):
                    self._together(patch, 1)
            return
        done = 0
        while done < count:
            done += self._together(0, count - done)

    def _together(self, patch: int, wanted: int) -> int:
        """Frames at one patch until the field is to be controlled again."""
        if self._interval is not None:
            controlled = self._controlled[patch]
            if controlled is None or self._clock - controlled + self._averages > self._interval:
                self._control(patch)
                controlled = self._clock
            fitting = (self._interval - self._clock + controlled) // self._averages
            wanted = min(wanted, max(1, int(fitting)))
        self._clock += self._settling + wanted * self._averages
        return wanted

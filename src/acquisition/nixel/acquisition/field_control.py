"""Control of the drive field: from what the reference channels saw to what is transmitted next.

Each channel has one frequency of its own; through the coupling of the coils its field also holds the others'
frequencies. At each frequency k the fields b (one a channel, complex amplitudes) follow the voltages v of all channels
as b = G v, and the voltages are wanted for which b is the goal: the channel's own amplitude at its own frequency,
nothing at the others'. G is known roughly, from the instrument file; every step corrects it by Broyden's update
(Math. Comp. 19, 577 (1965)), which ends exactly after at most 2 C steps where the chain is linear. What has not been
seen yet is learned at half the amplitude, so that a chain that is stronger than said exceeds nothing.

No device is touched here: `FieldControl` is told what was measured and says what to transmit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Phasors = NDArray[np.complex128]

__all__ = ["ControlFailure", "ControlLimits", "ControlStep", "FieldControl", "phasors", "polar"]

_LEARNING = 0.5  # of the goal, until the chain is known
_LEARNED = 0.02  # relative error at which it is
_SILENT = 0.1  # of the expected amplitude: less is no signal
_OPPOSITE = np.pi / 2  # rad from the expected phase
_RESOLVED = 0.1  # of the tolerance: a smaller predicted change teaches noise
_SINGULAR = 1e-6


class ControlFailure(ValueError):  # noqa: N818 (it is what happened to the field)
    """The field cannot be brought to its goal: what was expected, what was found, and what to do."""

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        self.expected, self.found, self.remedy = expected, found, remedy
        super().__init__(f"expected {expected}, found {found}. {remedy}")


@dataclass(frozen=True)
class ControlLimits:
    """What no step may exceed.

    Parameters
    ----------
    volts : tuple of float, one a channel
        Sum of the amplitudes of a channel's components in V.
    step : float
        The largest change of a channel in one step, in V.
    field : float
        The largest sum of the amplitudes of a channel's field in T.
    steps : int
        Measurements within which the goal is to be reached.
    """

    volts: tuple[float, ...]
    step: float
    field: float
    steps: int


@dataclass(frozen=True)
class ControlStep:
    """What one step transmitted and saw.

    Parameters
    ----------
    volts, field : array of complex128, shape (channels, frequencies)
        In V and T.
    error : float
        The largest distance of a field from the goal, in T.
    """

    volts: Phasors
    field: Phasors
    error: float


def phasors(samples: NDArray[np.floating[Any]], dividers: tuple[int, ...]) -> Phasors:
    """Complex amplitudes of the drive frequencies in whole periods.

    Parameters
    ----------
    samples : array of float, shape (channels, samples)
        A whole number of periods; the first sample is the phase's reference.
    dividers : tuple of int
        Of the frequencies; each divides the number of samples.

    Returns
    -------
    array of complex128, shape (channels, frequencies)
        a, where the signal is the imaginary part of a exp(i omega t): |a| sin(omega t + arg a).
    """
    instants = np.arange(samples.shape[1])
    waves = np.exp(-2j * np.pi * (instants[:, None] % np.array(dividers)) / np.array(dividers))
    result: Phasors = 2j * (samples @ waves) / samples.shape[1]
    return result


def polar(values: Phasors) -> list[list[tuple[float, float]]]:
    """Amplitudes and phases (rad) as plain numbers, for records."""
    return [[(float(abs(value)), float(np.angle(value))) for value in row] for row in values]


class FieldControl:
    """Brings the drive field to its goal, and holds it there.

    Parameters
    ----------
    goal : array of float, shape (channels,)
        Amplitude of each channel's field at its own frequency in T; phase zero.
    nominal : array of float, shape (channels,)
        T/V of each channel, as far as it is known beforehand.
    tolerance : float
        Largest distance of any field from its goal in T.
    limits : ControlLimits
    """

    def __init__(
        self,
        goal: NDArray[np.float64],
        nominal: NDArray[np.float64],
        tolerance: float,
        limits: ControlLimits,
    ) -> None:
        self._goal = np.diag(goal).astype(np.complex128)
        self._nominal, self._tolerance, self._limits = nominal, tolerance, limits
        self._transfer = np.array([np.diag(nominal)] * len(goal), dtype=np.complex128)  # of each frequency
        self._volts = np.zeros_like(self._goal)
        self._seen = np.zeros_like(self._goal), np.zeros_like(self._goal)  # voltages and their fields
        self._known = False
        self.steps: list[ControlStep] = []

    def begin(self) -> Phasors:
        """Begin a control; returns what to transmit first: a part of it, or what held the field the last time.

        Returns
        -------
        array of complex128, shape (channels, frequencies)
            In V.

        Raises
        ------
        ControlFailure
            Even that exceeds a limit.
        """
        self.steps = []
        return self._volts if self._known else self._next()

    def next(self, field: Phasors) -> Phasors | None:
        """Take what the reference channels saw, and return what to transmit next.

        Parameters
        ----------
        field : array of complex128, shape (channels, frequencies)
            In T.

        Returns
        -------
        array of complex128, shape (channels, frequencies), or None
            In V; None if the field is within the tolerance.

        Raises
        ------
        ControlFailure
            The goal cannot be reached; the transmission is to be switched off.
        """
        error = float(np.abs(field - self._goal).max())
        self.steps.append(ControlStep(self._volts, field, error))
        try:
            self._check(field)
            if error <= self._tolerance:
                self._known = True
                return None
            self._check_progress()
            self._learn(field)
            return self._next()
        except ControlFailure:
            self._known = False
            raise

    def _learn(self, field: Phasors) -> None:
        volts_before, field_before = self._seen
        self._seen = self._volts, field
        for number in range(len(self._goal)):
            change, seen = (self._volts - volts_before)[:, number], (field - field_before)[:, number]
            transfer = self._transfer[number]
            if np.abs(transfer @ change).max() > _RESOLVED * self._tolerance:
                missed = seen - transfer @ change
                transfer += np.outer(missed, change.conj()) / np.vdot(change, change).real
        if not self._known:
            learning = _LEARNING * self._goal
            self._known = bool(np.abs(field - learning).max() <= _LEARNED * np.abs(learning).max())
            if self._known:  # the chain is linear: that much more gives that much more field
                self._seen = self._volts / _LEARNING, field / _LEARNING

    def _next(self) -> Phasors:
        """Voltages for the goal by what is known, no further from the present ones than a step may be."""
        goal = self._goal if self._known else _LEARNING * self._goal
        volts, field = self._seen  # where the chain has been seen, or follows from where it has
        if np.linalg.cond(self._transfer).max() * _SINGULAR > 1:
            raise ControlFailure(
                "channels that can be told apart",
                "reference channels that all see the same",
                "Check which coil each reference channel belongs to.",
            )
        change = np.linalg.solve(self._transfer, (goal - field).T[:, :, None])[:, :, 0].T
        change = volts + change - self._volts
        largest = float(np.abs(change).sum(axis=1).max())
        wanted: Phasors = self._volts + change * min(1.0, self._limits.step / largest)
        for channel, (total, limit) in enumerate(
            zip(np.abs(wanted).sum(axis=1), self._limits.volts, strict=True)
        ):
            if total > limit:
                raise ControlFailure(
                    f"at most {limit:g} V on channel {channel}",
                    f"that the field of {abs(self._goal[channel, channel]) * 1e3:g} mT would take {total:.3g} V",
                    "Ask for less field, or look for what weakens the transmit chain (amplifier, filter, coil).",
                )
        self._volts = wanted
        return wanted

    def _check(self, field: Phasors) -> None:
        for channel, amplitudes in enumerate(np.abs(field)):
            expected = self._nominal[channel] * self._volts[channel, channel]
            found = field[channel, channel]
            name = f"channel {channel}"
            if amplitudes.sum() > self._limits.field:
                raise ControlFailure(
                    f"at most {self._limits.field * 1e3:g} mT on {name}",
                    f"{amplitudes.sum() * 1e3:.3g} mT",
                    "Check drive_field_per_volt and feedback_field_per_volt of the DAQ.",
                )
            if abs(found) < _SILENT * abs(expected):
                raise ControlFailure(
                    f"a field of about {abs(expected) * 1e3:.3g} mT on {name}",
                    f"no signal on its reference channel ({abs(found) * 1e3:.2g} mT)",
                    "Check that the amplifier is on and the reference channel is connected.",
                )
            # The signs of the other channels' voltages cannot turn a channel's own phase so far.
            if abs(np.angle(found / expected)) > _OPPOSITE:
                raise ControlFailure(
                    f"{name} within 90 degrees of the phase transmitted",
                    f"the wrong phase, {np.degrees(np.angle(found / expected)):.0f} degrees",
                    "Check the polarity of its coil, its amplifier and its reference channel.",
                )

    def _check_progress(self) -> None:
        errors = [step.error for step in self.steps]
        expected = f"the field within {self._tolerance * 1e6:g} uT after {self._limits.steps} steps"
        course = ", ".join(f"{error * 1e6:.0f}" for error in errors[-4:])
        remedy = "Check that nothing disturbs the field, and that no part of the chain saturates."
        # Learning may lead away for as many steps as there is to learn; more is going round in circles.
        patience = 2 * len(self._goal) + 2
        if len(errors) > patience and min(errors[-patience:]) > 0.9 * min(errors[:-patience]):
            raise ControlFailure(expected, f"it to oscillate: errors of {course} uT", remedy)
        if len(errors) >= self._limits.steps:
            raise ControlFailure(expected, f"errors of {course} uT at the end", remedy)

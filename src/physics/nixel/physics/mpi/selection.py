"""Selection fields: the gradient that leaves only a point or a line free of field."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nixel.physics.checks import check_all_positive

Array = NDArray[np.floating[Any]]


class SelectionField(Protocol):
    """A field that is linear in space, B(r, t) = G(t) r."""

    def gradient(self, times: Array) -> NDArray[np.float64]:
        """G at `times` (s) in T/m, shape (3, 3) if it stands still, else (samples, 3, 3)."""

    def gradient_rate(self, times: Array) -> NDArray[np.float64] | None:
        """Time derivative of G in T/m/s, shape (samples, 3, 3); None where it is zero."""


# A selection field, or the diagonal of a constant gradient in T/m, one component an axis.
Selection = SelectionField | Sequence[float]


@dataclass(frozen=True)
class FieldFreePoint:
    """A field-free point: B = (gx x, gy y, gz z).

    Parameters
    ----------
    gradients : tuple of float
        (gx, gy, gz) in T/m; a static field has no sources, hence their sum is zero.

    Raises
    ------
    ValueError
        If there are not three, one is zero or not finite, or their sum is not zero.
    """

    gradients: tuple[float, float, float] = (-1.25, -1.25, 2.5)

    def __post_init__(self) -> None:
        largest = max(map(abs, self.gradients), default=0.0)
        if len(self.gradients) != 3 or not all(math.isfinite(g) and g != 0 for g in self.gradients):
            raise ValueError(f"gradients: expected three numbers in T/m, none zero, found {self.gradients}")
        if abs(sum(self.gradients)) > 1e-9 * largest:
            raise ValueError(
                f"gradients: expected a sum of zero (div B = 0), found {self.gradients}, sum {sum(self.gradients):g}"
            )

    def gradient(self, times: Array) -> NDArray[np.float64]:  # noqa: ARG002 - it stands still
        """G in T/m, shape (3, 3)."""
        return np.diag(np.asarray(self.gradients, dtype=np.float64))

    def gradient_rate(self, times: Array) -> None:
        """None: it stands still."""


def line_gradient(gradient: float, angles: Array) -> NDArray[np.float64]:
    """Gradient of the ideal field-free line in the plane z = 0.

    The line runs through the origin along (cos a, sin a, 0); its normal in the plane is n = (-sin a, cos a, 0). The
    field is B = gradient ((n.r) n - z e_z), free of sources and curl.

    Parameters
    ----------
    gradient : float
        In T/m.
    angles : array of float, any shape
        In rad.

    Returns
    -------
    array of float64, shape (..., 3, 3)
        In T/m.

    References
    ----------
    Weizenecker, Gleich and Borgert, J. Phys. D 41 (2008) 105009.
    """
    sine, cosine = np.sin(angles), np.cos(angles)
    result = np.zeros((*np.shape(angles), 3, 3))
    result[..., 0, 0], result[..., 1, 1], result[..., 2, 2] = sine**2, cosine**2, -1.0
    result[..., 0, 1] = result[..., 1, 0] = -sine * cosine
    return gradient * result


@dataclass(frozen=True)
class FieldFreeLine:
    """A field-free line in the plane z = 0, at rest or turning evenly about z.

    Parameters
    ----------
    strength : float
        Of the gradient across the line, in T/m.
    angle : float
        Between the line and the x axis at time zero, in rad.
    rotation_frequency : float
        Turns a second, in Hz; the field looks the same after half a turn.

    Raises
    ------
    ValueError
        If the strength is not positive or another number is not finite.
    """

    strength: float
    angle: float = 0.0
    rotation_frequency: float = 0.0

    def __post_init__(self) -> None:
        check_all_positive(strength=self.strength)
        for name in ("angle", "rotation_frequency"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: expected a finite number, found {getattr(self, name)!r}")

    def angles(self, times: Array) -> NDArray[np.float64]:
        """Angle between the line and the x axis at `times` (s), shape (samples,), in rad."""
        turned = 2.0 * np.pi * self.rotation_frequency * np.asarray(times, dtype=np.float64)
        return np.asarray(self.angle + turned)

    def gradient(self, times: Array) -> NDArray[np.float64]:
        """G at `times` (s) in T/m, shape (3, 3) if it stands still, else (samples, 3, 3)."""
        if self.rotation_frequency == 0.0:
            return line_gradient(self.strength, np.asarray(self.angle))
        return line_gradient(self.strength, self.angles(times))

    def gradient_rate(self, times: Array) -> NDArray[np.float64] | None:
        """Time derivative of G in T/m/s, shape (samples, 3, 3); None if it stands still."""
        if self.rotation_frequency == 0.0:
            return None
        twice = 2.0 * self.angles(times)
        result = np.zeros((len(twice), 3, 3))
        result[:, 0, 0], result[:, 1, 1] = np.sin(twice), -np.sin(twice)
        result[:, 0, 1] = result[:, 1, 0] = -np.cos(twice)
        return 2.0 * np.pi * self.rotation_frequency * self.strength * result


@dataclass(frozen=True)
class SteppedLine:
    """A field-free line that rests at one angle after the other, as long at each.

    Parameters
    ----------
    strength : float
        Of the gradient across the line, in T/m.
    steps : tuple of float
        Angles between the line and the x axis, in rad.
    duration : float
        At each angle, in s.

    Raises
    ------
    ValueError
        If strength or duration is not positive, or there is no angle or one that is not finite.
    """

    strength: float
    steps: tuple[float, ...]
    duration: float

    def __post_init__(self) -> None:
        check_all_positive(strength=self.strength, duration=self.duration)
        check_angles(self.steps)

    def angles(self, times: Array) -> NDArray[np.float64]:
        """Angle between the line and the x axis at `times` (s), shape (samples,), in rad."""
        return np.asarray(self.steps)[step_at(times, self.duration, len(self.steps))]

    def gradient(self, times: Array) -> NDArray[np.float64]:
        """G at `times` (s) in T/m, shape (samples, 3, 3)."""
        return line_gradient(self.strength, self.angles(times))

    def gradient_rate(self, times: Array) -> None:
        """None: it rests at each angle."""


def check_angles(angles: Sequence[float]) -> None:
    """Refuse no angles, or such as are not finite.

    Raises
    ------
    ValueError
        Then.
    """
    if not len(angles) or not all(map(math.isfinite, angles)):
        raise ValueError(f"angles: expected one finite number in rad or more, found {angles!r}")


def step_at(times: Array, duration: float, steps: int) -> NDArray[np.intp]:
    """Which of `steps` equally long steps each time (s) falls into; after the last comes the first again."""
    # Sampling instants that begin a step must not fall into the one before by rounding.
    number = np.floor(np.asarray(times, dtype=np.float64) / duration + 1e-9)
    return number.astype(np.intp) % steps


def gradient_matrix(selection: Selection, times: Array, axes: int) -> NDArray[np.float64]:
    """Gradient of a selection field or of a diagonal, for the first `axes` axes.

    Returns
    -------
    array of float64, shape (axes, axes) or (samples, axes, axes)
        In T/m.

    Raises
    ------
    ValueError
        If a diagonal has fewer components or one is not finite, or positions in the plane (or on the line) see a
        field that leaves it.
    """
    if isinstance(selection, Sequence | np.ndarray):
        if len(selection) < axes:
            raise ValueError(f"gradient: expected at least {axes} components in T/m, found {len(selection)}")
        diagonal = np.asarray(selection, dtype=np.float64)[:axes]
        if diagonal.ndim != 1 or not np.isfinite(diagonal).all():
            raise ValueError(f"gradient: expected finite numbers in T/m, found {selection!r}")
        return np.diag(diagonal)
    if not hasattr(selection, "gradient"):
        raise ValueError(
            f"gradient: expected a selection field, or its diagonal (x, y[, z]) in T/m, found {selection!r}"
        )
    gradient = selection.gradient(times)
    if np.any(gradient[..., axes:, :axes]):
        raise ValueError(
            f"gradient: expected a field that stays within {axes} axes at positions of {axes} axes, found one "
            "that leaves them: give the drive and the positions in space"
        )
    return np.ascontiguousarray(gradient[..., :axes, :axes])


def gradient_rate_matrix(selection: Selection, times: Array, axes: int) -> NDArray[np.float64] | None:
    """Time derivative of what `gradient_matrix` gives, in T/m/s; None where it is zero."""
    if isinstance(selection, Sequence | np.ndarray):
        return None
    rate = selection.gradient_rate(times)
    return None if rate is None else np.ascontiguousarray(rate[..., :axes, :axes])

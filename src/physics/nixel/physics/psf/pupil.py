"""The pupil as quadrature nodes: how dense they must be, and the phase that light gains at each of them.

Rays are named by q = n sin(theta), which is the same in every layer, from 0 on the axis to the aperture. Light gains
the phase k t w in a layer of thickness t, w(n) = sqrt(n^2 - q^2). What is computed is w - n = -q^2/(w + n), which has
no cancellation at small angles and leaves out a piston that no intensity sees.

The integrals over q dq have square roots that end at q = n. The variable of integration is therefore not q but the
cosine in the medium with the smallest index, in which every w is smooth; beyond the critical angle of the sample it
is an angle t with q^2 = n_s^2 + D^2 sin^2(t), for the same reason. Gauss-Legendre quadrature then converges
exponentially once it resolves the phase.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nixel.physics.psf.microscope import Microscope

# Error of the amplitude that is allowed, relative to what all rays would add up to in phase. An intensity errs by
# twice that, relative to a focus without aberrations: 1e-10 of the peak down to a peak of 4e-6 of such a focus.
TOLERANCE = 1e-13
_MOST_NODES = 1 << 14


@dataclass(frozen=True)
class Pupil:
    """Quadrature nodes over the rays of an aperture, all arrays of shape (nodes,).

    Parameters
    ----------
    sine : ndarray, float64
        q = n sin(theta), dimensionless.
    weights : ndarray, float64
        Of the integral over q dq.
    sample, coverslip, immersion : ndarray, complex128
        w = n cos(theta) in each layer; imaginary where the ray is evanescent in the sample.
    aberration : ndarray, complex128
        Phase from the particle's depth and from layers that are not as designed, radians; its imaginary part
        dampens.
    defocus : ndarray, float64
        Phase per metre of stage movement, radians per metre.
    """

    sine: NDArray[np.float64]
    weights: NDArray[np.float64]
    sample: NDArray[np.complex128]
    coverslip: NDArray[np.complex128]
    immersion: NDArray[np.complex128]
    aberration: NDArray[np.complex128]
    defocus: NDArray[np.float64]

    def waves(self, stage: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Complex amplitude of each ray at each position of the stage, times its weight.

        Parameters
        ----------
        stage : ndarray, float64, (planes,)
            Positions, metres.

        Returns
        -------
        ndarray, complex128, (planes, nodes)
        """
        rays = self.weights * np.exp(1j * self.aberration)
        waves: NDArray[np.complex128] = np.exp(1j * np.outer(stage, self.defocus)) * rays
        return waves


@functools.lru_cache(maxsize=32)
def gauss_legendre(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of Gauss-Legendre quadrature on [0, 1].

    Parameters
    ----------
    count
        Number of nodes.

    Returns
    -------
    nodes, weights : ndarray, float64, (count,)
        Not to be written to.
    """
    # Newton's method from Tricomi's approximation, to the last digit; roots of the Jacobi matrix, as
    # scipy.special.roots_legendre finds them, lose some digits with a thousand nodes.
    half = np.arange(1, (count + 1) // 2 + 1)
    x = np.cos(math.pi * (half - 0.25) / (count + 0.5)) * (1 - (count - 1) / (8 * count**3))
    for _ in range(4):
        value = special.eval_legendre(count, x)
        slope = count * (special.eval_legendre(count - 1, x) - x * value) / (1 - x**2)
        x -= value / slope
    weight = 1 / ((1 - x**2) * slope**2)
    nodes = (1 + np.concatenate([-x, x[::-1][count % 2 :]])) / 2
    weights = np.concatenate([weight, weight[::-1][count % 2 :]])
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights


def choose_pupil(
    microscope: Microscope,
    *,
    particle_depth: float,
    radius: float,
    stage: float,
    supercritical: bool = False,
    factors: Callable[[Pupil], Sequence[NDArray[Any]]] | None = None,
) -> Pupil:
    """Place as many nodes as the phase asks for, and prove it on the integrals that are hardest.

    The number follows from the steepest phase between neighbouring nodes; then amplitudes at the largest radius
    and defocus, among others, are compared with those of half as many nodes more, until they agree.

    Parameters
    ----------
    microscope
        Layers and objective.
    particle_depth
        Metres below the coverslip.
    radius, stage
        Largest radius and stage position, absolute, that will be asked for, metres.
    supercritical
        Include rays that are evanescent in the sample.
    factors
        What else the rays are weighted by, arrays of shape (nodes,), even in q, which the nodes must resolve, too.

    Returns
    -------
    Pupil

    Raises
    ------
    ValueError
        If the phase varies by more than some ten thousand radians.
    """
    pieces = 2 if microscope.aperture(supercritical=supercritical) > microscope.sample_index else 1
    counts = [_estimate(microscope, particle_depth, radius, stage, piece) for piece in range(pieces)]
    radii = radius * np.array([0, 0.37, 1.0])
    positions = stage * np.array([-1, -0.43, 0, 1])
    while sum(counts) <= _MOST_NODES:
        pupil = _pupil(microscope, particle_depth, counts)
        finer = _pupil(microscope, particle_depth, [count + count // 2 for count in counts])
        steepest = np.abs(pupil.aberration).max() + stage * np.abs(pupil.defocus).max()
        allowed = TOLERANCE + 4 * np.finfo(np.float64).eps * steepest
        # Of shape (planes, factors x radii).
        found, expected = (
            np.concatenate(
                [
                    p.waves(positions)
                    @ (special.j0(np.outer(microscope.wavenumber * p.sine, radii)) * factor[:, None])
                    for factor in (factors(p) if factors else [np.ones_like(p.sine)])
                ],
                axis=1,
            )
            for p in (pupil, finer)
        )
        if np.abs(found - expected).max() <= allowed * finer.weights.sum():
            return pupil
        counts = [count + count // 2 for count in counts]
    raise ValueError(
        f"the phase over the pupil: expected one that {_MOST_NODES} nodes resolve, found a steeper one with"
        f" particle_depth {particle_depth!r} m, radius up to {radius!r} m and stage up to {stage!r} m"
    )


def _rays(
    microscope: Microscope, x: NDArray[np.float64], piece: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Return q^2, q dq/dx, n^2 - q^2 for the index n that is last, for x from 0 (inside) to 1 (the edge)."""
    edge = microscope.aperture(supercritical=piece == 1)
    inner, outer, stretch = x, 1 - x, np.ones_like(x)
    if edge == microscope.immersion_index:
        # Light enters the immersion at grazing angles: the aplanatic factor is the square root of the cosine.
        inner, outer, stretch = x * (2 - x), (1 - x) ** 2, 2 * (1 - x)
    if piece == 0:
        index = min(microscope.layer_index, microscope.sample_index)
        last = math.sqrt((index - edge) * (index + edge)) / index
        # The versine 1 - cosine without cancellation at small apertures.
        rise = edge**2 / (index**2 * (1 + last))
        versine, cosine = rise * inner, last + rise * outer
        return (
            index**2 * versine * (2 - versine),
            index**2 * cosine * rise * stretch,
            (index * cosine) ** 2,
            index,
        )
    index, sample = microscope.layer_index, microscope.sample_index
    square = (index - sample) * (index + sample)
    last = math.asin(min(1.0, math.sqrt((edge - sample) * (edge + sample) / square)))
    sine = np.sin(last * inner)
    cosine = math.cos(last) * np.cos(last * outer) + math.sin(last) * np.sin(last * outer)
    return sample**2 + square * sine**2, square * sine * cosine * last * stretch, square * cosine**2, index


def _layers(
    microscope: Microscope,
    particle_depth: float,
    square: NDArray[np.float64],
    remainder: NDArray[np.float64],
    index: float,
) -> dict[str, NDArray[Any]]:
    """All that a ray of q^2 = square has, save its weight; remainder = index^2 - q^2 is exact at grazing angles."""

    def cosine(n: float) -> NDArray[np.complex128]:
        return np.sqrt(((n - index) * (n + index) + remainder).astype(np.complex128))

    def path(n: float) -> NDArray[np.complex128]:
        return -square / (n + cosine(n))

    m = microscope
    aberration = m.wavenumber * (
        particle_depth * path(m.sample_index)
        + (m.coverslip_thickness * path(m.coverslip_index))
        - (m.coverslip_thickness_design * path(m.coverslip_index_design))
        + m.immersion_thickness_design * (path(m.immersion_index) - path(m.immersion_index_design))
    )
    return {
        "sine": np.sqrt(square),
        "sample": cosine(m.sample_index),
        "coverslip": cosine(m.coverslip_index),
        "immersion": cosine(m.immersion_index),
        "aberration": aberration,
        "defocus": m.wavenumber * path(m.immersion_index).real,
    }


def phase(
    microscope: Microscope,
    particle_depth: float,
    stage: NDArray[np.float64],
    sine: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Phase of rays that propagate in every layer, without piston.

    Parameters
    ----------
    microscope
        Objective and layers.
    particle_depth
        Metres below the coverslip.
    stage : ndarray, float64, (planes,)
        Positions, metres.
    sine : ndarray, float64, (rays,)
        n sin(theta), at most the smallest index.

    Returns
    -------
    ndarray, float64, (planes, rays)
        Radians.
    """
    index = min(microscope.layer_index, microscope.sample_index)
    rays = _layers(microscope, particle_depth, sine**2, (index - sine) * (index + sine), index)
    total: NDArray[np.float64] = np.outer(stage, rays["defocus"]) + rays["aberration"].real
    return total


def _pupil(microscope: Microscope, particle_depth: float, counts: list[int]) -> Pupil:
    parts = []
    for piece, count in enumerate(counts):
        x, weights = gauss_legendre(count)
        square, measure, remainder, index = _rays(microscope, x, piece)
        part = _layers(microscope, particle_depth, square, remainder, index)
        parts.append({**part, "weights": measure * weights})
    return Pupil(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _estimate(microscope: Microscope, particle_depth: float, radius: float, stage: float, piece: int) -> int:
    """Nodes that resolve the phase: half its steepest slope in the angle of which Gauss nodes are equidistant.

    n nodes integrate cos(m phi), x = (1 - cos phi)/2, exactly up to m = 2n - 1. A phase of slope s has such
    terms up to m = s, and beyond it a tail that is some s^(1/3) wide.
    """
    angle = np.linspace(0, math.pi, 1025)
    square, _, remainder, index = _rays(microscope, (1 - np.cos(angle)) / 2, piece)
    part = _layers(microscope, particle_depth, square, remainder, index)
    slope = float(
        (
            np.abs(np.diff(part["aberration"]))
            + stage * np.abs(np.diff(part["defocus"]))
            + microscope.wavenumber * radius * np.abs(np.diff(part["sine"]))
        ).max()
        / angle[1]
    )
    return math.ceil(slope / 2 + 4 * math.cbrt(slope) + 12)

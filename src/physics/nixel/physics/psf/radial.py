"""Intensity as a function of radius: computed where it is asked for, or averaged over pixels and pinholes.

An intensity is the square of a field whose spatial frequencies end at the aperture, k NA. As a function of radius it
is even and of the band 2 k NA. It is therefore known everywhere from a few Chebyshev nodes, to the last digits, and a
table much finer than the band interpolates as well: the average over a pixel or a pinhole is a sparse matrix times it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from nixel.physics.psf.pupil import gauss_legendre
from nixel.physics.psf.volume import distinct_samples, fill, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nixel.physics.psf.volume import Samples, Volume

    Compute = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# Doubles in one block of a Bessel matrix and of the amplitudes made of it: it stays in the processor's cache.
_BLOCK = 1 << 19
# Lagrange interpolation over so many points of a table with this phase of the band's edge between two of them: the
# remainder is ((ORDER - 1)!! / 2^(ORDER / 2))^2 / ORDER! PHASE^ORDER = 1.5e-13 of the largest value.
_ORDER = 16
_PHASE = 0.35
# What quadrature over a pixel may err by, relative to the largest value.
_PIXEL_ERROR = 1e-12


@dataclass(frozen=True)
class Radial:
    """Intensity in every plane as a function of the radius.

    Parameters
    ----------
    compute : callable
        Takes radii in metres, (n,), and returns (components, planes, n): the mean over the angle and, for
        polarised light, the factor of cos(2 phi), phi from the x axis.
    components, planes : int
        How many of them there are.
    band : float
        Highest spatial frequency of the intensity, radians per metre.
    work : int
        Doubles that it needs for each radius.
    """

    compute: Compute
    components: int
    planes: int
    band: float
    work: int

    def __call__(
        self,
        radii: NDArray[np.float64],
        *,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float64]:
        """Compute it, at Chebyshev nodes if these are clearly fewer than the radii, in blocks that fit the cache.

        The blocks, and so the result, do not depend on the number of threads.
        """
        nodes = _chebyshev_count(self.band * float(radii.max()))
        if 1.5 * nodes < len(radii):
            compute = _interpolant(self, float(radii.max()), nodes)
            return self._in_blocks(
                compute, nodes + 2 * self.components * self.planes, radii, workers, progress
            )
        return self._in_blocks(self.compute, self.work, radii, workers, progress)

    def _in_blocks(
        self,
        compute: Compute,
        work: int,
        radii: NDArray[np.float64],
        workers: int,
        progress: Callable[[int, int], None] | None,
    ) -> NDArray[np.float64]:
        length = max(16, _BLOCK // work)
        values = np.empty((self.components, self.planes, len(radii)))

        def block(start: int) -> None:
            values[..., start : start + length] = compute(radii[start : start + length])

        run([partial(block, start) for start in range(0, len(radii), length)], workers, progress)
        return values


def _chebyshev_count(phase: float) -> int:
    """Nodes in r^2 that an even function of r needs, whose spectrum ends at `phase` over the largest radius.

    Its Chebyshev coefficients fall off as the Bessel functions J_m(phase) beyond m = phase, of which only even m
    count: by 1e-17 at phase + 11 phase^(1/3).
    """
    return math.ceil((phase + 11 * math.cbrt(phase)) / 2) + 8


def _interpolant(radial: Radial, radius: float, count: int) -> Compute:
    """Interpolate between Chebyshev nodes in r^2 (Berrut and Trefethen, SIAM Rev. 46 (2004) 501-517)."""
    angle = math.pi * np.arange(count) / (count - 1)
    nodes = (radius * np.cos(angle / 2)) ** 2
    weights = np.where(np.arange(count) % 2, -1.0, 1.0)
    weights[[0, -1]] /= 2
    # Fewer radii than nodes: this is not interpolated itself.
    table = radial(np.sqrt(nodes))
    # The last row becomes the sum of the weights, by which all others are divided.
    rows = np.concatenate([table.reshape(-1, count), np.ones((1, count))])
    lowest = np.where(np.arange(radial.components) == 0, 0, -np.inf)[:, None, None]
    tiny = np.finfo(np.float64).tiny ** 0.5 * radius**2

    def compute(radii: NDArray[np.float64]) -> NDArray[np.float64]:
        matrix = np.subtract.outer(-nodes, -np.square(radii))
        # At a node its own value outweighs all others.
        matrix[matrix == 0] = tiny
        np.divide(weights[:, None], matrix, out=matrix)
        sums = rows @ matrix
        values = sums[:-1]
        values /= sums[-1]
        values = values.reshape(radial.components, radial.planes, -1)
        # An intensity is not negative; rounding knows nothing of that. The factor of cos(2 phi) may be.
        clipped: NDArray[np.float64] = np.maximum(values, lowest, out=values)
        return clipped

    return compute


def intensity(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared modulus of real parts (first half of the rows) and imaginary parts; overwrites them."""
    planes = len(parts) // 2
    np.square(parts, out=parts)
    parts[:planes] += parts[planes:]
    return parts[:planes]


def margin(band: float) -> float:
    """How far beyond the largest radius a table for that band reaches, metres."""
    return (_ORDER // 2 + 1) * _PHASE / band


def interpolation(
    radii: NDArray[np.float64], weights: NDArray[np.float64], band: float, length: int
) -> sparse.csr_array:
    """Build the matrix that takes a table to weighted sums over points.

    Parameters
    ----------
    radii : ndarray, float64, (rows, points)
        Radius of each point of each sum, metres.
    weights : ndarray, float64, (rows, points)
        Their weights.
    band
        The table's values lie at multiples of `_PHASE`/band.
    length
        Of the table.

    Returns
    -------
    scipy.sparse.csr_array, (rows, length)
    """
    position = radii * (band / _PHASE)
    base = np.floor(position)
    distance = (position - base)[..., None] - np.arange(1 - _ORDER // 2, 1 + _ORDER // 2)
    # Product of the distances to all other nodes: those before times those after.
    before = np.cumprod(distance, axis=-1)
    after = np.cumprod(distance[..., ::-1], axis=-1)[..., ::-1]
    lagrange = np.ones_like(distance)
    lagrange[..., 1:] = before[..., :-1]
    lagrange[..., :-1] *= after[..., 1:]
    order = np.arange(_ORDER)
    lagrange /= [
        (-1.0) ** (_ORDER - 1 - i) * math.factorial(i) * math.factorial(_ORDER - 1 - i) for i in order
    ]
    columns = np.abs(base[..., None].astype(np.int32) + (order + 1 - _ORDER // 2).astype(np.int32))
    rows = np.broadcast_to(np.arange(len(radii), dtype=np.int32)[:, None, None], columns.shape)
    entries = (lagrange * weights[..., None]).ravel(), (rows.ravel(), columns.ravel())
    return sparse.coo_array(entries, shape=(len(radii), length)).tocsr()


def table_radii(reach: float, band: float) -> NDArray[np.float64]:
    """Where a table lies that interpolates up to `reach` metres."""
    step = _PHASE / band
    return np.arange(math.ceil((reach + margin(band)) / step) + 1, dtype=np.float64) * step


def reach(volume: Volume, *, pixel_integrated: bool) -> float:
    """Largest radius of a grid, metres, with the last pixels' corners if they are integrated over."""
    (_, rows, columns), (_, dy, dx) = volume.shape, volume.spacing
    edge = 0 if pixel_integrated else 1
    return math.hypot((rows - edge) * dy, (columns - edge) * dx) / 2


def furthest(volume: Volume, band: float, *, pixel_integrated: bool) -> float:
    """Largest radius at which `sample` asks for the intensity, metres."""
    if pixel_integrated:
        return float(table_radii(reach(volume, pixel_integrated=True), band)[-1])
    return reach(volume, pixel_integrated=False)


def sample(
    volume: Volume,
    radial: Radial,
    *,
    pixel_integrated: bool,
    polarised: bool = False,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> NDArray[Any]:
    """Put an intensity on a grid, and scale its largest value to one.

    Parameters
    ----------
    volume
        The grid.
    radial
        The intensity.
    pixel_integrated
        Average over pixels, not only take the value at their centres.
    polarised
        Whether it depends on the angle.
    workers
        Threads.
    progress
        Is told of blocks done and blocks in all.

    Returns
    -------
    ndarray, (planes, rows, columns), the volume's dtype
    """
    if pixel_integrated:
        samples = distinct_samples(volume, by="quadrant" if polarised else "octant")
        values = _pixels(volume, samples, radial, workers, progress)
    else:
        samples = distinct_samples(volume, by="quadrant" if polarised else "radius")
        components = radial(samples.radii, workers=workers, progress=progress)
        values = components[0]
        if polarised:
            values += components[1] * _cos_twice_angle(samples.y, samples.x)
    return fill(volume, samples, values, workers=workers)


def _cos_twice_angle(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    # At the centre, where the angle has no meaning, what it multiplies is zero.
    square = x**2 + y**2
    return (x**2 - y**2) / np.where(square > 0, square, 1)


def _gauss_count(phase: float) -> int:
    """Gauss nodes over an interval over which exp(i phase x), -1 < x < 1, is averaged (Abramowitz 25.4.30)."""
    count, error = 1, phase**2 / 6
    while error > _PIXEL_ERROR:
        count += 1
        error *= (
            phase**2
            * count**4
            * 4
            * (2 * count - 1)
            / ((2 * count + 1) * ((2 * count) * (2 * count - 1)) ** 3)
        )
    return count


def _pixels(
    volume: Volume,
    samples: Samples,
    radial: Radial,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.float64]:
    """Average over each distinct pixel, (planes, distinct)."""
    _, dy, dx = volume.spacing
    v, v_weights = gauss_legendre(_gauss_count(radial.band * dy / 2))
    u, u_weights = gauss_legendre(_gauss_count(radial.band * dx / 2))
    table = radial(
        table_radii(reach(volume, pixel_integrated=True), radial.band), workers=workers, progress=progress
    )
    columns = [np.ascontiguousarray(component.T) for component in table]
    weights = np.outer(v_weights, u_weights).ravel()
    values = np.empty((table.shape[1], len(samples.y)))
    length = max(1, _BLOCK // (_ORDER * len(weights)))

    def block(start: int) -> None:
        part = slice(start, start + length)
        y, x = (
            point.reshape(len(samples.y[part]), -1)
            for point in np.broadcast_arrays(
                samples.y[part, None, None] + (v[:, None] - 0.5) * dy,
                samples.x[part, None, None] + (u - 0.5) * dx,
            )
        )
        radii = np.hypot(y, x)
        factors = [np.broadcast_to(weights, radii.shape), weights * _cos_twice_angle(y, x)]
        averages = sum(
            interpolation(radii, factor, radial.band, len(component)) @ component
            for factor, component in zip(factors, columns, strict=False)
        )
        values[:, part] = averages.T

    run([partial(block, start) for start in range(0, len(samples.y), length)], workers, None)
    return values


def disc_average(radial: Radial, radius: float, furthest_radius: float, *, workers: int) -> Radial:
    """Average an intensity without angular dependence over a disc around each point.

    Parameters
    ----------
    radial
        The intensity, of one component.
    radius
        Of the disc, metres.
    furthest_radius
        Largest distance of a disc's centre that will be asked for, metres.
    workers
        Threads.

    Returns
    -------
    Radial
    """
    phase = radial.band * radius
    # Over the disc's own polar coordinates: Gauss in the squared radius, equidistant in the angle. What they miss
    # falls off faster than exponentially once they resolve the band.
    squares, ring_weights = gauss_legendre(math.ceil(phase / 4 + 3 * math.cbrt(phase) + 8))
    turns = math.ceil((phase + 8 * math.cbrt(phase)) / 2 + 10)
    across = (
        2 * radius * np.outer(np.sqrt(squares), np.cos(math.pi * (np.arange(turns) + 0.5) / turns)).ravel()
    )
    own = np.repeat(radius**2 * squares, turns)
    weights = np.repeat(ring_weights / turns, turns)
    table = radial(table_radii(furthest_radius + radius, radial.band), workers=workers)
    column = np.ascontiguousarray(table[0].T)
    length = max(1, _BLOCK // (_ORDER * len(weights)))

    def compute(radii: NDArray[np.float64]) -> NDArray[np.float64]:
        averages = np.empty((len(radii), column.shape[1]))
        for start in range(0, len(radii), length):
            centre = radii[start : start + length, None]
            points = np.sqrt(np.maximum(centre**2 + own + centre * across, 0))
            matrix = interpolation(points, np.broadcast_to(weights, points.shape), radial.band, len(column))
            averages[start : start + length] = matrix @ column
        return averages.T[None]

    return Radial(compute, 1, radial.planes, radial.band, radial.work)

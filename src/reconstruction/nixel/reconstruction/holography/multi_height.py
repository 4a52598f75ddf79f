"""The field at the sample from holograms at several heights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from nixel.physics.arrays import Array, as_array, check_workers, namespace
from nixel.physics.checks import check_positive
from nixel.reconstruction.holography.geometry import Optics, check_geometry, diffraction_reach
from nixel.reconstruction.holography.momentum import iterate
from nixel.reconstruction.holography.planes import (
    Planes,
    amplitude_of,
    check_holograms,
    check_margin,
    default_margin,
)
from nixel.reconstruction.holography.tiles import reconstruct_in_tiles, tile_for_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_COMPLEX_ARRAYS = 10  # of the grid at a time, without those that each height has
_DAMPING = 1e-3  # of the linear start, a height: what the transfer hardly carries is left to the iterations


def reconstruct_multi_height(
    holograms: Array,
    distances: Sequence[float],
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
    start: Literal["contrast_transfer", "back_propagation"] = "contrast_transfer",
    iterations: int = 50,
    acceleration: bool = True,
    margin: int | None = None,
    memory: int | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Array:
    """Field at the sample from registered holograms of it at several distances.

    In a plane the wave gets the recorded amplitude and keeps its phase: it is projected onto what the camera
    saw there. The twin images of the heights do not coincide, and the field that agrees with all of them has
    none. The first half of the iterations projects from plane to plane in turn, which is quick but ends in
    full agreement with the last plane, its noise included; the second half projects onto all planes from the
    same wave and takes the mean, which goes down the squared misfit of all.

    Eight simulated heights from 300 to 650 um of a sample that absorbs and delays (532 nm, pixels of 1.12 um,
    50 iterations) come back with a correlation of 0.96 in amplitude and 0.94 in phase; in the light of three
    quarters of the range of the microscope's colour sensor, whose red and blue pixels see a seventh of it and
    less, noise costs at most 0.03 of the one and 0.02 of the other.

    Parameters
    ----------
    holograms
        Contrast holograms, (planes, y, x), float32 or float64, of any array library, mean about 1 (see
        `correct`), two planes or more.
    distances
        From the sample to each recorded plane, metres, all different.
    wavelength, pixel_size
        Vacuum wavelength and sampling interval, metres.
    medium_index
        Refractive index of the medium.
    start
        "contrast_transfer": the least-squares solution for a weak sample, absorption and phase, of all
        heights at once. For slow structure, which the projections are slow to bring in, its limit is the
        transport-of-intensity equation. "back_propagation": the mean of the back-propagated amplitudes.
    iterations
        Passes over all planes; 0 gives the start.
    acceleration
        Nesterov's momentum, starting anew where the misfit grows.
    margin
        Pixels around the window to reconstruct with it; None: as far as light walks sideways from the sample
        to the farthest plane, at most half the window.
    memory
        Bytes to work in, the holograms and the result not counted: what does not fit is reconstructed in
        tiles (see `reconstruct_in_tiles`). None: at once.
    workers
        Threads.
    progress
        Called with (passes done, passes in all), or of tiles, where there are several.

    Returns
    -------
    array, complex, (y, x)
        In units of the illuminating wave; complex64 for float32, complex128 for float64. The phase is up to
        a constant.

    Raises
    ------
    ValueError
        If the holograms are not finite floats, there are not as many distances as planes, or
        two of them are alike, or a parameter is not as said.

    References
    ----------
    Greenbaum, Ozcan, "Maskless imaging of dense samples using pixel super-resolution based multi-height
    lensfree on-chip microscopy", Optics Express 20, 3129 (2012). Start: Zabler, Cloetens, Guigay, et al.,
    "Optimization of phase contrast imaging using hard x rays", Rev. Sci. Instrum. 76, 073705 (2005).
    """
    holograms = as_array(holograms)
    check_holograms("holograms", holograms, 3)
    check_workers(workers)
    heights = [check_positive("distances", distance, "m") for distance in distances]
    if len(heights) != holograms.shape[0] or len(heights) < 2:
        raise ValueError(
            f"distances: expected one a hologram, two or more, found {len(heights)} for {holograms.shape[0]}"
        )
    if len(set(heights)) < len(heights):
        raise ValueError(f"distances: expected distances that differ, found {heights}")
    if start not in ("contrast_transfer", "back_propagation"):
        raise ValueError(f"start: expected contrast_transfer or back_propagation, found {start!r}")
    if iterations < 0:
        raise ValueError(f"iterations: expected 0 or more, found {iterations!r}")
    optics = Optics(wavelength=wavelength, pixel_size=pixel_size, medium_index=medium_index)
    check_geometry(**optics)
    shape = (int(holograms.shape[1]), int(holograms.shape[2]))
    reach = diffraction_reach(max(heights), **optics)
    if margin is None:
        margin = default_margin(shape, reach, pixel_size)
    check_margin(margin)

    def whole(stack: Array, notify: Callable[[int, int], None] | None) -> Array:
        return _reconstruct(stack, heights, optics, start, iterations, acceleration, margin, workers, notify)

    if memory is not None:
        single = holograms.dtype == namespace(holograms).float32
        needed = (_COMPLEX_ARRAYS + 1.5 * len(heights)) * (8 if single else 16)
        tile = tile_for_memory(memory, needed, shape, margin, math.ceil(reach / pixel_size))
        if tile < max(shape):
            return reconstruct_in_tiles(
                holograms,
                lambda stack, _window: whole(stack, None),
                tile=tile,
                overlap=math.ceil(reach / pixel_size),
                progress=progress,
            )
    return whole(holograms, progress)


def _reconstruct(
    holograms: Array,
    heights: list[float],
    optics: Optics,
    start: str,
    iterations: int,
    acceleration: bool,
    margin: int,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> Array:
    xp = namespace(holograms)
    shape = (int(holograms.shape[1]), int(holograms.shape[2]))
    planes = Planes(shape, heights, optics, margin=margin, example=holograms, workers=workers)
    first = _contrast_transfer if start == "contrast_transfer" else _mean_of_back_propagated
    spectrum = first(planes, holograms)
    amplitudes = [amplitude_of(holograms[plane, ...]) for plane in range(len(heights))]

    def pass_over_planes(wave: Array) -> tuple[Array, float]:
        misfit = 0.0
        for plane, amplitude in enumerate(amplitudes):
            wave, part = planes.impose(wave, plane, amplitude)
            misfit += part
        return wave, misfit

    def mean_over_planes(wave: Array) -> tuple[Array, float]:
        total, misfit = planes.impose(wave, 0, amplitudes[0])
        for plane, amplitude in enumerate(amplitudes[1:], start=1):
            imposed, part = planes.impose(wave, plane, amplitude)
            total += imposed
            misfit += part
        total *= 1 / len(amplitudes)
        return total, misfit

    cyclic = (iterations + 1) // 2
    for step, first_pass, passes in (
        (pass_over_planes, 0, cyclic),
        (mean_over_planes, cyclic, iterations - cyclic),
    ):

        def notify(done: int, _total: int, before: int = first_pass) -> None:
            if progress is not None:
                progress(before + done, iterations)

        spectrum = iterate(step, spectrum, passes, acceleration=acceleration, progress=notify)
    return xp.asarray(planes.field(spectrum)[planes.inside], copy=True)


def _contrast_transfer(planes: Planes, holograms: Array) -> Array:
    """Spectrum of 1 + a + i phi, whose holograms 1 + 2 cos(chi) a + 2 sin(chi) phi are the nearest.

    chi is the phase that the transfer function exp(-i chi) of a plane takes off; a and phi are real, and the
    equations of one frequency, both unknowns, all planes, stand alone.
    """
    xp = planes.xp
    count = len(planes.transfers)
    damping = _DAMPING * count
    cosines = sines = both = xp.zeros_like(xp.real(planes.transfers[0]))
    in_phase = in_quadrature = xp.zeros_like(planes.transfers[0])
    for plane, transfer in enumerate(planes.transfers):
        contrast = planes.spectrum(planes.embed(holograms[plane, ...] - 1)) / 2
        cosine, sine = xp.real(transfer), -xp.imag(transfer)
        cosines = cosines + cosine * cosine
        sines = sines + sine * sine
        both = both + cosine * sine
        in_phase = in_phase + cosine * contrast
        in_quadrature = in_quadrature + sine * contrast
    cosines, sines = cosines + damping, sines + damping
    determinant = cosines * sines - both * both
    absorption = (sines * in_phase - both * in_quadrature) / determinant
    phase = (cosines * in_quadrature - both * in_phase) / determinant
    result = absorption + 1j * phase
    # The spectrum of the undisturbed wave, 1 everywhere.
    result[0, 0] = result[0, 0] + float(np.prod(planes.grid))
    return result


def _mean_of_back_propagated(planes: Planes, holograms: Array) -> Array:
    """Spectrum of the mean of the amplitudes, each taken back to the sample."""
    xp = planes.xp
    count = len(planes.transfers)
    total = None
    for plane, transfer in enumerate(planes.transfers):
        amplitude = planes.embed(amplitude_of(holograms[plane, ...]), 1.0)
        part = planes.spectrum(amplitude) * xp.conj(transfer) / count
        total = part if total is None else total + part
    return total

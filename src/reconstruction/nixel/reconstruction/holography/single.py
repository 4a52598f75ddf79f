"""The field at the sample from one hologram, its twin image suppressed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from nixel.physics.arrays import Array, as_array, check_workers, namespace
from nixel.physics.checks import check_positive
from nixel.reconstruction.holography.geometry import Optics, check_geometry, diffraction_reach
from nixel.reconstruction.holography.planes import (
    Planes,
    check_holograms,
    check_margin,
    default_margin,
)
from nixel.reconstruction.holography.retrieval import retrieve
from nixel.reconstruction.holography.tiles import reconstruct_in_tiles, tile_for_memory
from nixel.reconstruction.holography.total_variation import TotalVariation

if TYPE_CHECKING:
    from collections.abc import Callable

_INNER_STEPS = 5
_COMPLEX_ARRAYS = 18  # of the grid at a time


def reconstruct_single(
    hologram: Array,
    distance: float,
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
    method: Literal["projections", "total_variation"] = "total_variation",
    sample: Literal["any", "absorbing", "phase"] = "any",
    support: Array | None = None,
    regularisation: float = 0.02,
    iterations: int = 60,
    acceleration: bool = True,
    margin: int | None = None,
    memory: int | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Array:
    """Field at the sample from one hologram, with the twin image suppressed.

    A hologram has lost its phase: any field that has its amplitude explains it. Each iteration gives the
    wave the recorded amplitude at the camera, goes back, and makes of it what a sample can be. The twin
    image, a sharp picture's blurred double, is not: it brightens beyond the light that was there, spreads
    beyond the support, and has no sharp edges.

    Noise of the microscope's colour sensor (light of three quarters of its range, of which red and blue pixels see a
    seventh and less; simulated discs, 500 um, 532 nm, pixels of 1.12 um, 60 iterations) costs, of the correlation
    with what is there, at most 0.01 with "total_variation", where the sample only absorbs (in amplitude) or only
    delays (in phase), and 0.03 with "projections" that are told which. Where a sample does both, one hologram hardly
    tells the two apart: noise costs up to 0.05 in amplitude and 0.2 in phase, and `reconstruct_multi_height` is the
    way to know them.

    Parameters
    ----------
    hologram
        Contrast hologram, (y, x), float32 or float64, of any array library, 1 where no sample is in the
        light (see `correct`, with a steady source: a scale of mean 1 makes the light too bright for a sample
        that absorbs much, and the constraints wrong).
    distance
        From the sample to the recorded plane, metres.
    wavelength, pixel_size
        Vacuum wavelength and sampling interval, metres.
    medium_index
        Refractive index of the medium.
    method
        "projections": only the constraints below. "total_variation": FISTA on half the squared misfit of the
        amplitude plus `regularisation` times the total variation of the complex field; for samples with
        edges.
    sample
        What the sample may do. "any": it lets through at most all light, |t| <= 1. "absorbing": no phase
        either, 0 <= t <= 1. "phase": no absorption, |t| = 1.
    support
        Boolean, (y, x): False where there is surely no sample (t = 1, around the window, too). None: anywhere.
    regularisation
        Weight of the total variation, in units of the illuminating wave.
    iterations
        Number of them; 0 gives the back-propagated amplitude, made possible for the sample.
    acceleration
        Nesterov's momentum, starting anew where the misfit grows.
    margin
        Pixels around the window to reconstruct with it; None: as far as light walks sideways from the sample
        to the camera, at most half the window.
    memory
        Bytes to work in, the hologram and the result not counted: what does not fit is reconstructed in
        tiles (see `reconstruct_in_tiles`). None: at once.
    workers
        Threads.
    progress
        Called with (iterations done, iterations in all), or of tiles, where there are several.

    Returns
    -------
    array, complex, (y, x)
        In units of the illuminating wave; complex64 for float32, complex128 for float64.

    Raises
    ------
    ValueError
        If the hologram is not finite floats, or a parameter is not as said.

    References
    ----------
    Latychevskaia, Fink, "Solution to the twin image problem in holography", Phys. Rev. Lett. 98, 233901
    (2007). Fienup, "Phase retrieval algorithms: a comparison", Applied Optics 21, 2758 (1982). Brady, Choi,
    Marks, et al., "Compressive holography", Optics Express 17, 13040 (2009). Gao, Cao, "Iterative projection
    meets sparsity regularization", Light: Advanced Manufacturing 4, 37 (2023).
    """
    hologram = as_array(hologram)
    check_holograms("hologram", hologram, 2)
    check_workers(workers)
    distance = check_positive("distance", distance, "m")
    if method not in ("projections", "total_variation"):
        raise ValueError(f"method: expected projections or total_variation, found {method!r}")
    if sample not in ("any", "absorbing", "phase"):
        raise ValueError(f"sample: expected any, absorbing or phase, found {sample!r}")
    if iterations < 0:
        raise ValueError(f"iterations: expected 0 or more, found {iterations!r}")
    if not (math.isfinite(regularisation) and regularisation > 0):
        raise ValueError(f"regularisation: expected a positive number, found {regularisation!r}")
    xp = namespace(hologram)
    shape = (int(hologram.shape[0]), int(hologram.shape[1]))
    if support is not None and (support.dtype != xp.bool or tuple(support.shape) != shape):
        raise ValueError(
            f"support: expected booleans of shape {shape}, found {support.dtype}, {tuple(support.shape)}"
        )
    optics = Optics(wavelength=wavelength, pixel_size=pixel_size, medium_index=medium_index)
    check_geometry(**optics)
    reach = diffraction_reach(distance, **optics)
    if margin is None:
        margin = default_margin(shape, reach, pixel_size)
    check_margin(margin)

    def whole(frame: Array, where: Array | None, notify: Callable[[int, int], None] | None) -> Array:
        planes = Planes(frame.shape, [distance], optics, margin=margin, example=frame, workers=workers)
        smooth = TotalVariation(regularisation, _INNER_STEPS) if method == "total_variation" else None
        field = retrieve(
            planes,
            frame,
            sample=sample,
            support=where,
            smooth=smooth,
            iterations=iterations,
            acceleration=acceleration,
            progress=notify,
        )
        return xp.asarray(field[planes.inside], copy=True)

    if memory is not None:
        needed = _COMPLEX_ARRAYS * (8 if hologram.dtype == xp.float32 else 16)
        tile = tile_for_memory(memory, needed, shape, margin, math.ceil(reach / pixel_size))
        if tile < max(shape):
            return reconstruct_in_tiles(
                hologram,
                lambda frame, window: whole(frame, None if support is None else support[window], None),
                tile=tile,
                overlap=math.ceil(reach / pixel_size),
                progress=progress,
            )
    return whole(hologram, support, progress)

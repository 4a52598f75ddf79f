"""Richardson-Lucy deconvolution: maximum likelihood under Poisson noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nixel.physics.arrays import Array, check_workers, is_numpy, like, namespace
from nixel.physics.checks import check_number
from nixel.reconstruction.deconvolution import plain
from nixel.reconstruction.deconvolution.checks import (
    check_choice,
    check_count,
    checked_background,
    checked_image,
    checked_psf,
    numpy_dtype,
)
from nixel.reconstruction.deconvolution.grid import Grid, cropped, unwrapped, weights
from nixel.reconstruction.deconvolution.problem import Problem
from nixel.reconstruction.deconvolution.slabs import SlabIteration

if TYPE_CHECKING:
    from collections.abc import Callable


def richardson_lucy(
    image: Array,
    psf: Array,
    iterations: int,
    *,
    background: Array | float = 0.0,
    acceleration: bool = False,
    boundary: str = "zero-loss",
    regularisation: float = 0.0,
    crop: bool = True,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Array:
    """Deconvolve an image of counts: x <- x / H^T 1 * H^T (image / (H x + background)).

    H is the convolution with the point spread function, of which the image's window is kept; H^T its adjoint. It is
    the expectation-maximisation algorithm of the Poisson likelihood: without acceleration and regularisation no step
    raises the divergence sum(image log(image / m) - image + m), m = H x + background. Without background, the light
    that the estimate sends into the image is the image's sum. The start is uniform. The first step leaves those points
    dark of which the image sees less than 0.1 %, and of the light only what it does not give to them.

    Parameters
    ----------
    image : array, float32 or float64, 1 to 3 axes
        Counts (photons, electrons), zero or more, offset included: give the offset as background. Of any array
        library; NumPy has a path of its own with the same formulas, in which a step costs about as much as its
        Fourier transforms.
    psf : array, float32 or float64
        Point spread function, as many axes, no longer than the image, zero or more; it is scaled to sum 1. Its
        centre is the sample n // 2: the middle, (n - 1) / 2, of an odd length. An even length has no sample in its
        middle: one that peaks at sample n / 2 (as numpy.fft.fftshift makes it) is centred, one that is symmetric
        about (n - 1) / 2 moves the estimate by half a sample towards higher indices.
    iterations : int
        Steps; zero returns the start.
    background : float or array
        Expected counts that are not the object's, zero or more; a number or what broadcasts to the image.
    acceleration : bool
        Extrapolate each step from the two before (Biggs, Andrews 1997): the divergence of several times as many
        steps, but it may rise now and then.
    boundary : "zero-loss" or "periodic"
        "zero-loss": the object goes on beyond the image's edges, as far as its light reaches in, and is estimated
        there, too. "periodic": the object repeats with the image.
    regularisation : float
        Strength of the total variation penalty (Dey et al. 2006), on a grid of unit steps; zero for none. It must be
        below 1 / (2 axes); 0.002 to 0.02 is usual.
    crop : bool
        Whether to return the window of the image only; else the margins stay, psf - 1 samples longer along each axis,
        so that a convolution (mode "valid") of the result with the point spread function is H x.
    workers : int
        Threads, for NumPy arrays. The result does not depend on it.
    progress : callable, optional
        Called with the steps done and the steps in all.

    Returns
    -------
    array, the image's dtype and library
        Counts per sample, zero or more. The image's shape, with `crop`.

    Raises
    ------
    ValueError
        If the image, the point spread function or the background is not as above (dtype, axes, finite, not negative,
        sizes), or an option is out of its range.

    References
    ----------
    Richardson, J. Opt. Soc. Am. 62 (1972) 55; Lucy, Astron. J. 79 (1974) 745; Shepp, Vardi, IEEE Trans. Med. Imaging
    1 (1982) 113. Boundaries: Bertero, Boccacci, Astron. Astrophys. 437 (2005) 369. Acceleration: Biggs, Andrews,
    Appl. Opt. 36 (1997) 1766. Total variation: Dey et al., Microsc. Res. Tech. 69 (2006) 260.
    """
    image = checked_image(image, counts=True)
    xp = namespace(image)
    kernel = checked_psf(psf, image)
    background = checked_background(background, image, counts=True)
    check_count("iterations", iterations)
    check_choice("boundary", boundary, ("zero-loss", "periodic"))
    if not 0 <= check_number("regularisation", regularisation) < 1 / (2 * image.ndim):
        raise ValueError(
            f"regularisation: expected zero or more and below 1/{2 * image.ndim}, found {regularisation!r}"
        )
    check_workers(workers)

    shape = image.shape
    if image.ndim == 1:
        image, kernel = xp.reshape(image, (1, -1)), kernel.reshape(1, -1)
        if not isinstance(background, float):
            background = xp.reshape(background, (1, -1))
    grid = Grid(tuple(image.shape), kernel.shape, boundary, halved=1)
    weight = like(weights(kernel, grid, numpy_dtype(image)), image)
    start = float(xp.mean(xp.clip(image - background, 0, None)))
    problem = Problem(image, background, kernel, weight, start, regularisation, grid)
    if start == 0:
        estimate = xp.zeros_like(problem.weights)
    elif is_numpy(image):
        iteration = SlabIteration(problem, acceleration=acceleration, workers=workers)
        estimate = iteration.run(iterations, progress, window=crop)
    else:
        estimate = plain.iterate(problem, iterations, acceleration=acceleration, progress=progress)
    window = cropped(estimate, grid) if crop else unwrapped(estimate, grid)
    return xp.reshape(window, (-1,)) if len(shape) == 1 else window

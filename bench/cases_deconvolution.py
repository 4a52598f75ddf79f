"""Deconvolution: Richardson-Lucy beside its own Fourier transforms, scikit-image and RedLionfish, one thread each."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from case import Case
from scipy.signal import fftconvolve

from nixel.reconstruction.deconvolution import richardson_lucy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from case import Run
    from numpy.typing import NDArray

    Peer = Callable[[NDArray[Any], NDArray[Any], int], NDArray[Any]]


def cases() -> Iterator[Case]:
    """Yield the cases: the time of a step, and what 50 steps reach."""
    image, psf = scene((64, 256, 256), 33)
    iterations = 10
    peers = _peers(image, psf, iterations)
    yield Case(
        name="deconvolution: Richardson-Lucy 64x256x256, PSF 33x33x33, 10 iterations",
        ours=lambda: richardson_lucy(image, psf, iterations),
        floor_name="its own padded FFTs (4 an iteration)",
        floor=lambda: _transforms(image.shape, psf.shape, iterations),
        peers=peers,
        error=lambda result: interior_divergence(result, image, psf),
        error_name="Poisson divergence per voxel, where no light comes from beyond the image",
        at_most_floors=1.35,
        times_faster=dict.fromkeys((name for name in peers if name.startswith("scikit-image")), 2.5),
        note="Below the floor is possible: what lies beyond the image is not transformed, and the transforms are taken "
        "in pieces that stay in the cache. scikit-image takes six transforms a step where four are needed, so that 2.5 "
        "is near what NumPy and SciPy can reach: 2.37 to 2.46 is measured. RedLionfish does not pad: it has half as "
        "many voxels, and its edges wrap.",
    )
    small, small_psf = scene((32, 128, 128), 17)
    peers = _peers(small, small_psf, 50)
    yield Case(
        name="deconvolution: Richardson-Lucy, accelerated, 32x128x128, PSF 17x17x17, 50 iterations",
        ours=lambda: richardson_lucy(small, small_psf, 50, acceleration=True),
        floor_name="its own padded FFTs (4 an iteration)",
        floor=lambda: _transforms(small.shape, small_psf.shape, 50),
        peers=peers,
        error=lambda result: interior_divergence(result, small, small_psf),
        error_name="Poisson divergence per voxel, where no light comes from beyond the image",
        error_below=tuple(name for name in peers if name.startswith("scikit-image")),
    )


def scene(shape: tuple[int, int, int], size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Photon counts of filaments and grains that go on beyond the image, and the point spread function.

    The point spread function is a focused Gaussian beam: it widens away from the focus, its light per plane is the
    same.
    """
    z, y, x = np.indices((size, size, size)) - (size - 1) / 2
    width = 2.0 * np.hypot(1, z / 4)
    psf = np.exp(-2 * (x**2 + y**2) / width**2) / width**2
    psf /= psf.sum()
    rng = np.random.default_rng(64)
    field = tuple(n + size - 1 for n in shape)
    truth = np.full(field, 2.0)
    for _ in range(60):  # filaments: random walks with inertia
        place, step = rng.random(3) * field, rng.standard_normal(3)
        for _ in range(max(field)):
            step += 0.2 * rng.standard_normal(3)
            step /= np.linalg.norm(step)
            place += step
            if all(0 <= p < n - 1 for p, n in zip(place, field, strict=True)):
                truth[tuple(np.round(place).astype(int))] += 400.0
    grains = rng.integers(0, field, (200, 3))
    truth[tuple(grains.T)] += 3000.0
    mean = np.maximum(fftconvolve(truth, psf, mode="valid"), 0)
    return rng.poisson(mean).astype(np.float32), psf.astype(np.float32)


def interior_divergence(estimate: NDArray[Any], image: NDArray[Any], psf: NDArray[Any]) -> float:
    """Judge the fit with no model of the edges: where the blurred estimate needs nothing from beyond the image."""
    edge = tuple(slice(k // 2, n - k // 2) for n, k in zip(image.shape, psf.shape, strict=True))
    data = image[edge].astype(np.float64)
    kernel = psf.astype(np.float64) / psf.sum(dtype=np.float64)
    expected = np.maximum(fftconvolve(estimate.astype(np.float64), kernel, mode="valid"), 1e-6)
    ratio = np.where(data > 0, data / expected, 1)
    return float(np.mean(data * np.log(ratio) - data + expected))


def _transforms(image: tuple[int, ...], psf: tuple[int, ...], iterations: int) -> NDArray[np.float32]:
    shape = tuple(
        scipy.fft.next_fast_len(n + k - 1, real=axis == len(image) - 1)
        for axis, (n, k) in enumerate(zip(image, psf, strict=True))
    )
    values = np.ones(shape, np.float32)
    for _ in range(2 * iterations):
        values = scipy.fft.irfftn(scipy.fft.rfftn(values), shape)
    return values


def _peers(image: NDArray[Any], psf: NDArray[Any], iterations: int) -> dict[str, Run | str]:
    peers: dict[str, Run | str] = {}
    try:
        from skimage.restoration import richardson_lucy as of_scikit_image
    except ImportError as error:
        peers["scikit-image"] = f"not installed: {error}"
    else:
        peers[f"scikit-image {version('scikit-image')}"] = lambda: of_scikit_image(
            image, psf, num_iter=iterations, clip=False
        )
    try:
        from RedLionfishDeconv import doRLDeconvolutionFromNpArrays
    except ImportError as error:
        peers["RedLionfish"] = f"not installed: {error}"
    else:
        peers[f"RedLionfish {version('RedLionfish')} (CPU)"] = lambda: doRLDeconvolutionFromNpArrays(
            image, psf, niter=iterations, method="cpu"
        )
    return peers

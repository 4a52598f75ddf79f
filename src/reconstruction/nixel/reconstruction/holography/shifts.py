"""How far apart frames of the same scene stand, to a small fraction of a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from scipy.signal.windows import tukey

from nixel.physics.arrays import check_workers
from nixel.physics.threads import linear_algebra_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_TAPER = 0.25  # share of the window over which the edges fade
_BAND = 0.25  # cycles per pixel: coarser detail than this is hardly folded by the pixels
_ROUNDS = 6
_CONVERGED = 1e-4  # pixels
_SMALLEST = 16  # pixels a side


@linear_algebra_threads(1)  # of each of the `workers`
def estimate_shifts(
    holograms: NDArray[Any],
    *,
    reference: int = 0,
    largest: int = 1024,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Estimate how far each frame's camera stood aside from the reference's.

    Whole pixels come from the peak of the phase correlation. The rest is refined by least squares on the
    spectrum: the frame is shifted back by the estimate, and what is left is fitted as a slope of the phase,
    weighted by the power, below a quarter cycle per pixel, where the pixels have folded little. Repeated until
    nothing is left, the window's edge and the noise of the reference leave no bias towards zero.

    Parameters
    ----------
    holograms
        (frames, y, x), float32 or float64, of the same scene at the same distance; at least 16 x 16.
    reference
        Index of the frame whose shift is 0.
    largest
        Rows and columns in the frames' middle that are compared; what a frame has beyond them is left out. Bounds the
        memory at some 120 bytes for each pixel that is compared, whatever the frames' size.
    workers
        Threads.
    progress
        Called with (frames done, frames in all).

    Returns
    -------
    ndarray, float64, (frames, 2)
        Pixels along (y, x): holograms[k][y, x] shows what the reference shows at (y, x) + shift[k].

    Raises
    ------
    ValueError
        If the frames are not finite floats of that shape, or hold no structure in their middle, or there is no such
        frame, or `largest` is less than 16.

    References
    ----------
    Kuglin, Hines, "The phase correlation image alignment method", Proc. IEEE Int. Conf. Cybernetics and
    Society (1975), 163. Stone, Orchard, Chang, Martucci, "A fast direct Fourier-based algorithm for subpixel
    registration of images", IEEE Trans. Geoscience and Remote Sensing 39, 2235 (2001).
    """
    frames = check_frames(holograms, smallest=_SMALLEST)
    check_workers(workers)
    if not 0 <= reference < len(frames):
        raise ValueError(f"reference: expected a frame from 0 to {len(frames) - 1}, found {reference!r}")
    if not isinstance(largest, (int, np.integer)) or largest < _SMALLEST:
        raise ValueError(f"largest: expected an integer of {_SMALLEST} or more pixels, found {largest!r}")
    frames = frames[:, *(_middle(length, largest) for length in frames.shape[1:])]
    shape = frames.shape[1:]
    window = np.outer(*(tukey(n, _TAPER) for n in shape))
    fy = scipy.fft.fftfreq(shape[0])[:, None]
    fx = scipy.fft.rfftfreq(shape[1])[None, :]
    band = np.hypot(fy, fx) <= _BAND

    def spectrum(frame: NDArray[Any]) -> NDArray[Any]:
        contrast = (frame - frame.mean()) * window
        result: NDArray[Any] = scipy.fft.rfft2(contrast, workers=workers) * band
        return result

    fixed = spectrum(frames[reference].astype(np.float64))
    if not np.abs(fixed).any():
        raise ValueError(
            f"holograms: expected structure to compare, found none in the middle of frame {reference}"
        )
    # d/ds exp(2 pi i f s) F at s = 0, and its normal matrix.
    slopes = [2j * np.pi * frequency * fixed for frequency in (fy, fx)]
    normal = np.array([[np.vdot(a, b).real for b in slopes] for a in slopes])
    shifts = np.zeros((len(frames), 2))
    for index, frame in enumerate(frames):
        if index != reference:
            frame = frame.astype(np.float64)
            shift = _whole_pixels(fixed, spectrum(frame), shape, workers)
            moving = scipy.fft.rfft2(frame - frame.mean(), workers=workers)
            for _ in range(_ROUNDS):
                ramp = np.exp(-2j * np.pi * (fy * shift[0] + fx * shift[1]))
                back = spectrum(scipy.fft.irfft2(moving * ramp, s=shape, workers=workers))
                step = np.linalg.solve(normal, [np.vdot(slope, back - fixed).real for slope in slopes])
                shift = shift + step
                if np.abs(step).max() < _CONVERGED:
                    break
            shifts[index] = shift
        if progress is not None:
            progress(index + 1, len(frames))
    return shifts


def _middle(length: int, largest: int) -> slice:
    """The middle of so many pixels, of as many as `largest`."""
    start = max(0, (length - largest) // 2)
    return slice(start, start + min(length, largest))


def check_frames(holograms: NDArray[Any], *, smallest: int) -> NDArray[Any]:
    """Refuse what is not a stack of finite frames of at least so many pixels a side.

    Raises
    ------
    ValueError
        If it is not.
    """
    frames = np.asarray(holograms)
    if frames.ndim != 3 or len(frames) == 0 or min(frames.shape[1:]) < smallest:
        raise ValueError(
            f"holograms: expected (frames, y, x) of at least {smallest} x {smallest}, found {frames.shape}"
        )
    if frames.dtype not in (np.float32, np.float64):
        raise ValueError(f"holograms: expected float32 or float64, found {frames.dtype}")
    if not np.isfinite(frames).all():
        raise ValueError("holograms: expected finite values, found NaN or infinity")
    return frames


def _whole_pixels(
    fixed: NDArray[Any], moving: NDArray[Any], shape: tuple[int, ...], workers: int
) -> NDArray[np.float64]:
    """Peak of the phase correlation."""
    cross = fixed * moving.conj()
    size = np.abs(cross)
    # Frequencies without power have no phase.
    cross /= np.where(size > 1e-12 * size.max(), size, np.inf)
    correlation = scipy.fft.irfft2(cross, s=shape, workers=workers)
    peak = np.unravel_index(correlation.argmax(), shape)
    return np.array([(i + n // 2) % n - n // 2 for i, n in zip(peak, shape, strict=True)], dtype=np.float64)

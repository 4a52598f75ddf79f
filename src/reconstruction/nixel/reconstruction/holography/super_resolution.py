"""A finer hologram from several that stand a fraction of a pixel apart."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from nixel.physics.arrays import check_workers
from nixel.physics.blocks import in_order
from nixel.physics.threads import linear_algebra_threads
from nixel.reconstruction.holography.shifts import check_frames
from nixel.reconstruction.holography.tiles import tile_cuts, tile_for_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_PAD = 16  # pixels around the frame over which it fades into its mean
_BYTES_A_FRAME, _BYTES_A_FINE = 12, 20  # for each pixel of the camera, in single precision
_LEAST_SPREAD = 1e-2  # of the smallest eigenvalue of the shifts' phases; 1 is the best


@linear_algebra_threads(1)  # of each of the `workers`
def super_resolve(
    holograms: NDArray[Any],
    shifts: NDArray[np.float64],
    *,
    factor: int = 2,
    damping: float = 1e-2,
    memory: int | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.floating[Any]]:
    """Fuse shifted holograms to a grid whose pixels are `factor` times finer.

    A pixel takes the mean of factor x factor fine ones; the camera's pitch folds fine frequencies onto each
    other, by each shift with other phases. So the frames' spectra at one frequency are linear equations for
    the factor^2 fine frequencies that are folded there, which are solved by damped least squares, each
    frequency for itself. Nothing is iterated.

    Around the frame, over 16 pixels, its mirror image fades into the mean. The outermost few pixels of the
    result are less exact than the others, as what was beside the frame is not known.

    Parameters
    ----------
    holograms
        (frames, y, x), float32 or float64, factor^2 frames or more.
    shifts
        (frames, 2), pixels along (y, x), see `estimate_shifts`; the fine grid belongs to shift 0.
    factor
        How many times finer, 2 or more.
    damping
        Relative to the mean power of the equations: details that the pixels pass more weakly than this are
        left out rather than amplified with their noise. A fine pixel's own transfer has a zero at the finest
        detail, so that below 1e-3 what happens at the frame's edge is amplified, too.
    memory
        Bytes to work in, the holograms and the result not counted: what does not fit is fused in tiles, each with
        16 pixels and the largest shift around it, so that it differs from the whole by what happens at an edge. None:
        at once, with about 12 bytes a frame and 20 a fine pixel, for each pixel of the camera, in single precision.
    workers
        Threads.
    progress
        Called with (rows of the spectrum done, rows in all), or of tiles, where there are several.

    Returns
    -------
    ndarray, (y * factor, x * factor)
        Mean intensity on each fine pixel, in the holograms' unit and dtype. Fine pixel (factor i, factor j)
        is the first corner of pixel (i, j).

    Raises
    ------
    ValueError
        If the frames are not finite floats, the shifts are not one a frame or are too few or too much alike
        modulo a pixel to tell the folded details apart, or a parameter is not as said.

    References
    ----------
    Tsai, Huang, "Multiframe image restoration and registration", Advances in Computer Vision and Image
    Processing 1, 317 (1984). Bishara, Su, Coskun, Ozcan, "Lensfree on-chip microscopy over a wide
    field-of-view using pixel super-resolution", Optics Express 18, 11181 (2010).
    """
    frames = check_frames(holograms, smallest=2)
    shifts = np.asarray(shifts, dtype=np.float64)
    check_workers(workers)
    _check(frames, shifts, factor, damping)
    mean = float(frames.mean(dtype=np.float64))
    rows, columns = frames.shape[1:]
    tile = max(rows, columns)
    around = _PAD + math.ceil(float(np.abs(shifts).max()))
    if memory is not None:
        single = _BYTES_A_FRAME * len(frames) + _BYTES_A_FINE * factor**2
        needed = single * frames.dtype.itemsize // 4
        tile = tile_for_memory(memory, needed, (rows, columns), _PAD, around)
    if tile >= max(rows, columns):
        return _fuse(frames, mean, shifts, factor, damping, workers, progress)
    result = np.empty((rows * factor, columns * factor), dtype=frames.dtype)
    spans = [tile_cuts(n, tile, around) for n in (rows, columns)]
    total = len(spans[0]) * len(spans[1])
    for done, ((top, bottom), (left, right)) in enumerate(itertools.product(*spans), start=1):
        above, before = max(top - around, 0), max(left - around, 0)
        part = frames[:, above : bottom + around, before : right + around]
        fused = _fuse(part, mean, shifts, factor, damping, workers, None)
        result[factor * top : factor * bottom, factor * left : factor * right] = fused[
            factor * (top - above) : factor * (bottom - above),
            factor * (left - before) : factor * (right - before),
        ]
        if progress is not None:
            progress(done, total)
    return result


def _fuse(
    frames: NDArray[Any],
    mean: float,
    shifts: NDArray[np.float64],
    factor: int,
    damping: float,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.floating[Any]]:
    """Fuse frames as a whole."""
    spectra = scipy.fft.fft2(_fade(frames - frames.dtype.type(mean)), axes=(1, 2), workers=workers)
    count, rows, columns = spectra.shape
    along_y, along_x = (_folding(n, factor, shifts[:, axis]) for axis, n in ((0, rows), (1, columns)))
    # Rows of the equations of one frequency: the frames; columns: the fine frequencies, y by x.
    fine = np.empty((factor, rows, factor, columns), dtype=spectra.dtype)
    strength = damping * count / factor**4
    identity = np.eye(factor**2)

    def solve(row: int) -> None:
        matrix = np.einsum("ka,kbx->xkab", along_y[:, :, row], along_x).reshape(columns, count, -1)
        adjoint = matrix.conj().swapaxes(1, 2)
        wanted = adjoint @ spectra[:, row, :].T[:, :, None]
        found = np.linalg.solve(adjoint @ matrix + strength * identity, wanted)
        fine[:, row] = found.reshape(columns, factor, factor).transpose(1, 2, 0)

    for done, _ in enumerate(in_order(solve, range(rows), workers), start=1):
        if progress is not None:
            progress(done, rows)
    spectrum = fine.reshape(factor * rows, factor * columns)
    result = scipy.fft.ifft2(spectrum, overwrite_x=True, workers=workers).real
    inside = slice(factor * _PAD, -factor * _PAD)
    whole: NDArray[Any] = (result[inside, inside] + mean).astype(frames.dtype)
    return whole


def _folding(n: int, factor: int, shifts: NDArray[np.float64]) -> NDArray[np.complex128]:
    """What each fine frequency adds to the camera's along one axis: (frames, factor, n).

    y[i] = mean over j < factor of h[factor (i + s) + j], of which the transform of length n at u has the
    fine frequencies u + a n, each with 1/factor, the pixel's transfer, and the phase of the shift.
    """
    index = np.arange(factor)[:, None] * n + np.arange(n)[None, :]
    length = factor * n
    # In cycles per fine pixel, negative above the half: a shift is no whole number.
    frequency = np.where(index < length / 2, index, index - length) / length
    pixel = np.exp(2j * np.pi * frequency[..., None] * np.arange(factor)).mean(axis=-1)
    phase = np.exp(2j * np.pi * frequency * factor * shifts[:, None, None])
    result: NDArray[np.complex128] = phase * pixel / factor
    return result


def _fade(contrast: NDArray[Any]) -> NDArray[Any]:
    """Surround frames by their mirror images, which fade to zero."""
    padded = np.pad(contrast, ((0, 0), (_PAD, _PAD), (_PAD, _PAD)), mode="symmetric")
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_PAD) + 0.5) / _PAD)
    for axis in (1, 2):
        profile = np.ones(padded.shape[axis])
        profile[:_PAD], profile[-_PAD:] = ramp, ramp[::-1]
        padded *= profile.astype(padded.dtype).reshape([-1 if i == axis else 1 for i in range(3)])
    return padded


def _check(frames: NDArray[Any], shifts: NDArray[np.float64], factor: int, damping: float) -> None:
    if not isinstance(factor, (int, np.integer)) or factor < 2:
        raise ValueError(f"factor: expected an integer of 2 or more, found {factor!r}")
    if not (math.isfinite(damping) and damping > 0):
        raise ValueError(f"damping: expected a positive number, found {damping!r}")
    if min(frames.shape[1:]) < _PAD:
        raise ValueError(f"holograms: expected frames of at least {_PAD} x {_PAD}, found {frames.shape}")
    if shifts.shape != (len(frames), 2) or not np.isfinite(shifts).all():
        raise ValueError(f"shifts: expected finite pixels, ({len(frames)}, 2), found {shifts.shape}")
    if len(frames) < factor**2:
        raise ValueError(
            f"holograms: expected {factor**2} or more for a grid {factor} times finer, found {len(frames)}"
        )
    # The fine frequencies that fold onto one differ by whole cycles per pixel, along y and x.
    cycles = np.stack(np.meshgrid(np.arange(factor), np.arange(factor), indexing="ij"), -1).reshape(-1, 2)
    phases = np.exp(2j * np.pi * shifts @ cycles.T)
    spread = float(np.linalg.eigvalsh(phases.conj().T @ phases / len(frames))[0])
    if spread < _LEAST_SPREAD:
        raise ValueError(
            "shifts: expected fractions of a pixel spread well enough to tell the folded details apart, "
            f"found {(shifts % 1).round(3).tolist()}"
        )

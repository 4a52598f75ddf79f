"""A calibration as the rows that a solver takes: background out, chosen, weighted; in memory or in a file."""

from __future__ import annotations

import math
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.mdf import MdfError, read_mdf
from nixel.imaging.mpi_signal import frames_of, kept_frequencies
from nixel.reconstruction.mpi import (
    SelectedRows,
    background_at,
    mixing_orders,
    row_norm_weights,
    select_frequencies,
    signal_to_noise,
    whitening_weights,
    without_drift,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nixel.acquisition.formats.mdf import Mdf

    Progress = Callable[[str, int, int], None]

WEIGHTINGS = ("whitening", "row norm", "none")
_CHUNK = 1 << 25  # bytes that are corrected at a time


@dataclass(frozen=True)
class Choice:
    """Which rows of a system matrix are taken, and what they count.

    Parameters
    ----------
    threshold : float
        Smallest signal-to-noise ratio of a frequency.
    band : tuple of float
        Lowest and highest frequency, Hz.
    max_order : int or None
        Highest order of mixing.
    best : int or None
        Of the rest so many with the largest ratio.
    weighting : str
        One of `WEIGHTINGS`.
    """

    threshold: float
    band: tuple[float, float]
    max_order: int | None
    best: int | None
    weighting: str


@dataclass(frozen=True)
class SystemRows:
    """Weighted rows of a calibration.

    Parameters
    ----------
    calibration : Mdf
    source : RowSource
        (rows, voxels), in memory or in a file.
    channel, frequency : array of int, shape (rows,)
        Of each row; the channels of all periods of a frame stand one after the other.
    weights : array of float, shape (rows,)
    """

    calibration: Mdf
    source: Any
    channel: NDArray[np.intp]
    frequency: NDArray[np.intp]
    weights: NDArray[np.floating[Any]]

    def measured(self, spectra: NDArray[Any]) -> NDArray[Any]:
        """Weighted measurements (rows, frames) of spectra (frames, periods, channels, frequencies)."""
        stacked = spectra.reshape(len(spectra), -1, spectra.shape[-1])
        u = stacked[:, self.channel, self.frequency].T.astype(self.source.dtype) * self.weights[:, None]
        return np.ascontiguousarray(u)


def read_calibration(path: Path, *, mapped: bool = False) -> Mdf:
    """Read a calibration.

    Raises
    ------
    MdfError
        If it is none.
    """
    matrix = read_mdf(path, mapped=mapped)
    if matrix.calibration is None:
        raise MdfError(f"{path}: expected a calibration, found a {matrix.kind}")
    return matrix


@contextmanager
def system_rows(
    matrix: Mdf, choice: Choice, memory: int | None, scratch: Path, progress: Progress
) -> Iterator[SystemRows]:
    """Prepare a calibration.

    Parameters
    ----------
    matrix : Mdf
        From `read_calibration`, mapped if there is a bound of the memory.
    choice : Choice
    memory : int or None
        Bytes that a matrix may take; a larger one is corrected into a file in `scratch`, which is gone afterwards, and
        read from there in blocks.
    scratch : Path
        A folder.
    progress : callable

    Raises
    ------
    UserError, ValueError
        If it has no background, or no frequency is left.
    """
    with corrected_calibration(matrix, memory, scratch, progress) as (system, empty):
        noise = without_drift(empty)
        ratios = signal_to_noise(
            np.moveaxis(system, -1, 0), noise, progress=lambda done, total: progress("choosing", done, total)
        )
        orders = None
        if choice.max_order is not None:
            kept = kept_frequencies(matrix)
            orders = mixing_orders(matrix.setting.dividers, int(kept.max(initial=0)) + 1)[kept]
        selection = select_frequencies(
            ratios,
            frequencies(matrix),
            threshold=choice.threshold,
            band=choice.band,
            orders=orders,
            max_order=choice.max_order,
            best=choice.best,
        )
        channel, frequency = selection.T
        rows = SelectedRows(system, selection)
        if choice.weighting == "whitening":
            weights = whitening_weights(noise[:, channel, frequency])
        elif choice.weighting == "row norm":
            weights = np.concatenate(
                [row_norm_weights(rows[slice(row, row + 1)]) for row in range(len(channel))]
            )
        else:
            weights = np.ones(len(channel))
        weights = weights.astype(np.zeros(0, system.dtype).real.dtype)
        source = SelectedRows(system, selection, weights)
        in_memory = memory is None or _size(matrix) <= memory
        yield SystemRows(matrix, source[slice(None)] if in_memory else source, channel, frequency, weights)


@contextmanager
def corrected_calibration(
    matrix: Mdf, memory: int | None, scratch: Path, progress: Progress
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Give a calibration without its background, and the background.

    The first is (channels of all periods, frequencies, voxels), the second (frames, channels, frequencies).
    """
    measurement, empty, times = frames_of(matrix)
    spectra = measurement.spectra()
    by_time = np.flatnonzero(empty)[np.argsort(times[empty])]
    frames, periods, channels, count = spectra.shape
    voxels = int(frames - len(by_time))
    shape = (periods * channels, count, voxels)
    background = np.ascontiguousarray(np.moveaxis(spectra, 0, -1)[..., by_time])
    background = np.moveaxis(background.reshape(periods * channels, count, -1), -1, 0)
    foreground = np.flatnonzero(~empty)
    if matrix.calibration is not None and matrix.calibration.order != "xyz":
        foreground = foreground[matrix.calibration.by_place()]
    # Those of a calibration stand in front of the background, so that a slice takes them, without a copy.
    where = slice(0, voxels) if (foreground == np.arange(voxels)).all() else foreground
    step = max(1, _CHUNK // (voxels * spectra.itemsize))
    in_memory = memory is None or _size(matrix) <= memory
    with nullcontext() if in_memory else tempfile.TemporaryFile(dir=scratch) as file:
        system: NDArray[Any] = (
            np.empty(shape, spectra.dtype) if file is None else np.memmap(file, spectra.dtype, "w+", 0, shape)
        )
        for row in range(shape[0]):
            period, channel = divmod(row, channels)
            for start in range(0, count, step):
                part = slice(start, min(start + step, count))
                block = np.asarray(spectra[where, period, channel, part])
                drift = background_at(background[:, row, part], times[by_time], times[foreground])
                system[row, part] = (block - drift).T
            progress("reading the calibration", row + 1, shape[0])
        yield system, background


def frequencies(mdf: Mdf) -> NDArray[np.float64]:
    """Frequencies of the coefficients of a file's spectra, in Hz."""
    whole = np.fft.rfftfreq(mdf.setting.samples, 1.0 / mdf.setting.base_frequency)
    return np.asarray(whole[kept_frequencies(mdf)], dtype=np.float64)


def signal_to_noise_of(path: Path, progress: Progress) -> tuple[Mdf, NDArray[np.float64]]:
    """Signal-to-noise ratio of a calibration, as MPIFiles defines it.

    Parameters
    ----------
    path : Path
        A calibration with background frames.
    progress : callable
        Told (what is being done, steps done, steps in all).

    Returns
    -------
    mdf : Mdf
    snr : array of float64, shape (channels, frequencies)
        The channels of all periods of a frame one after the other.

    Raises
    ------
    MdfError, UserError
        If it is none, or has no background.
    """
    matrix = read_calibration(path)
    with corrected_calibration(matrix, None, path.resolve().parent, progress) as (system, empty):
        return matrix, signal_to_noise(
            np.moveaxis(system, -1, 0),
            without_drift(empty),
            progress=lambda done, total: progress("channels", done, total),
        )


def _size(matrix: Mdf) -> int:
    assert matrix.measurement is not None
    data = matrix.measurement.data
    return int(math.prod(data.shape) * data.dtype.itemsize)

"""From frames to a picture: background, frequency selection, weighting, solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nixel.reconstruction.mpi.background import background_at, without_background, without_drift
from nixel.reconstruction.mpi.cgnr import CGNR
from nixel.reconstruction.mpi.fista import FISTA
from nixel.reconstruction.mpi.kaczmarz import Kaczmarz
from nixel.reconstruction.mpi.multi_patch import MultiPatchKaczmarz, Patch, patches_on_grid
from nixel.reconstruction.mpi.rows import SelectedRows
from nixel.reconstruction.mpi.selection import mixing_orders, select_frequencies, signal_to_noise
from nixel.reconstruction.mpi.spectra import spectra, without_leakage
from nixel.reconstruction.mpi.weights import row_norm_weights, whitening_weights

Array = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]
Weighting = Literal["whitening", "row norm", "none"]


@dataclass(frozen=True)
class SystemMatrixReconstruction:
    """Reconstruction with a calibration's system matrix, prepared once, applied to any number of frames.

    Parameters
    ----------
    selection : array of int, shape (rows, 2)
        Channel and frequency of each row.
    weights : array of float, shape (rows,)
    solver : Kaczmarz
        Of the weighted rows.
    """

    selection: NDArray[np.intp]
    weights: Array
    solver: Kaczmarz

    @classmethod
    def prepare(
        cls,
        matrix: Complex,
        background: Complex,
        frequencies: Array,
        *,
        threshold: float = 3.0,
        band: tuple[float, float] = (30e3, 1.25e6),
        orders: NDArray[np.integer[Any]] | None = None,
        max_order: int | None = None,
        best: int | None = None,
        weighting: Weighting = "whitening",
        relative_lambda: float = 1e-2,
        workers: int = 1,
    ) -> SystemMatrixReconstruction:
        """Select and weight rows.

        By default a row is divided by the noise of its frequency (whitening), so that the least-squares solution is
        the most likely one for Gaussian noise; the drive frequencies, which the scanner itself feeds through, lie
        below the band.

        Parameters
        ----------
        matrix : array of complex, shape (voxels, channels, frequencies)
            Background-corrected signal of a unit sample in each voxel.
        background : array of complex, shape (background frames, channels, frequencies)
            Its noise.
        frequencies : array of float, shape (frequencies,)
            In Hz.
        threshold, band, orders, max_order, best
            As in `select_frequencies`.
        weighting : str
            "whitening", "row norm" or "none".
        relative_lambda : float
            As in `Kaczmarz`.
        workers : int
            Threads of the preparation.

        Raises
        ------
        ValueError
            If shapes do not fit, no frequency is left, or a weighting has another name.
        """
        if weighting not in ("whitening", "row norm", "none"):
            raise ValueError(f"weighting: expected 'whitening', 'row norm' or 'none', found {weighting!r}")
        snr = signal_to_noise(matrix, background)
        selection = select_frequencies(
            snr, frequencies, threshold=threshold, band=band, orders=orders, max_order=max_order, best=best
        )
        channel, frequency = selection.T
        rows = np.ascontiguousarray(matrix[:, channel, frequency].T)
        if weighting == "whitening":
            weights = whitening_weights(background[:, channel, frequency])
        elif weighting == "row norm":
            weights = row_norm_weights(rows)
        else:
            weights = np.ones(len(rows))
        weights = weights.astype(matrix.real.dtype)
        rows *= weights[:, None]
        return cls(selection, weights, Kaczmarz(rows, relative_lambda, workers=workers))

    def apply(
        self, measured: Complex, iterations: int = 50, *, non_negative: bool = True, workers: int = 1
    ) -> NDArray[np.floating[Any]]:
        """Concentration relative to the calibration sample's.

        Parameters
        ----------
        measured : array of complex, shape (frames, channels, frequencies)
            Background-corrected.
        iterations : int
            Sweeps of the solver.
        non_negative : bool
        workers : int
            Threads of the linear algebra.

        Returns
        -------
        array of float, shape (frames, voxels)

        Raises
        ------
        ValueError
            If there is no frame, or a value is not finite.
        """
        channel, frequency = self.selection.T
        u = measured[:, channel, frequency].T * self.weights[:, None]
        x = self.solver.solve(u, iterations, non_negative=non_negative, workers=workers)
        return np.ascontiguousarray(x.T)


__all__ = [
    "CGNR",
    "FISTA",
    "Kaczmarz",
    "MultiPatchKaczmarz",
    "Patch",
    "SelectedRows",
    "SystemMatrixReconstruction",
    "background_at",
    "mixing_orders",
    "patches_on_grid",
    "row_norm_weights",
    "select_frequencies",
    "signal_to_noise",
    "spectra",
    "whitening_weights",
    "without_background",
    "without_drift",
    "without_leakage",
]

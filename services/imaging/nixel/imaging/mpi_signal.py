"""What a measurement file holds once the empty bore is taken out, for scans of any number of periods a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.mdf import MdfError, Measurement
from nixel.imaging.errors import UserError
from nixel.physics.mpi import ReceiveCoils
from nixel.reconstruction.mpi import background_at, without_leakage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nixel.acquisition.formats.mdf import Mdf
    from nixel.imaging.transfer_table import Transfer

BACKGROUNDS = ("blocks", "mean")


def scan_spectra(
    mdf: Mdf,
    *,
    background: str = "blocks",
    leakage: bool = False,
    frequencies: NDArray[np.int64] | None = None,
) -> NDArray[Any]:
    """Spectra of a scan, without the empty bore's.

    Parameters
    ----------
    mdf : Mdf
        With background frames.
    background : str
        "blocks": what it was at each frame's time, linear between the means of neighbouring blocks of background
        frames. "mean": of all background frames.
    leakage : bool
        Take out what does not repeat with the period, see `without_leakage`; of frames of one period, one after the
        other.
    frequencies : array of int64, optional
        Which are wanted, from 0; all that the file has if left out.

    Returns
    -------
    array of complex, shape (frames, periods, channels, frequencies)
        Of the frames with a sample; unnormalised.

    Raises
    ------
    MdfError, UserError
        If there is no data or no background, or the frames are not what the correction needs, or a frequency is
        missing.
    """
    measurement, empty, times = frames_of(mdf)
    spectra = _without_leakage(mdf, measurement, times) if leakage else measurement.spectra()
    spectra = at_frequencies(mdf, spectra, frequencies)
    by_time = np.flatnonzero(empty)[np.argsort(times[empty])]
    if background == "mean":
        return np.asarray(spectra[~empty] - spectra[by_time].mean(axis=0))
    return np.asarray(spectra[~empty] - background_at(spectra[by_time], times[by_time], times[~empty]))


def as_induced(signals: NDArray[Any], base_frequency: float, transfer: Transfer) -> NDArray[Any]:
    """Undo the receive path: voltages as the coils gave them.

    Parameters
    ----------
    signals : array of float, shape (frames, periods, channels, samples)
        In V.
    base_frequency : float
        Sampling frequency in Hz.
    transfer : MeasuredTransfer, tuple of them, or None
        For all channels, or one for each; None: there is nothing to undo.

    Returns
    -------
    array of float, the same shape
    """
    if transfer is None:
        return signals
    coils = ReceiveCoils((1.0,) * signals.shape[2], measured=transfer)
    return np.moveaxis(coils.correct(np.moveaxis(signals, 2, 0), base_frequency), 0, 2)


def at_frequencies(mdf: Mdf, spectra: NDArray[Any], wanted: NDArray[np.int64] | None) -> NDArray[Any]:
    """Take the frequencies that are wanted, from 0, out of a file's spectra (..., frequencies).

    Raises
    ------
    UserError
        The file does not have them all.
    """
    stored = kept_frequencies(mdf)
    if wanted is None or np.array_equal(wanted, stored):
        return spectra
    places = {number: place for place, number in enumerate(stored.tolist())}
    missing = [number for number in wanted.tolist() if number not in places]
    if missing:
        raise UserError(
            f"{mdf.path}: expected {len(wanted)} frequencies, found all but {len(missing)} of them (the first is "
            f"number {missing[0] + 1}): some were left out when it was stored. Take the file with all."
        )
    return np.asarray(spectra[..., [places[number] for number in wanted.tolist()]])


def kept_frequencies(mdf: Mdf) -> NDArray[np.int64]:
    """Which frequencies a file has, from 0.

    Raises
    ------
    MdfError
        It has no measured data.
    """
    if mdf.measurement is None:
        raise MdfError(f"{mdf.path}: expected measured data, found none")
    return mdf.measurement.frequencies


def frames_of(mdf: Mdf) -> tuple[Measurement, NDArray[np.bool_], NDArray[np.float64]]:
    """Measured frames, which of them are of the empty bore, and the place of each in time.

    Raises
    ------
    MdfError, UserError
        If there is no data or no background.
    """
    measurement = mdf.measurement
    if measurement is None:
        raise MdfError(f"{mdf.path}: expected measured data, found none")
    empty = measurement.is_background
    if not empty.any():
        raise UserError(
            f"{mdf.path}: expected background frames, found none: measure again with background_frames of 1 or "
            "more (3 or more for a calibration)."
        )
    # Frames may be stored by place on the grid; the drift of the background goes with their place in time.
    order = measurement.frame_permutation
    return measurement, empty, np.arange(len(empty), dtype=float) if order is None else order.astype(float)


def _without_leakage(mdf: Mdf, measurement: Measurement, times: NDArray[np.float64]) -> NDArray[Any]:
    """Spectra of frames that are joined with their neighbours: sample with sample, empty bore with empty bore."""
    if measurement.is_fourier_transformed:
        raise UserError(f"{mdf.path}: --leakage needs frames in time, found spectra; leave it out")
    volts = measurement.volts()
    if volts.shape[1] != 1:
        raise UserError(
            f"{mdf.path}: --leakage joins each period with those before and after it, found frames of "
            f"{volts.shape[1]} different periods; leave it out"
        )
    order = np.argsort(times)
    empty = measurement.is_background[order]
    for run in np.split(np.arange(len(order)), np.flatnonzero(np.diff(empty)) + 1):
        if len(run) > 1:
            volts[order[run]] = without_leakage(volts[order[run]])
    return np.asarray(np.fft.rfft(volts, axis=-1))

"""What an MDF file holds, in a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nixel.acquisition.formats.mdf_model import Calibration, Mdf, Measurement, Reconstruction

__all__ = ["describe"]

_LISTED = 16  # offset fields


def describe(mdf: Mdf) -> dict[str, Any]:
    """Describe a file.

    Parameters
    ----------
    mdf : Mdf
        It may be open: its data is not read.

    Returns
    -------
    dict of str
        Texts, numbers and lists of them, by what they are.
    """
    setting, labels = mdf.setting, mdf.labels
    told: dict[str, Any] = {
        "kind": mdf.kind,
        "version": mdf.version,
        "uuid": mdf.uuid,
        "made": f"{setting.time:%Y-%m-%d %H:%M:%S} UTC",
        "measured": f"{setting.start_time:%Y-%m-%d %H:%M:%S} UTC",
        "simulated": "yes" if setting.simulated else "no",
        "study": f"{labels.study} ({labels.study_number})",
        "experiment": f"{labels.experiment} ({labels.experiment_number})",
        "subject": labels.subject,
        "scanner": f"{setting.scanner}, {setting.manufacturer}, {setting.topology}",
        "operator": f"{labels.operator}, {labels.facility}",
    }
    if labels.tracer is not None:
        told["tracer"] = (
            f"{labels.tracer.name}, {labels.tracer.concentration:g} mol({labels.tracer.solute})/l"
        )
    told["drive field"] = [
        f"{amplitude * 1e3:g} mT at {setting.base_frequency / divider / 1e3:.6g} kHz"
        for amplitude, divider in zip(setting.drive_field, setting.dividers, strict=False)
        if divider
    ]
    told["gradient"] = " x ".join(f"{value:g}" for value in setting.gradient) + " T/m"
    if setting.offset_fields is not None:
        told["offset field"] = _fields(setting.offset_fields * 1e3)
    told["period"] = f"{setting.cycle * 1e3:.6g} ms, {setting.samples} samples, {setting.averages} averaged"
    told["receive channels"] = setting.channels
    if mdf.measurement is not None:
        told |= _measurement(mdf.measurement)
    if mdf.calibration is not None:
        told |= _calibration(mdf.calibration)
    if mdf.reconstruction is not None:
        told |= _reconstruction(mdf.reconstruction)
    if mdf.user_defined:
        told["fields of its writer"] = list(mdf.user_defined)
    told["assumed"] = list(mdf.assumptions)
    return told


def _fields(offsets: NDArray[np.float64]) -> list[str]:
    """Offset fields (mT) of the periods, or patches, as many as a page bears."""
    lines = [" x ".join(f"{value:g}" for value in field) + " mT" for field in offsets[:_LISTED]]
    left = len(offsets) - len(lines)
    return [*lines, f"and {left} more"] if left else lines


def _measurement(measurement: Measurement) -> dict[str, Any]:
    data = measurement.data
    samples = "K" if measurement.is_fourier_transformed else "W"
    axes = f"J x C x {samples} x N" if measurement.is_fast_frame_axis else f"N x J x C x {samples}"
    amount = math.prod(data.shape) * data.dtype.itemsize
    empty = int(np.count_nonzero(measurement.is_background))
    stages = [
        ("in frequency space", measurement.is_fourier_transformed),
        ("background corrected", measurement.is_background_corrected),
        ("frames permuted", measurement.frame_permutation is not None),
        ("frequencies selected", measurement.frequency_selection is not None),
    ]
    return {
        "data": f"{axes} = {' x '.join(map(str, data.shape))} {data.dtype.name}, {amount / 2**20:.3g} MiB in memory",
        "frames": f"{len(measurement.is_background) - empty}, and {empty} of background",
        "processing": ", ".join(name for name, done in stages if done) or "none: as it was measured",
    }


def _lengths(size: tuple[int, int, int], field_of_view: tuple[float, float, float]) -> str:
    voxels, extent = " x ".join(map(str, size)), " x ".join(f"{1e3 * length:g}" for length in field_of_view)
    return f"{voxels} voxels (x, y, z) on {extent} mm"


def _calibration(calibration: Calibration) -> dict[str, Any]:
    told = {
        "system matrix": _lengths(calibration.size, calibration.field_of_view),
        "method": calibration.method,
    }
    if calibration.snr is not None and calibration.snr.size:
        above = int(np.count_nonzero(calibration.snr > 3))
        told["signal-to-noise ratio"] = f"above 3 at {above} of {calibration.snr.size}"
    return told


def _reconstruction(reconstruction: Reconstruction) -> dict[str, Any]:
    frames, _, channels = reconstruction.data.shape
    return {
        "pictures": f"{frames} of {channels} channel{'s' * (channels != 1)}, {reconstruction.data.dtype.name}",
        "picture": _lengths(reconstruction.size, reconstruction.field_of_view),
    }

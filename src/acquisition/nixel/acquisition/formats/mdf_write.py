"""Writing MDF 2.1, strictly: what `nixel.acquisition.formats.mdf_check` would find fault with is not written.

Booleans are int8, complex numbers the compound {r, i}, ``data`` contiguous and uncompressed, times UTC with
milliseconds.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.mdf_fields import DATA as _DATA
from nixel.acquisition.formats.mdf_fields import FIELDS, encode
from nixel.acquisition.formats.mdf_model import DatasetInfo, Labels, MdfError, Setting
from nixel.acquisition.formats.mdf_sparsity import compress
from nixel.acquisition.formats.mdf_store import NAMESPACE, store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nixel.physics.grid import Grid

    Fields = dict[str, Any]

__all__ = ["write_calibration", "write_measurement", "write_reconstruction"]

_VERSION = "2.1.0"


def write_measurement(
    path: str | Path,
    setting: Setting,
    data: NDArray[Any],
    is_background: Sequence[bool] | NDArray[np.bool_],
    *,
    labels: Labels | None = None,
    provenance: Mapping[str, Any],
    extras: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> DatasetInfo:
    """Write frames in time.

    Parameters
    ----------
    path : str or Path
        Of the file that is to be; there must be none.
    setting : Setting
    data : array of int16, int32, int64, float32 or float64, shape (N, J, C, V)
        Frames in the order of time, in codes if the setting has a conversion, in V otherwise. It may be a file that is
        mapped into memory: it is read in blocks.
    is_background : sequence of bool, N
    labels : Labels, optional
    provenance : mapping
        Stored as JSON.
    extras : mapping of str, optional
        Numbers and texts to be stored beside it.
    fields : mapping of str, optional
        Further fields by their path, as ``{"/scanner/boreSize": 0.12}``: any of the specification, which replace what
        would be written otherwise, and one's own, a part of whose path begins with an underscore.

    Returns
    -------
    DatasetInfo

    Raises
    ------
    MdfError
        Shapes or types do not fit, or the file cannot be written; nothing is written then.
    """
    background = _mask(is_background, data.shape[0])
    _expect("data", data.shape[1:], (data.shape[1], setting.channels, setting.samples))
    if data.dtype not in (np.int16, np.int32, np.int64, np.float32, np.float64):
        raise MdfError(f"data: expected int16, int32, int64, float32 or float64, found {data.dtype}")
    written = _common(setting, labels or Labels(), frames=len(data), periods=data.shape[1])
    written |= _stage(background) | {_DATA: data} | _further(fields)
    return store(Path(path), written, "measurement", setting, provenance, extras)


def write_calibration(
    path: str | Path,
    setting: Setting,
    spectra: NDArray[np.complexfloating[Any, Any]],
    grid: Grid,
    *,
    frame_permutation: NDArray[np.int64],
    delta_sample_size: tuple[float, float, float],
    snr: NDArray[np.float64] | None,
    method: str = "robot",
    frequency_selection: NDArray[np.int64] | None = None,
    sparsity: tuple[str, int] | None = None,
    labels: Labels | None = None,
    provenance: Mapping[str, Any],
    extras: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> DatasetInfo:
    """Write a system matrix.

    Parameters
    ----------
    path : str or Path
    setting : Setting
        Without a conversion: spectra are of volts.
    spectra : array of complex64 or complex128, shape (J, C, K, N)
        Unnormalised Fourier coefficients; the grid's O voxels (x fastest) first, then background frames.
    grid : Grid
    frame_permutation : array of int64, shape (N,)
        1-based place in time of each stored frame.
    delta_sample_size : tuple of float
        (x, y, z) in m.
    snr : array of float64, shape (J, C, K), or None
    method : str
        ``"robot"``, ``"hybrid"`` or ``"simulation"``.
    frequency_selection : array of int64, shape (K,), or None
        1-based numbers of the frequencies that `spectra` holds; None if it holds all V / 2 + 1.
    sparsity : tuple of str and int, or None
        Store no more than so many coefficients of ``"DCT-I"`` to ``"DCT-IV"`` for each frequency: a smaller file, and a
        matrix that is only about the same. Background frames are stored as they are.
    labels, provenance, extras, fields
        As for `write_measurement`.

    Returns
    -------
    DatasetInfo

    Raises
    ------
    MdfError
        As `write_measurement`.
    """
    if spectra.ndim != 4 or spectra.dtype not in (np.complex64, np.complex128):
        raise MdfError(f"spectra: expected complex (J, C, K, N), found {spectra.dtype} {spectra.shape}")
    periods, _, frequencies, frames = spectra.shape
    stored = setting.samples // 2 + 1 if frequency_selection is None else len(frequency_selection)
    _expect("spectra", spectra.shape[1:3], (setting.channels, stored))
    if setting.conversion is not None:
        raise MdfError("setting.conversion: expected None, because spectra are of volts, found factors")
    if frames < grid.voxels:
        raise MdfError(f"spectra: expected a frame for each of {grid.voxels} voxels, found {frames}")
    if sorted(frame_permutation) != list(range(1, frames + 1)):
        raise MdfError(f"frame_permutation: expected each of 1 to {frames} once")
    written = _common(setting, labels or Labels(), frames=frames, periods=periods)
    written |= _stage(
        np.arange(frames) >= grid.voxels, fourier=True, fast_frames=True, permutation=frame_permutation
    )
    written |= _grid("/calibration", grid) | {
        "/calibration/deltaSampleSize": np.array(delta_sample_size, dtype=np.float64),
        "/calibration/method": method,
    }
    if snr is not None:
        _expect("snr", snr.shape, (periods, setting.channels, frequencies))
        written["/calibration/snr"] = np.ascontiguousarray(snr, dtype=np.float64)
    if frequency_selection is not None:
        written["/measurement/frequencySelection"] = np.asarray(frequency_selection, dtype=np.int64)
        written["/measurement/isFrequencySelection"] = np.int8(1)
    written |= {_DATA: spectra} if sparsity is None else _compressed(spectra, grid, *sparsity)
    written |= _further(fields)
    return store(Path(path), written, "calibration", setting, provenance, extras)


def write_reconstruction(
    path: str | Path,
    setting: Setting,
    images: NDArray[np.floating[Any]],
    grid: Grid,
    *,
    labels: Labels | None = None,
    provenance: Mapping[str, Any],
    extras: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> DatasetInfo:
    """Write pictures.

    Parameters
    ----------
    path : str or Path
    setting : Setting
        Of the measurement that they were computed from.
    images : array of float32 or float64, shape (Q, ny, nx), or (Q, nz, ny, nx) of a volume
        Of several tracers or channels, with one more dimension for them, the last.
    grid : Grid
        Of the pictures.
    labels, provenance, extras, fields
        As for `write_measurement`.

    Returns
    -------
    DatasetInfo

    Raises
    ------
    MdfError
        As `write_measurement`.
    """
    axes = 1 + len(grid.shape)
    if images.ndim not in (axes, axes + 1) or images.dtype not in (np.float32, np.float64):
        raise MdfError(
            f"images: expected float32 or float64 (Q, ny, nx) or (Q, nz, ny, nx), found {images.dtype} {images.shape}"
        )
    _expect("images", images.shape[1:axes], grid.shape)
    channels = images.shape[axes] if images.ndim > axes else 1
    written = _common(setting, labels or Labels(), frames=len(images), periods=1)
    written["/reconstruction/data"] = np.ascontiguousarray(images).reshape(len(images), grid.voxels, channels)
    written |= _grid("/reconstruction", grid) | _further(fields)
    return store(Path(path), written, "reconstruction", setting, provenance, extras)


def _compressed(spectra: NDArray[Any], grid: Grid, name: str, kept: int) -> Fields:
    if not 1 <= kept <= grid.voxels:
        raise MdfError(f"sparsity: expected 1 to {grid.voxels} coefficients, found {kept}")
    try:
        stored, indices = compress(spectra[..., : grid.voxels], name, grid.shape[::-1], kept)
    except ValueError as error:
        raise MdfError(f"sparsity: {error}") from error
    data = np.concatenate([stored.astype(spectra.dtype), spectra[..., grid.voxels :]], axis=-1)
    return {
        _DATA: np.ascontiguousarray(data),
        "/measurement/isSparsityTransformed": np.int8(1),
        "/measurement/sparsityTransformation": name,
        "/measurement/subsamplingIndices": indices,
    }


def _further(fields: Mapping[str, Any] | None) -> Fields:
    """What the caller adds, in the types of the specification."""
    try:
        return {
            path: encode(FIELDS[path], value)
            if path in FIELDS
            else (value if isinstance(value, str) else np.asarray(value)[()])
            for path, value in (fields or {}).items()
        }
    except ValueError as error:
        raise MdfError(f"fields: {error}") from error


def _expect(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(found) != tuple(expected):
        raise MdfError(f"{name}: expected dimensions {tuple(expected)}, found {tuple(found)}")


def _mask(is_background: Sequence[bool] | NDArray[np.bool_], frames: int) -> NDArray[np.bool_]:
    mask = np.asarray(is_background, dtype=bool)
    _expect("is_background", mask.shape, (frames,))
    return mask


def _utc(time: datetime) -> str:
    if time.utcoffset() is None or time.utcoffset():
        raise MdfError(f"time: expected one in UTC, found {time.isoformat()}")
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds")


def _common(setting: Setting, labels: Labels, *, frames: int, periods: int) -> Fields:
    """Fields of the mandatory groups, in alphabetical order within each."""
    axes = len(setting.dividers)
    _expect("drive_field", (len(setting.drive_field),), (axes,))
    row = (periods, axes, 1)
    per_period = (
        ("offset_fields", setting.offset_fields, np.zeros(3), (3,)),
        ("gradients", setting.gradients, np.diag(setting.gradient), (3, 3)),
        ("drive_fields", setting.drive_fields, setting.drive_field, (axes,)),
    )
    for name, given, _, shape in per_period:
        if given is not None:
            _expect(name, np.shape(given), (periods, *shape))
    offsets, gradients, strengths = (
        np.array(np.broadcast_to(same if given is None else given, (periods, *shape)), np.float64)
        for _, given, same, shape in per_period
    )
    fields: Fields = {
        "/time": _utc(setting.time),
        "/version": _VERSION,
        "/study/description": labels.description,
        "/study/name": labels.study,
        "/study/number": np.int64(labels.study_number),
        "/study/uuid": str(uuid.uuid5(NAMESPACE, f"study {labels.study_number} {labels.study}")),
        "/experiment/description": labels.description,
        "/experiment/isSimulation": np.int8(setting.simulated),
        "/experiment/name": labels.experiment,
        "/experiment/number": np.int64(labels.experiment_number),
        "/experiment/subject": labels.subject,
        "/scanner/facility": labels.facility,
        "/scanner/manufacturer": setting.manufacturer,
        "/scanner/name": setting.scanner,
        "/scanner/operator": labels.operator,
        "/scanner/topology": setting.topology,
        "/acquisition/gradient": gradients[:, None],
        "/acquisition/numAverages": np.int64(setting.averages),
        "/acquisition/numFrames": np.int64(frames),
        "/acquisition/numPeriodsPerFrame": np.int64(periods),
        "/acquisition/offsetField": offsets[:, None],
        "/acquisition/startTime": _utc(setting.start_time),
        "/acquisition/drivefield/baseFrequency": np.float64(setting.base_frequency),
        "/acquisition/drivefield/cycle": np.float64(setting.cycle),
        "/acquisition/drivefield/divider": np.array(setting.dividers, np.int64)[:, None],
        "/acquisition/drivefield/numChannels": np.int64(axes),
        "/acquisition/drivefield/phase": np.zeros(row),
        "/acquisition/drivefield/strength": strengths[:, :, None],
        "/acquisition/drivefield/waveform": np.full((axes, 1), "sine", dtype=object),
        "/acquisition/receiver/bandwidth": np.float64(setting.base_frequency / 2),
        "/acquisition/receiver/numChannels": np.int64(setting.channels),
        "/acquisition/receiver/numSamplingPoints": np.int64(setting.samples),
        "/acquisition/receiver/unit": "V",
    }
    if setting.conversion is not None:
        _expect("conversion", setting.conversion.shape, (setting.channels, 2))
        fields["/acquisition/receiver/dataConversionFactor"] = np.array(setting.conversion, np.float64)
    if labels.tracer is not None:
        tracer = labels.tracer
        for name in ("batch", "name", "solute", "vendor"):
            fields[f"/tracer/{name}"] = np.array([getattr(tracer, name)], dtype=object)
        for name in ("concentration", "volume"):
            fields[f"/tracer/{name}"] = np.array([getattr(tracer, name)], dtype=np.float64)
    return fields


def _stage(
    background: NDArray[np.bool_],
    *,
    fourier: bool = False,
    fast_frames: bool = False,
    permutation: NDArray[np.int64] | None = None,
) -> Fields:
    flags = {
        "isBackgroundCorrected": False,
        "isFastFrameAxis": fast_frames,
        "isFourierTransformed": fourier,
        "isFramePermutation": permutation is not None,
        "isFrequencySelection": False,
        "isSparsityTransformed": False,
        "isSpectralLeakageCorrected": False,
        "isTransferFunctionCorrected": False,
    }
    fields: Fields = {f"/measurement/{name}": np.int8(flag) for name, flag in flags.items()}
    fields["/measurement/isBackgroundFrame"] = background.astype(np.int8)
    if permutation is not None:
        fields["/measurement/framePermutation"] = np.asarray(permutation, dtype=np.int64)
    return fields


def _grid(group: str, grid: Grid) -> Fields:
    # In the file x comes first, and a plane is a volume of one.
    size, extent = [*grid.shape[::-1], 1][:3], [*grid.field_of_view[::-1], grid.thickness][:3]
    flat = grid.positions()
    return {
        f"{group}/fieldOfView": np.array(extent),
        f"{group}/fieldOfViewCenter": np.zeros(3),
        f"{group}/order": "xyz",
        f"{group}/positions": flat if flat.shape[1] == 3 else np.column_stack([flat, np.zeros(len(flat))]),
        f"{group}/size": np.array(size, dtype=np.int64),
    }

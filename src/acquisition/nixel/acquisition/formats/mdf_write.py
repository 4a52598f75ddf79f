"""Writing MDF 2.1, strictly.

Booleans are int8, complex numbers the compound {r, i}, ``data`` contiguous and uncompressed, times UTC with
milliseconds. Equal content gives equal bytes: HDF5 keeps no times, and the uuid is derived from the content
(RFC 9562, version 5).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from nixel.acquisition.formats.atomic import atomic_write, sha256_file
from nixel.acquisition.formats.mdf_model import DatasetInfo, Labels, MdfError, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nixel.physics.grid import Grid

    Fields = dict[str, Any]

__all__ = ["write_calibration", "write_measurement", "write_reconstruction"]

_VERSION = "2.1.0"
_NAMESPACE = uuid.UUID("6f5f3d6c-2d0c-5d0f-9c55-6a3f6c1d2b7e")
_DATA = "/measurement/data"


def write_measurement(
    path: str | Path,
    setting: Setting,
    data: NDArray[Any],
    is_background: Sequence[bool] | NDArray[np.bool_],
    *,
    labels: Labels | None = None,
    provenance: Mapping[str, Any],
    extras: Mapping[str, Any] | None = None,
) -> DatasetInfo:
    """Write frames in time.

    Parameters
    ----------
    path : str or Path
        Of the file that is to be; there must be none.
    setting : Setting
    data : array of int16, int32, int64, float32 or float64, shape (N, J, C, V)
        Frames in the order of time, in codes if the setting has a conversion, in V otherwise.
    is_background : sequence of bool, N
    labels : Labels, optional
    provenance : mapping
        Stored as JSON.
    extras : mapping of str, optional
        Numbers and texts to be stored beside it.

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
    fields = _common(setting, labels or Labels(), frames=len(data), periods=data.shape[1])
    fields |= _stage(background) | {_DATA: np.ascontiguousarray(data)}
    return _write(Path(path), fields, "measurement", setting, data.shape, provenance, extras)


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
    labels: Labels | None = None,
    provenance: Mapping[str, Any],
    extras: Mapping[str, Any] | None = None,
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
    labels, provenance, extras
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
    _expect("spectra", spectra.shape[1:3], (setting.channels, setting.samples // 2 + 1))
    if setting.conversion is not None:
        raise MdfError("setting.conversion: expected None, because spectra are of volts, found factors")
    if frames < grid.voxels:
        raise MdfError(f"spectra: expected a frame for each of {grid.voxels} voxels, found {frames}")
    if sorted(frame_permutation) != list(range(1, frames + 1)):
        raise MdfError(f"frame_permutation: expected each of 1 to {frames} once")
    fields = _common(setting, labels or Labels(), frames=frames, periods=periods)
    fields |= _stage(
        np.arange(frames) >= grid.voxels, fourier=True, fast_frames=True, permutation=frame_permutation
    )
    fields[_DATA] = np.ascontiguousarray(spectra)
    fields |= _grid("/calibration", grid) | {
        "/calibration/deltaSampleSize": np.array(delta_sample_size, dtype=np.float64),
        "/calibration/method": method,
    }
    if snr is not None:
        _expect("snr", snr.shape, (periods, setting.channels, frequencies))
        fields["/calibration/snr"] = np.ascontiguousarray(snr, dtype=np.float64)
    return _write(Path(path), fields, "calibration", setting, spectra.shape, provenance, extras)


def write_reconstruction(
    path: str | Path,
    setting: Setting,
    images: NDArray[np.floating[Any]],
    grid: Grid,
    *,
    labels: Labels | None = None,
    provenance: Mapping[str, Any],
    extras: Mapping[str, Any] | None = None,
) -> DatasetInfo:
    """Write pictures.

    Parameters
    ----------
    path : str or Path
    setting : Setting
        Of the measurement that they were computed from.
    images : array of float32 or float64, shape (Q, ny, nx), or (Q, nz, ny, nx) of a volume
    grid : Grid
        Of the pictures.
    labels, provenance, extras
        As for `write_measurement`.

    Returns
    -------
    DatasetInfo

    Raises
    ------
    MdfError
        As `write_measurement`.
    """
    if images.ndim not in (3, 4) or images.dtype not in (np.float32, np.float64):
        raise MdfError(
            f"images: expected float32 or float64 (Q, ny, nx) or (Q, nz, ny, nx), found {images.dtype} {images.shape}"
        )
    _expect("images", images.shape[1:], grid.shape)
    data = np.ascontiguousarray(images).reshape(len(images), -1, 1)
    fields = _common(setting, labels or Labels(), frames=len(images), periods=1)
    fields |= {"/reconstruction/data": data} | _grid("/reconstruction", grid)
    return _write(Path(path), fields, "reconstruction", setting, data.shape, provenance, extras)


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
    fields: Fields = {
        "/time": _utc(setting.time),
        "/version": _VERSION,
        "/study/description": labels.description,
        "/study/name": labels.study,
        "/study/number": np.int64(labels.study_number),
        "/study/uuid": str(uuid.uuid5(_NAMESPACE, f"study {labels.study_number} {labels.study}")),
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
        "/acquisition/gradient": np.tile(np.diag(np.array(setting.gradient, np.float64)), (periods, 1, 1, 1)),
        "/acquisition/numAverages": np.int64(setting.averages),
        "/acquisition/numFrames": np.int64(frames),
        "/acquisition/numPeriodsPerFrame": np.int64(periods),
        "/acquisition/offsetField": np.zeros((periods, 1, 3)),
        "/acquisition/startTime": _utc(setting.start_time),
        "/acquisition/drivefield/baseFrequency": np.float64(setting.base_frequency),
        "/acquisition/drivefield/cycle": np.float64(setting.cycle),
        "/acquisition/drivefield/divider": np.array(setting.dividers, np.int64)[:, None],
        "/acquisition/drivefield/numChannels": np.int64(axes),
        "/acquisition/drivefield/phase": np.zeros(row),
        "/acquisition/drivefield/strength": np.broadcast_to(
            np.array(setting.drive_field, np.float64)[:, None], row
        ),
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


def _digest(fields: Fields) -> str:
    digest = hashlib.sha256()
    for key in sorted(fields):
        value = fields[key]
        array = np.asarray(value)
        text = isinstance(value, str) or array.dtype == object
        content = json.dumps(array.tolist()).encode() if text else np.ascontiguousarray(array).tobytes()
        kind = "text" if text else array.dtype.str
        digest.update(f"{key} {kind} {array.shape} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _write(
    path: Path,
    fields: Fields,
    kind: str,
    setting: Setting,
    shape: tuple[int, ...],
    provenance: Mapping[str, Any],
    extras: Mapping[str, Any] | None,
) -> DatasetInfo:
    try:
        text = json.dumps(provenance, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise MdfError(f"provenance: expected what JSON can hold, found otherwise ({error})") from error
    fields["/_nixel/provenance"] = text
    for name, value in (extras or {}).items():
        fields[f"/_nixel/{name}"] = value if isinstance(value, str) else np.asarray(value)[()]
    digest = _digest(fields)
    fields["/experiment/uuid"] = str(uuid.uuid5(_NAMESPACE, f"experiment {digest}"))
    fields["/uuid"] = str(uuid.uuid5(_NAMESPACE, digest))
    try:
        with (
            atomic_write(path, replace=False) as part,
            h5py.File(part, "w", libver=("earliest", "v110")) as file,
        ):
            for key in sorted(fields):
                _put(file, key, fields[key])
    except FileExistsError as error:
        raise MdfError(
            f"{path}: there is a file already, which is never overwritten. Choose another name."
        ) from error
    except FileNotFoundError as error:
        raise MdfError(f"{path.parent}: there is no such folder. Make it, or choose another.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise MdfError(f"{path}: cannot be written: {reason}. Choose another folder or name.") from error
    return DatasetInfo(path, sha256_file(path), fields["/uuid"], kind, setting.simulated, tuple(shape))


def _put(file: h5py.File, key: str, value: Any) -> None:  # noqa: ANN401 (text, number or array)
    if isinstance(value, str) or np.asarray(value).dtype == object:
        file.create_dataset(key, data=value, dtype=h5py.string_dtype())
    else:
        # No chunks and no filters: readers map the numbers into memory.
        file.create_dataset(key, data=value)

"""Reading MDF 2.x, leniently: what a file lacks is assumed where the standard leaves one choice, and said.

A file is as trusted as a stranger: links are not followed, and what it claims is not believed beyond what it holds.
"""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from nixel.acquisition.formats.mdf_contents import DAMAGE, LARGEST_VALUE, contents_of, find, mapped_array
from nixel.acquisition.formats.mdf_fields import DATA, FIELDS
from nixel.acquisition.formats.mdf_model import (
    Calibration,
    Labels,
    Mdf,
    MdfError,
    Measurement,
    Reconstruction,
    Setting,
    Tracer,
)
from nixel.acquisition.formats.mdf_old import as_matrices, refuse_old_compression
from nixel.acquisition.formats.mdf_sparsity import SparseFrames

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["open_mdf", "read_mdf"]

_FALLBACKS = {"/acquisition/numPeriodsPerFrame": "/acquisition/numPeriods"}


def read_mdf(path: str | Path, *, mapped: bool = False) -> Mdf:
    """Read a whole MDF file into memory.

    Parameters
    ----------
    path : str or Path
    mapped : bool
        Leave the measured data in the file, as a `numpy.memmap`, where it is contiguous and uncompressed: for what is
        larger than the memory.

    Returns
    -------
    Mdf

    Raises
    ------
    MdfError
        The file cannot be read, is not MDF 2, or lacks what nothing can be assumed for.
    """
    with open_mdf(path) as mdf:
        measurement = mdf.measurement
        if measurement is None:
            return mdf
        there = mapped_array(path, measurement.data) if mapped else None
        whole = measurement.frames() if there is None else replace(measurement, data=there)
        return replace(mdf, measurement=whole)


@contextmanager
def open_mdf(path: str | Path) -> Iterator[Mdf]:
    """Open an MDF file whose frames are read when they are asked for, with `Measurement.frames`.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    Mdf
        Its measured data stays in the file, and can be read until the block ends; all else is in memory.

    Raises
    ------
    MdfError
        As `read_mdf`.
    """
    path = Path(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if not path.is_file():
            raise MdfError(f"{path}: there is no such file") from error
        raise MdfError(f"{path}: expected an HDF5 file that is whole, found otherwise ({error})") from error
    with file:
        try:
            mdf = _Reader(file, path).mdf()
        except MdfError:
            raise
        except DAMAGE as error:
            raise MdfError(
                f"{path}: expected an MDF file that is whole, found otherwise ({error})"
            ) from error
        yield mdf


class _Reader:
    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self._path = file, path
        self._contents = contents_of(file)
        self._troubles = {path: (expected, found) for path, expected, found, _ in self._contents.troubles}
        self._assumptions: list[str] = []

    def mdf(self) -> Mdf:
        version = self._text("/version")
        if not version.startswith("2."):
            raise MdfError(f"{self._path}: /version: expected 2.x, found {version!r}")
        provenance, extras = self._extras()
        setting = self._setting()
        groups, nodes = self._contents.groups, self._contents.nodes
        return Mdf(
            path=self._path,
            version=version,
            uuid=self._text("/uuid"),
            setting=setting,
            labels=self._labels(),
            measurement=self._measurement(setting) if "/measurement" in groups else None,
            calibration=self._calibration() if "/calibration/method" in nodes else None,
            reconstruction=self._reconstruction() if "/reconstruction" in groups else None,
            provenance=provenance,
            extras=extras,
            fields={path: _plain(node.value) for path, node in nodes.items() if node.value is not None},
            user_defined=tuple(self._contents.user_defined),
            assumptions=tuple(self._assumptions),
        )

    def _has(self, path: str) -> bool:
        return path in self._contents.nodes or path in self._troubles

    def _get(self, path: str, assumed: object = None) -> Any:  # noqa: ANN401
        """The value of a field; what stands in for it otherwise is said to be assumed."""
        if path in self._troubles:
            expected, found = self._troubles[path]
            raise MdfError(f"{self._path}: {path}: expected {expected}, found {found}")
        node = self._contents.nodes.get(path)
        if node is not None:
            if node.value is None:
                raise MdfError(f"{self._path}: {path}: expected a few numbers, found dimensions {node.shape}")
            return _plain(node.value)
        if assumed is None:
            assumed = FIELDS[path].assumed if path in FIELDS else None
        if assumed is None:
            raise MdfError(f"{self._path}: expected the field {path}, found none")
        self._assumptions.append(f"{path} is missing, assumed {assumed!r}")
        return assumed

    def _optional(self, path: str, dtype: type[np.generic] = np.float64) -> Any:  # noqa: ANN401
        return np.asarray(self._get(path)).astype(dtype) if self._has(path) else None

    def _first(self, path: str, assumed: object = None) -> Any:  # noqa: ANN401
        values = np.asarray(self._get(path, assumed)).ravel()
        if not values.size:
            raise MdfError(f"{self._path}: {path}: expected a value, found none")
        return values[0]

    def _text(self, path: str) -> str:
        return str(self._first(path))

    def _number(self, path: str, assumed: float | None = None) -> float:
        value = self._first(path, assumed)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise MdfError(f"{self._path}: {path}: expected a number, found {str(value)[:80]!r}") from None

    def _whole(self, path: str, assumed: int | None = None) -> int:
        number = self._number(path, assumed)
        if not number.is_integer():
            raise MdfError(f"{self._path}: {path}: expected a whole number, found {number}")
        return int(number)

    def _flag(self, name: str) -> bool:
        path = f"/measurement/{name}"
        if path in self._contents.assumed:
            value, why = self._contents.assumed[path]
            self._assumptions.append(f"{path} is missing, assumed {value}, {why}")
            return bool(value)
        return bool(self._whole(path))

    def _time(self, path: str) -> datetime:
        text = self._text(path)
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            raise MdfError(
                f"{self._path}: {path}: expected yyyy-mm-ddThh:mm:ss.ms, found {text[:80]!r}"
            ) from None
        return time.replace(tzinfo=UTC)

    def _setting(self) -> Setting:
        drive, receiver = "/acquisition/drivefield", "/acquisition/receiver"
        dividers = np.asarray(self._get(f"{drive}/divider")).reshape(-1).astype(int)
        if self._contents.shape(f"{drive}/waveform") == () and len(dividers) > 1:
            self._assumptions.append(f"{drive}/waveform is a single value, assumed for all channels")
        strength = np.asarray(self._get(f"{drive}/strength"), dtype=np.float64)
        gradient = as_matrices(np.asarray(self._get("/acquisition/gradient")), self._assumptions)
        matrices = gradient.reshape(-1, 3, 3) if gradient.size and gradient.size % 9 == 0 else None
        diagonal = gradient.ravel()[:3] if matrices is None else np.diag(matrices[0])
        offsets = self._optional("/acquisition/offsetField")
        offsets = None if offsets is None or offsets.size % 3 or not offsets.any() else offsets.reshape(-1, 3)
        strengths = (
            strength.reshape(len(strength), len(dividers), -1)[:, :, 0] if strength.ndim == 3 else None
        )
        if diagonal.size != 3:
            raise MdfError(
                f"{self._path}: /acquisition/gradient: expected J x Y x 3 x 3, found {gradient.shape}"
            )
        start = "/acquisition/startTime"
        if not self._has(start):
            self._assumptions.append(f"{start} is missing, assumed to be /time")
            start = "/time"
        conversion = self._optional(f"{receiver}/dataConversionFactor")
        return Setting(
            time=self._time("/time"),
            start_time=self._time(start),
            simulated=bool(self._whole("/experiment/isSimulation")),
            scanner=self._text("/scanner/name"),
            base_frequency=self._number(f"{drive}/baseFrequency"),
            dividers=tuple(int(divider) for divider in dividers),
            drive_field=tuple(float(value) for value in strength.reshape(-1)[: len(dividers)]),
            gradient=(float(diagonal[0]), float(diagonal[1]), float(diagonal[2])),
            samples=self._whole(f"{receiver}/numSamplingPoints", math.lcm(*map(int, dividers))),
            channels=self._whole(f"{receiver}/numChannels"),
            averages=self._whole("/acquisition/numAverages"),
            conversion=conversion,
            manufacturer=self._text("/scanner/manufacturer"),
            topology=self._text("/scanner/topology"),
            offset_fields=offsets,
            gradients=None if matrices is None else _unless_alike(matrices),
            drive_fields=None if strengths is None else _unless_alike(strengths),
        )

    def _labels(self) -> Labels:
        tracer = None
        if "/tracer/name" in self._contents.nodes:
            tracer = Tracer(
                name=self._text("/tracer/name"),
                concentration=self._number("/tracer/concentration"),
                volume=self._number("/tracer/volume"),
                vendor=self._text("/tracer/vendor"),
                batch=self._text("/tracer/batch"),
                solute=self._text("/tracer/solute"),
            )
        return Labels(
            study=self._text("/study/name"),
            study_number=self._whole("/study/number"),
            experiment=self._text("/experiment/name"),
            experiment_number=self._whole("/experiment/number"),
            description=self._text("/experiment/description"),
            subject=self._text("/experiment/subject"),
            operator=self._text("/scanner/operator"),
            facility=self._text("/scanner/facility"),
            tracer=tracer,
        )

    def _array(self, path: str) -> Any:  # noqa: ANN401 (a dataset of h5py)
        if path not in self._contents.nodes:
            return self._get(path)
        return self._contents.nodes[path].array

    def _measurement(self, setting: Setting) -> Measurement:
        data = self._array(DATA)
        if data.ndim != 4:
            raise MdfError(f"{self._path}: {DATA}: expected 4 dimensions, found {data.shape}")
        fast, fourier = self._flag("isFastFrameAxis"), self._flag("isFourierTransformed")
        refuse_old_compression(self._file, self._path)
        if self._flag("isSparsityTransformed"):
            data = self._sparse(data)
        self._check_periods(data, fast=fast)
        frames = data.shape[-1] if fast else data.shape[0]
        background = np.asarray(self._get("/measurement/isBackgroundFrame", np.zeros(frames, np.int8)))
        if background.shape != (frames,):
            raise MdfError(
                f"{self._path}: /measurement/isBackgroundFrame: expected {frames}, found {background.shape}"
            )
        selection = None
        if self._flag("isFrequencySelection"):
            selection = np.asarray(self._get("/measurement/frequencySelection")).ravel().astype(np.int64)
            stored = data.shape[-2 if fast else -1]
            if not fourier or len(selection) != stored or (stored and selection.min() < 1):
                raise MdfError(
                    f"{self._path}: /measurement/frequencySelection: expected the numbers, from 1, of {stored} "
                    f"frequencies of data in frequency space, found {len(selection)} numbers"
                )
        return Measurement(
            data=data,
            is_background=background.astype(bool),
            is_fourier_transformed=fourier,
            is_fast_frame_axis=fast,
            is_background_corrected=self._flag("isBackgroundCorrected"),
            frame_permutation=self._permutation(frames) if self._flag("isFramePermutation") else None,
            conversion=setting.conversion,
            samples=setting.samples,
            frequency_selection=selection,
        )

    def _permutation(self, frames: int) -> Any:  # noqa: ANN401
        order = np.asarray(self._get("/measurement/framePermutation")).astype(np.int64)
        if order.shape != (frames,):
            raise MdfError(
                f"{self._path}: /measurement/framePermutation: expected {frames}, found {order.shape}"
            )
        return order

    def _check_periods(self, data: Any, *, fast: bool) -> None:  # noqa: ANN401
        """Where a file does not say how many periods a frame has, its data does."""
        path, periods = "/acquisition/numPeriodsPerFrame", data.shape[0 if fast else 1]
        if not self._has(path):
            other = _FALLBACKS[path]
            said = find(self._file, other)
            if not isinstance(said, h5py.Dataset) or said.shape != () or int(said[()]) != periods:
                self._assumptions.append(f"{path} is missing, assumed {periods}, as the data has")
            else:
                self._assumptions.append(f"{path} is missing, assumed {periods}, as {other} says")

    def _sparse(self, data: Any) -> SparseFrames:  # noqa: ANN401
        indices = self._array("/measurement/subsamplingIndices")
        name = self._text("/measurement/sparsityTransformation")
        size, order = self._size("/calibration"), self._order("/calibration")
        counts = dict(zip("xyz", size, strict=True))
        if indices.ndim != 4 or indices.shape[:3] != data.shape[:3] or indices.shape[3] > data.shape[3]:
            raise MdfError(
                f"{self._path}: /measurement/subsamplingIndices: expected J x C x K x B of the data's {data.shape}, "
                f"found {indices.shape}"
            )
        return SparseFrames(data, indices, name, [counts[axis] for axis in order])

    def _triple(self, path: str, assumed: object = None) -> tuple[float, float, float]:
        values = np.asarray(self._get(path, assumed), dtype=np.float64).ravel()
        if values.size != 3:
            raise MdfError(f"{self._path}: {path}: expected three numbers, found {values.size}")
        return float(values[0]), float(values[1]), float(values[2])

    def _size(self, group: str) -> tuple[int, int, int]:
        x, y, z = self._triple(f"{group}/size")
        return int(x), int(y), int(z)

    def _order(self, group: str) -> str:
        order = self._text(f"{group}/order") if self._has(f"{group}/order") else "xyz"
        if sorted(order) != ["x", "y", "z"]:
            raise MdfError(f"{self._path}: {group}/order: expected the axes x, y and z, found {order[:80]!r}")
        return order

    def _center(self, group: str) -> tuple[float, float, float]:
        path = f"{group}/fieldOfViewCenter"
        return self._triple(path) if self._has(path) else self._triple(path, FIELDS[path].assumed)

    def _calibration(self) -> Calibration:
        group = "/calibration"
        delta = f"{group}/deltaSampleSize"
        return Calibration(
            size=self._size(group),
            field_of_view=self._triple(f"{group}/fieldOfView"),
            center=self._center(group),
            positions=self._optional(f"{group}/positions"),
            delta_sample_size=self._triple(delta) if self._has(delta) else None,
            method=self._text(f"{group}/method"),
            snr=self._optional(f"{group}/snr"),
            offset_fields=self._optional(f"{group}/offsetFields"),
            order=self._order(group),
        )

    def _reconstruction(self) -> Reconstruction:
        group = "/reconstruction"
        data = np.asarray(self._array(f"{group}/data"))
        size = self._size(group)
        if data.ndim != 3 or data.shape[1] != math.prod(size):
            raise MdfError(
                f"{self._path}: {group}/data: expected (Q, {math.prod(size)}, S), found {data.shape}"
            )
        return Reconstruction(
            data=data,
            size=size,
            field_of_view=self._triple(f"{group}/fieldOfView"),
            center=self._center(group),
            positions=self._optional(f"{group}/positions"),
            is_overscan=self._optional(f"{group}/isOverscanRegion", np.bool_),
            order=self._order(group),
        )

    def _extras(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        group = find(self._file, "/_nixel")
        values: dict[str, Any] = {}
        for name in sorted(group) if isinstance(group, h5py.Group) else []:
            node = find(self._file, f"/_nixel/{name}")
            if isinstance(node, h5py.Dataset) and (node.size or 0) * node.dtype.itemsize <= LARGEST_VALUE:
                values[name] = node.asstr()[()] if h5py.check_string_dtype(node.dtype) else node[()]
        text = values.pop("provenance", None)
        try:
            provenance = None if text is None else json.loads(text)
        except ValueError as error:
            raise MdfError(f"{self._path}: /_nixel/provenance: expected JSON, found otherwise") from error
        return provenance, values


def _unless_alike(values: Any) -> Any:  # noqa: ANN401
    """Values of each period, or None where they are the same in all."""
    return None if (values == values[0]).all() else np.asarray(values, dtype=np.float64)


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A single value by itself, and texts in Unicode."""
    if value.dtype == object:
        value = np.array([_unicode(text) for text in value.ravel()], dtype=object).reshape(value.shape)
    return value[()]


def _unicode(text: Any) -> str:  # noqa: ANN401
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")

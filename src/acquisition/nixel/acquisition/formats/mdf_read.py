"""Reading MDF 2.x, leniently: what a file lacks is assumed where the standard leaves one choice, and said."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

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

__all__ = ["read_mdf"]


def read_mdf(path: str | Path) -> Mdf:
    """Read a whole MDF file into memory.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Mdf

    Raises
    ------
    MdfError
        The file cannot be read, is not MDF 2, or lacks what nothing can be assumed for.
    """
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            return _Reader(file, path).mdf()
    except OSError as error:
        if not path.is_file():
            raise MdfError(f"{path}: there is no such file") from error
        raise MdfError(f"{path}: expected an HDF5 file that is whole, found otherwise ({error})") from error


class _Reader:
    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self._path = file, path
        self._assumptions: list[str] = []

    def mdf(self) -> Mdf:
        version = self._text("/version")
        if not version.startswith("2."):
            raise MdfError(f"{self._path}: /version: expected 2.x, found {version!r}")
        provenance, extras = self._extras()
        setting = self._setting()
        return Mdf(
            path=self._path,
            version=version,
            uuid=self._text("/uuid"),
            setting=setting,
            labels=self._labels(),
            measurement=self._measurement(setting) if "/measurement" in self._file else None,
            calibration=self._calibration() if "/calibration/method" in self._file else None,
            reconstruction=self._reconstruction() if "/reconstruction" in self._file else None,
            provenance=provenance,
            extras=extras,
            assumptions=tuple(self._assumptions),
        )

    def _get(self, key: str, assumed: object = None, *, quietly: bool = False) -> Any:  # noqa: ANN401
        node = self._file.get(key)
        if isinstance(node, h5py.Dataset):
            return node.asstr()[()] if h5py.check_string_dtype(node.dtype) else node[()]
        if assumed is None:
            raise MdfError(f"{self._path}: expected the field {key}, found none")
        if not quietly:
            self._assumptions.append(f"{key} is missing, assumed {assumed!r}")
        return assumed

    def _optional(self, key: str) -> Any:  # noqa: ANN401
        return self._get(key, quietly=True) if key in self._file else None

    def _text(self, key: str, assumed: str | None = None) -> str:
        value = np.asarray(self._get(key, assumed), dtype=object).ravel()
        return str(value[0]) if len(value) else ""

    def _number(self, key: str, assumed: float | None = None) -> float:
        return float(np.asarray(self._get(key, assumed)).ravel()[0])

    def _whole(self, key: str, assumed: int | None = None) -> int:
        return int(np.asarray(self._get(key, assumed)).ravel()[0])

    def _flag(self, name: str) -> bool:
        return bool(self._whole(f"/measurement/{name}", 0))

    def _time(self, key: str, assumed: str | None = None) -> datetime:
        text = self._text(key, assumed)
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            raise MdfError(f"{self._path}: {key}: expected yyyy-mm-ddThh:mm:ss.ms, found {text!r}") from None
        return time.replace(tzinfo=UTC)

    def _setting(self) -> Setting:
        drive, receiver = "/acquisition/drivefield", "/acquisition/receiver"
        dividers = np.asarray(self._get(f"{drive}/divider")).reshape(-1).astype(int)
        strength = np.asarray(self._get(f"{drive}/strength"), dtype=np.float64)
        gradient = np.asarray(self._get("/acquisition/gradient", np.diag([1.0, 1.0, -2.0])))
        diagonal = np.diag(gradient.reshape(-1, 3, 3)[0]) if gradient.size % 9 == 0 else gradient.ravel()[:3]
        time = self._text("/time")
        conversion = self._optional(f"{receiver}/dataConversionFactor")
        return Setting(
            time=self._time("/time"),
            start_time=self._time("/acquisition/startTime", time),
            simulated=bool(self._whole("/experiment/isSimulation")),
            scanner=self._text("/scanner/name", "n.a."),
            base_frequency=self._number(f"{drive}/baseFrequency"),
            dividers=tuple(int(divider) for divider in dividers),
            drive_field=tuple(float(value) for value in strength.reshape(-1)[: len(dividers)]),
            gradient=(float(diagonal[0]), float(diagonal[1]), float(diagonal[2])),
            samples=self._whole(f"{receiver}/numSamplingPoints", math.lcm(*map(int, dividers))),
            channels=self._whole(f"{receiver}/numChannels"),
            averages=self._whole("/acquisition/numAverages", 1),
            conversion=None if conversion is None else np.asarray(conversion, dtype=np.float64),
            manufacturer=self._text("/scanner/manufacturer", "n.a."),
            topology=self._text("/scanner/topology", "n.a."),
        )

    def _labels(self) -> Labels:
        tracer = None
        if "/tracer/name" in self._file:
            tracer = Tracer(
                name=self._text("/tracer/name"),
                concentration=self._number("/tracer/concentration", math.nan),
                volume=self._number("/tracer/volume", math.nan),
                vendor=self._text("/tracer/vendor", "n.a."),
                batch=self._text("/tracer/batch", "n.a."),
                solute=self._text("/tracer/solute", "Fe"),
            )
        return Labels(
            study=self._text("/study/name", "n.a."),
            study_number=self._whole("/study/number", 0),
            experiment=self._text("/experiment/name", "n.a."),
            experiment_number=self._whole("/experiment/number", 0),
            description=self._text("/experiment/description", "n.a."),
            subject=self._text("/experiment/subject", "n.a."),
            operator=self._text("/scanner/operator", "n.a."),
            facility=self._text("/scanner/facility", "n.a."),
            tracer=tracer,
        )

    def _measurement(self, setting: Setting) -> Measurement:
        data = np.asarray(self._get("/measurement/data"))
        fast, permuted = self._flag("isFastFrameAxis"), self._flag("isFramePermutation")
        frames = data.shape[-1] if fast else data.shape[0]
        if data.ndim != 4:
            raise MdfError(f"{self._path}: /measurement/data: expected 4 dimensions, found {data.shape}")
        for name in ("isSparsityTransformed", "isFrequencySelection"):
            if self._flag(name):
                raise MdfError(
                    f"{self._path}: /measurement/{name}: expected 0, found 1, which is not read yet"
                )
        background = np.asarray(self._get("/measurement/isBackgroundFrame", np.zeros(frames, np.int8)))
        if background.shape != (frames,):
            raise MdfError(
                f"{self._path}: /measurement/isBackgroundFrame: expected {frames}, found {background.shape}"
            )
        permutation = np.asarray(self._get("/measurement/framePermutation")) if permuted else None
        return Measurement(
            data=data,
            is_background=background.astype(bool),
            is_fourier_transformed=self._flag("isFourierTransformed"),
            is_fast_frame_axis=fast,
            is_background_corrected=self._flag("isBackgroundCorrected"),
            frame_permutation=None if permutation is None else permutation.astype(np.int64),
            conversion=setting.conversion,
            samples=setting.samples,
        )

    def _triple(self, key: str, assumed: object = None) -> tuple[float, float, float]:
        x, y, z = np.asarray(self._get(key, assumed), dtype=np.float64).ravel()
        return float(x), float(y), float(z)

    def _size(self, group: str) -> tuple[int, int, int]:
        x, y, z = self._triple(f"{group}/size")
        order = self._text(f"{group}/order", "xyz")
        if order != "xyz":
            raise MdfError(f"{self._path}: {group}/order: expected xyz, found {order}, which is not read yet")
        return int(x), int(y), int(z)

    def _calibration(self) -> Calibration:
        group = "/calibration"
        delta, positions = self._optional(f"{group}/deltaSampleSize"), self._optional(f"{group}/positions")
        snr = self._optional(f"{group}/snr")
        return Calibration(
            size=self._size(group),
            field_of_view=self._triple(f"{group}/fieldOfView"),
            center=self._triple(f"{group}/fieldOfViewCenter", np.zeros(3)),
            positions=None if positions is None else np.asarray(positions, dtype=np.float64),
            delta_sample_size=None if delta is None else self._triple(f"{group}/deltaSampleSize"),
            method=self._text(f"{group}/method"),
            snr=None if snr is None else np.asarray(snr, dtype=np.float64),
        )

    def _reconstruction(self) -> Reconstruction:
        group = "/reconstruction"
        positions = self._optional(f"{group}/positions")
        data = np.asarray(self._get(f"{group}/data"))
        size = self._size(group)
        if data.ndim != 3 or data.shape[1] != math.prod(size):
            raise MdfError(
                f"{self._path}: {group}/data: expected (Q, {math.prod(size)}, S), found {data.shape}"
            )
        return Reconstruction(
            data=data,
            size=size,
            field_of_view=self._triple(f"{group}/fieldOfView"),
            center=self._triple(f"{group}/fieldOfViewCenter", np.zeros(3)),
            positions=None if positions is None else np.asarray(positions, dtype=np.float64),
        )

    def _extras(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        group = self._file.get("/_nixel")
        names = sorted(group) if isinstance(group, h5py.Group) else []
        values = {name: self._get(f"/_nixel/{name}") for name in names}
        text = values.pop("provenance", None)
        try:
            provenance = None if text is None else json.loads(text)
        except ValueError as error:
            raise MdfError(f"{self._path}: /_nixel/provenance: expected JSON, found otherwise") from error
        return provenance, values

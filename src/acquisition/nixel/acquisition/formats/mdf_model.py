"""What an MDF file holds, as plain data.

Names and dimensions follow the Magnetic Particle Imaging Data Format 2.1.0 (Knopp et al., arXiv:1602.06072):
N frames, J periods a frame, C receive channels, V samples a period, K = V/2 + 1 frequencies, D drive-field
channels, O foreground frames of a calibration, Q frames, P voxels and S channels of a reconstruction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "Calibration",
    "DatasetInfo",
    "Grid",
    "Labels",
    "Mdf",
    "MdfError",
    "Measurement",
    "Reconstruction",
    "Setting",
    "Tracer",
]


class MdfError(ValueError):
    """A file that is not MDF, or data that cannot be written as MDF."""


def _plane(size: tuple[int, int, int], field_of_view: tuple[float, float, float]) -> Grid:
    (nx, ny, nz), (fx, fy, fz) = size, field_of_view
    if nz != 1:
        raise MdfError(f"size: expected one plane, found {nz}")
    return Grid((ny, nx), (fy, fx), fz)


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset that has been written.

    Parameters
    ----------
    path : Path
    sha256 : str
        Of the file.
    uuid : str
        Of the content: equal content has an equal one.
    kind : str
        ``"measurement"``, ``"calibration"`` or ``"reconstruction"``.
    simulated : bool
    shape : tuple of int
        Of the data as stored.
    """

    path: Path
    sha256: str
    uuid: str
    kind: str
    simulated: bool
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Tracer:
    """The tracer; concentration in mol(solute)/l and volume in l, NaN where not known."""

    name: str
    concentration: float
    volume: float
    vendor: str = "n.a."
    batch: str = "n.a."
    solute: str = "Fe"


@dataclass(frozen=True)
class Labels:
    """What people call it."""

    study: str = "nixel"
    study_number: int = 1
    experiment: str = "scan"
    experiment_number: int = 1
    description: str = ""
    subject: str = ""
    operator: str = "n.a."
    facility: str = "n.a."
    tracer: Tracer | None = None


@dataclass(frozen=True)
class Setting:
    """The scanner and how it was set, in SI units.

    Parameters
    ----------
    time, start_time : datetime
        UTC: when the data set was made and when the measurement began, by the instrument's clock.
    simulated : bool
    scanner : str
        The scanner's name.
    base_frequency : float
        In Hz; also the sampling rate.
    dividers : tuple of int
        One a drive-field channel.
    drive_field : tuple of float
        Amplitudes of A sin(2 pi f t) in T.
    gradient : tuple of float
        Diagonal of the selection field's gradient (x, y, z) in T/m.
    samples : int
        V, samples in one period.
    channels : int
        C, receive channels.
    averages : int
        Periods averaged into one frame.
    conversion : array of float64, shape (C, 2), or None
        Scale and offset from stored numbers to V; None where they are V.
    manufacturer, topology : str
    """

    time: datetime
    start_time: datetime
    simulated: bool
    scanner: str
    base_frequency: float
    dividers: tuple[int, ...]
    drive_field: tuple[float, ...]
    gradient: tuple[float, float, float]
    samples: int
    channels: int
    averages: int
    conversion: NDArray[np.float64] | None = None
    manufacturer: str = "n.a."
    topology: str = "FFP"

    @property
    def cycle(self) -> float:
        """Duration of one period of the trajectory in s."""
        return int(np.lcm.reduce(self.dividers)) / self.base_frequency


@dataclass(frozen=True)
class Measurement:
    """Frames as they are stored.

    Parameters
    ----------
    data : array
        (N, J, C, V) in time, or (N, J, C, K) complex, or (J, C, K, N) with the fast frame axis.
    is_background : array of bool, shape (N,)
        In stored order.
    is_fourier_transformed, is_fast_frame_axis, is_background_corrected : bool
    frame_permutation : array of int64, shape (N,), or None
        1-based place in time of each stored frame; None where frames are stored as they came.
    conversion : array of float64, shape (C, 2), or None
    samples : int
        V.
    """

    data: NDArray[Any]
    is_background: NDArray[np.bool_]
    is_fourier_transformed: bool
    is_fast_frame_axis: bool
    is_background_corrected: bool
    frame_permutation: NDArray[np.int64] | None
    conversion: NDArray[np.float64] | None
    samples: int

    def volts(self) -> NDArray[np.float64]:
        """Receive signal in V, shape (N, J, C, V).

        Raises
        ------
        MdfError
            The data is stored in frequency space.
        """
        if self.is_fourier_transformed:
            raise MdfError("the data is stored in frequency space: take spectra()")
        data = np.moveaxis(self.data, -1, 0) if self.is_fast_frame_axis else self.data
        volts = np.asarray(data, dtype=np.float64)
        if self.conversion is not None:
            volts = volts * self.conversion[:, 0, None] + self.conversion[:, 1, None]
        return volts

    def spectra(self) -> NDArray[np.complexfloating[Any, Any]]:
        """Fourier coefficients of each period, unnormalised (as `numpy.fft.rfft`), shape (N, J, C, K)."""
        if self.is_fourier_transformed:
            return np.moveaxis(self.data, -1, 0) if self.is_fast_frame_axis else self.data
        return np.asarray(np.fft.rfft(self.volts(), axis=-1))


@dataclass(frozen=True)
class Calibration:
    """The grid of a system matrix.

    Parameters
    ----------
    size : tuple of int
        Voxels (nx, ny, nz); x runs fastest among the foreground frames.
    field_of_view, center : tuple of float
        (x, y, z) in m.
    positions : array of float64, shape (O, 3), or None
        (x, y, z) in m.
    delta_sample_size : tuple of float or None
        (x, y, z) in m.
    method : str
        ``"robot"``, ``"hybrid"`` or ``"simulation"``.
    snr : array of float64, shape (J, C, K), or None
    """

    size: tuple[int, int, int]
    field_of_view: tuple[float, float, float]
    center: tuple[float, float, float]
    positions: NDArray[np.float64] | None
    delta_sample_size: tuple[float, float, float] | None
    method: str
    snr: NDArray[np.float64] | None

    @property
    def grid(self) -> Grid:
        """The voxels of a matrix in one plane.

        Raises
        ------
        MdfError
            It has several planes.
        """
        return _plane(self.size, self.field_of_view)


@dataclass(frozen=True)
class Reconstruction:
    """Pictures.

    Parameters
    ----------
    data : array, shape (Q, P, S)
        Frames, voxels (x fastest), channels.
    size : tuple of int
        Voxels (nx, ny, nz).
    field_of_view, center : tuple of float
        (x, y, z) in m.
    positions : array of float64, shape (P, 3), or None
        (x, y, z) in m.
    """

    data: NDArray[Any]
    size: tuple[int, int, int]
    field_of_view: tuple[float, float, float]
    center: tuple[float, float, float]
    positions: NDArray[np.float64] | None

    @property
    def grid(self) -> Grid:
        """The voxels of a picture in one plane.

        Raises
        ------
        MdfError
            It has several planes.
        """
        return _plane(self.size, self.field_of_view)

    def images(self) -> NDArray[Any]:
        """Pictures of the first channel, shape (Q, ny, nx), or (Q, nz, ny, nx) of a volume."""
        nx, ny, nz = self.size
        shape = (ny, nx) if nz == 1 else (nz, ny, nx)
        return self.data[:, :, 0].reshape(len(self.data), *shape)


@dataclass(frozen=True)
class Mdf:
    """One file.

    Parameters
    ----------
    path : Path
    version, uuid : str
    setting : Setting
    labels : Labels
    measurement, calibration, reconstruction
        Each None where the file has none.
    provenance : mapping or None
        What the writer's caller gave.
    extras : mapping of str
        Other scalars and texts under ``/_nixel``.
    assumptions : tuple of str
        What the file lacks and was assumed.
    """

    path: Path
    version: str
    uuid: str
    setting: Setting
    labels: Labels
    measurement: Measurement | None
    calibration: Calibration | None
    reconstruction: Reconstruction | None
    provenance: Mapping[str, Any] | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``"reconstruction"``, ``"calibration"`` or ``"measurement"``."""
        if self.reconstruction is not None:
            return "reconstruction"
        return "calibration" if self.calibration is not None else "measurement"

"""What an MDF file holds, as plain data.

Names and dimensions follow the Magnetic Particle Imaging Data Format 2.1.0 (Knopp et al., arXiv:1602.06072):
N frames, J periods a frame, C receive channels, V samples a period, K = V/2 + 1 frequencies, D drive-field
channels, O foreground frames of a calibration, Q frames, P voxels and S channels of a reconstruction.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.mdf_sparsity import SparseFrames
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


def _in_space(values: NDArray[Any], size: tuple[int, int, int], order: str) -> NDArray[Any]:
    """Values of voxels, shape (..., voxels), as volumes, shape (..., nz, ny, nx)."""
    counts = dict(zip("xyz", size, strict=True))
    slowest_first = order[::-1]
    volume = values.reshape(*values.shape[:-1], *(counts[axis] for axis in slowest_first))
    leading = values.ndim - 1
    return volume.transpose(*range(leading), *(leading + slowest_first.index(axis) for axis in "zyx"))


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
    offset_fields : array of float64, shape (J, 3), or None
        Focus field (x, y, z) of each period in T; None where it is zero.
    gradients : array of float64, shape (J, 3, 3), or None
        Gradient of each period in T/m; None where it is `gradient` in all.
    drive_fields : array of float64, shape (J, D), or None
        Amplitudes in each period in T; None where they are `drive_field` in all.
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
    offset_fields: NDArray[np.float64] | None = None
    gradients: NDArray[np.float64] | None = None
    drive_fields: NDArray[np.float64] | None = None

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
        (N, J, C, V) in time, or (N, J, C, K) complex, or (J, C, K, N) with the fast frame axis. Of a file that is
        open, the numbers in the file: take `frames`.
    is_background : array of bool, shape (N,)
        In stored order.
    is_fourier_transformed, is_fast_frame_axis, is_background_corrected : bool
    frame_permutation : array of int64, shape (N,), or None
        1-based place in time of each stored frame; None where frames are stored as they came.
    conversion : array of float64, shape (C, 2), or None
    samples : int
        V.
    frequency_selection : array of int64, shape (K,), or None
        1-based numbers of the frequencies that are stored; None where it is the first K of them.
    """

    data: Any
    is_background: NDArray[np.bool_]
    is_fourier_transformed: bool
    is_fast_frame_axis: bool
    is_background_corrected: bool
    frame_permutation: NDArray[np.int64] | None
    conversion: NDArray[np.float64] | None
    samples: int
    frequency_selection: NDArray[np.int64] | None = None

    @property
    def frequencies(self) -> NDArray[np.int64]:
        """Which of the V / 2 + 1 frequencies `spectra` gives, from 0, shape (K,)."""
        if self.frequency_selection is not None:
            return self.frequency_selection - 1
        if not self.is_fourier_transformed:
            return np.arange(self.data.shape[-2 if self.is_fast_frame_axis else -1] // 2 + 1)
        return np.arange(self.data.shape[-2 if self.is_fast_frame_axis else -1])

    def frames(self, start: int = 0, stop: int | None = None) -> Measurement:
        """Frames from `start` up to `stop` in stored order, in memory; the whole may be larger than that.

        Parameters
        ----------
        start, stop : int
            As of a slice.

        Returns
        -------
        Measurement
            Of these frames alone; the frame permutation still tells their places among all.

        Raises
        ------
        MdfError
            The file cannot be read there.
        """
        part = slice(*slice(start, stop).indices(len(self.is_background))[:2])
        try:
            if isinstance(self.data, SparseFrames):
                data = self.data.frames(part.start, part.stop)
            else:
                data = np.asarray(self.data[..., part] if self.is_fast_frame_axis else self.data[part])
        except (OSError, RuntimeError, ValueError) as error:
            raise MdfError(
                f"/measurement/data: frames {part.start} to {part.stop} cannot be read ({error})"
            ) from error
        order = self.frame_permutation
        return replace(
            self,
            data=data,
            is_background=self.is_background[part],
            frame_permutation=None if order is None else order[part],
        )

    def volts(self) -> NDArray[np.float64]:
        """Receive signal in V, shape (N, J, C, V).

        Raises
        ------
        MdfError
            The data is stored in frequency space.
        """
        if self.is_fourier_transformed:
            raise MdfError("the data is stored in frequency space: take spectra()")
        stored = np.asarray(self.data)
        data = np.moveaxis(stored, -1, 0) if self.is_fast_frame_axis else stored
        volts = np.asarray(data, dtype=np.float64)
        if self.conversion is not None:
            volts = volts * self.conversion[:, 0, None] + self.conversion[:, 1, None]
        return volts

    def spectra(self) -> NDArray[np.complexfloating[Any, Any]]:
        """Fourier coefficients of each period, unnormalised (as `numpy.fft.rfft`), shape (N, J, C, K)."""
        if self.is_fourier_transformed:
            data: NDArray[Any] = np.asarray(self.data)
            return np.moveaxis(data, -1, 0) if self.is_fast_frame_axis else data
        return np.asarray(np.fft.rfft(self.volts(), axis=-1))


@dataclass(frozen=True)
class Calibration:
    """The grid of a system matrix.

    Parameters
    ----------
    size : tuple of int
        Voxels (nx, ny, nz).
    field_of_view, center : tuple of float
        (x, y, z) in m.
    positions : array of float64, shape (O, 3), or None
        (x, y, z) in m.
    delta_sample_size : tuple of float or None
        (x, y, z) in m.
    method : str
        ``"robot"``, ``"hybrid"`` or ``"simulation"``.
    snr : array of float64, shape (J, C, K), or None
    offset_fields : array of float64, shape (O, 3), or None
        (x, y, z) in T/mu0, where fields stood in for places.
    order : str
        The axes of the grid in the order of the foreground frames, the fastest first.
    """

    size: tuple[int, int, int]
    field_of_view: tuple[float, float, float]
    center: tuple[float, float, float]
    positions: NDArray[np.float64] | None
    delta_sample_size: tuple[float, float, float] | None
    method: str
    snr: NDArray[np.float64] | None
    offset_fields: NDArray[np.float64] | None = None
    order: str = "xyz"

    def by_place(self) -> NDArray[np.int64]:
        """Numbers of the foreground frames, from 0, in the order in which x runs fastest, shape (O,)."""
        numbers = np.arange(int(np.prod(self.size)), dtype=np.int64)
        return _in_space(numbers, self.size, self.order).reshape(-1)

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
        Frames, voxels, channels.
    size : tuple of int
        Voxels (nx, ny, nz).
    field_of_view, center : tuple of float
        (x, y, z) in m.
    positions : array of float64, shape (P, 3), or None
        (x, y, z) in m.
    is_overscan : array of bool, shape (P,), or None
        Which voxels the field-free region never came to.
    order : str
        The axes of the grid in the order of the voxels, the fastest first.
    """

    data: NDArray[Any]
    size: tuple[int, int, int]
    field_of_view: tuple[float, float, float]
    center: tuple[float, float, float]
    positions: NDArray[np.float64] | None
    is_overscan: NDArray[np.bool_] | None = None
    order: str = "xyz"

    @property
    def grid(self) -> Grid:
        """The voxels of a picture in one plane.

        Raises
        ------
        MdfError
            It has several planes.
        """
        return _plane(self.size, self.field_of_view)

    def images(self, channel: int = 0) -> NDArray[Any]:
        """Pictures of one channel, the first if not said, shape (Q, ny, nx), or (Q, nz, ny, nx) of a volume."""
        images = _in_space(self.data[:, :, channel], self.size, self.order)
        return images[:, 0] if self.size[2] == 1 else images


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
    fields : mapping of str
        Every field of the specification that the file has, but for the data, by its path and as it is stored.
    user_defined : tuple of str
        Paths of what its writer added.
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
    fields: Mapping[str, Any] = field(default_factory=dict)
    user_defined: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``"reconstruction"``, ``"calibration"`` or ``"measurement"``."""
        if self.reconstruction is not None:
            return "reconstruction"
        return "calibration" if self.calibration is not None else "measurement"

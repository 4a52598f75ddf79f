"""A calibration and a scan of a phantom that were never measured, in the files that a scanner would have written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.atomic import atomic_folder
from nixel.acquisition.formats.mdf import Labels, Setting, Tracer, write_calibration, write_measurement
from nixel.physics.grid import Grid
from nixel.physics.mpi import (
    CartesianDrive,
    Drift,
    DriveField,
    FeedThrough,
    FieldFreePoint,
    MeasuredTransfer,
    Particles,
    ProjectionDrive,
    ReceiveCoils,
    RotatingDrive,
    calibrate,
    flicker_density,
    focus_for,
    measure,
    multi_patch_signal,
    signal,
)
from nixel.physics.phantoms import phantom

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from nixel.acquisition.formats.mdf import DatasetInfo

    Progress = Callable[[str, int, int], None]
    Trajectory = DriveField | CartesianDrive | ProjectionDrive | RotatingDrive

FILES = ("calibration.mdf", "scan.mdf")
_CONCENTRATION = 100.0  # mol(Fe)/m^3 of the calibration sample
_BACKGROUND_FRAMES = 8
_SENSITIVITY = 1000.0  # 1/m, of a receive coil along each axis
# The phantom is simulated on other and finer voxels than those of the calibration (no inverse crime).
_FINER = 2.3
# A simulated scanner's clock starts anew with every simulation, so that the same seed gives the same bytes.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Bore:
    """What the receive coils see of the scanner itself.

    Parameters
    ----------
    noise : float
        Standard deviation of a sample of a single period, V.
    corner : float
        Frequency in Hz below which the noise rises as 1/f; zero: it is white.
    feed_through : float
        Amplitude in V of the drive frequencies that feed through; a tenth of it of their second and third harmonics.
    drift : float
        Relative change of the feed-through as the scanner warms up, in a minute.
    transfer : MeasuredTransfer, tuple of them, or None
        Of the receive path, for all channels or one for each.
    """

    noise: float
    corner: float = 0.0
    feed_through: float = 0.0
    drift: float = 0.0
    transfer: MeasuredTransfer | tuple[MeasuredTransfer, ...] | None = None


@dataclass(frozen=True)
class Simulated:
    """What is simulated: a trajectory of a field-free point or line, and what is in its field of view.

    Parameters
    ----------
    grid : Grid
        Places of the calibration sample, which fills a voxel; in the plane or in space.
    drive : DriveField, CartesianDrive, ProjectionDrive or RotatingDrive
        A point on a Lissajous trajectory or on lines along x, one axis for each of the grid's; or a line at several
        angles or that turns, in the plane.
    gradient : tuple of float
        Of a point, (x, y, z) in T/m; of a line, along its normal, z not used.
    particles : Particles
    subject : str
        Name of a phantom.
    averages : int
        Periods averaged into a frame.
    frames : int
        Of the scan.
    bore : Bore
    seed : int
        Of the noise.
    centres : array of float, shape (patches, axes), or None
        Where the focus fields move the point, (x, y[, z]) in m; None: it stays.
    """

    grid: Grid
    drive: Trajectory
    gradient: tuple[float, float, float]
    particles: Particles
    subject: str
    averages: int
    frames: int
    bore: Bore
    seed: int
    centres: NDArray[np.float64] | None = None

    @property
    def selection(self) -> Any:  # noqa: ANN401  a selection field
        """Selection field."""
        if isinstance(self.drive, ProjectionDrive | RotatingDrive):
            return self.drive.line(self.gradient[0])
        return FieldFreePoint(self.gradient)


def simulate(
    asked: Simulated, out: Path, provenance: Mapping[str, Any], workers: int, progress: Progress
) -> list[DatasetInfo]:
    """Simulate, and write both files, or none.

    Parameters
    ----------
    asked : Simulated
    out : Path
        A folder: new, or one of an earlier simulation.
    provenance : mapping
        Stored in both.
    workers : int
        Threads.
    progress : callable
        Told (what is being done, steps done, steps in all).

    Returns
    -------
    list of DatasetInfo
        Of the calibration and of the scan.

    Raises
    ------
    ValueError
        If a number is out of its range or a name unknown.
    FileExistsError
        If the folder holds other things.
    OSError
        If it cannot be written.
    """
    drive = asked.drive
    coils = ReceiveCoils((_SENSITIVITY,) * drive.axes, measured=asked.bore.transfer)
    # One-sided: white noise of this density has that deviation.
    density: Any = asked.bore.noise**2 / (drive.base_frequency / 2)
    if asked.bore.corner > 0:
        density = flicker_density(density, asked.bore.corner)
    empty, drift = _empty_bore(asked)
    phantom(asked.subject)  # unknown, before the calibration takes its time
    with atomic_folder(out, replaceable=FILES) as folder:
        measured = calibrate(
            asked.grid,
            drive,
            asked.selection,
            asked.particles,
            coils=coils,
            concentration=_CONCENTRATION,
            averages=asked.averages,
            background_frames=_BACKGROUND_FRAMES,
            density=density,
            background=empty,
            drift=drift,
            seed=asked.seed,
            workers=workers,
            progress=lambda done, total: progress("calibration", done, total),
        )
        spectra = np.concatenate([measured.measured, measured.background]).astype(np.complex64, copy=False)
        if spectra.ndim == 3:
            spectra = spectra[:, :, None]  # one segment
        samples = drive.samples // drive.segments
        # Theirs are divided by the number of samples, those of the file are not. Segments are the file's periods.
        unnormalised: NDArray[np.complexfloating[Any, Any]] = np.ascontiguousarray(
            np.transpose(spectra, (2, 1, 3, 0)) * np.float32(samples)
        )
        times = np.concatenate([measured.times, measured.background_times])
        x, y, z = (*asked.grid.spacing[::-1], asked.grid.thickness)[:3]
        sample = (x, y, z)
        calibration = write_calibration(
            folder / FILES[0],
            _setting(asked, None, None),
            unnormalised,
            asked.grid,
            frame_permutation=np.argsort(np.argsort(times)) + 1,
            delta_sample_size=sample,
            snr=None,
            method="simulation",
            labels=_labels("calibration", "delta sample", math.prod(sample) * 1e3),
            provenance=provenance,
        )
        volts = _scene(asked, coils, workers, progress)
        frames = _frames(asked, volts, density, empty, drift)
        scan = write_measurement(
            folder / FILES[1],
            _setting(asked, np.tile([1.0, 0.0], (drive.axes, 1)), asked.centres),
            frames.astype(np.float32),
            np.arange(len(frames)) < _BACKGROUND_FRAMES,
            labels=_labels("scan", asked.subject, math.nan),
            provenance=provenance,
        )
    return [calibration, scan]


def _empty_bore(asked: Simulated) -> tuple[NDArray[np.float64] | None, Drift | None]:
    """Voltage of one period of the empty bore, and how it drifts."""
    if asked.bore.feed_through == 0 or not isinstance(asked.drive, DriveField):
        return None, None
    first = asked.bore.feed_through
    through = FeedThrough((first, first / 10, first / 10))
    return through.voltage(asked.drive, asked.drive.axes), Drift(warm_up=asked.bore.drift, warm_up_time=60.0)


def _scene(asked: Simulated, coils: ReceiveCoils, workers: int, progress: Progress) -> NDArray[np.float64]:
    """Voltage of each period of a frame, (periods, channels, samples)."""
    extents = asked.grid.field_of_view
    if asked.centres is not None:
        # All that any patch sees.
        reach = np.ptp(asked.centres, axis=0)[::-1]
        extents = tuple(float(extent + more) for extent, more in zip(extents, reach, strict=True))
    fine = Grid(
        tuple(
            math.ceil(extent / step * _FINER)
            for extent, step in zip(extents, asked.grid.spacing, strict=True)
        ),
        extents,
        asked.grid.thickness,
    )
    iron = phantom(asked.subject).rasterise(fine).ravel()
    options: dict[str, Any] = {
        "coils": coils,
        "voxel_volume": fine.voxel_volume,
        "workers": workers,
        "progress": lambda done, total: progress("scan", done, total),
    }
    places = (fine.positions(), asked.drive, asked.selection, asked.particles)
    if asked.centres is not None:
        return multi_patch_signal(iron, *places, asked.centres, **options)
    volts = signal(iron, *places, **options)
    return np.swapaxes(volts.reshape(len(volts), asked.drive.segments, -1), 0, 1)


def _frames(
    asked: Simulated,
    volts: NDArray[np.float64],
    density: Any,  # noqa: ANN401  a number or a function of the frequency
    empty: NDArray[np.float64] | None,
    drift: Drift | None,
) -> NDArray[np.float64]:
    """Frames of the empty bore and then of the sample, (frames, periods, channels, samples)."""
    frames = _BACKGROUND_FRAMES + asked.frames
    result = np.empty((frames, *volts.shape))
    for period in range(len(volts)):
        # Every period has noise of its own, and none of the calibration's.
        seed = int(np.random.SeedSequence([asked.seed, 1, period]).generate_state(1)[0])
        result[:, period], _ = measure(
            np.zeros(volts.shape[1:]),
            asked.drive.base_frequency,
            frames=frames,
            averages=asked.averages,
            density=density,
            background=empty,
            drift=drift,
            seed=seed,
        )
    result[_BACKGROUND_FRAMES:] += volts
    return result


def _setting(
    asked: Simulated, conversion: NDArray[np.float64] | None, centres: NDArray[np.float64] | None
) -> Setting:
    drive = asked.drive
    common: dict[str, Any] = {
        "time": _EPOCH,
        "start_time": _EPOCH,
        "simulated": True,
        "scanner": "simulation",
        "base_frequency": drive.base_frequency,
        "samples": drive.samples // drive.segments,
        "channels": drive.axes,
        "averages": asked.averages,
        "conversion": conversion,
    }
    if isinstance(drive, ProjectionDrive):
        gradients = drive.line(asked.gradient[0]).gradient(
            (np.arange(drive.segments) + 0.5) * drive.samples / drive.segments / drive.base_frequency
        )
        normal = np.stack([-np.sin(drive.angles), np.cos(drive.angles)], axis=-1)
        strengths = drive.amplitude * normal
        x, y, z = np.diag(gradients[0]).tolist()
        return Setting(
            **common,
            topology="FFL",
            dividers=(drive.divider,) * 2,
            drive_field=tuple(strengths[0].tolist()),
            gradient=(x, y, z),
            gradients=gradients,
            drive_fields=strengths,
        )
    if isinstance(drive, RotatingDrive):
        # At the beginning, when the line lies along x; a file has no words for a gradient that turns in a period.
        x, y, z = np.diag(drive.line(asked.gradient[0]).gradient(np.zeros(1))[0]).tolist()
        return Setting(
            **common,
            topology="FFL",
            dividers=(drive.divider, drive.rotation_divider),
            drive_field=(drive.amplitude,) * 2,
            gradient=(x, y, z),
        )
    if isinstance(drive, CartesianDrive):
        places = np.zeros((drive.segments, 3))
        places[:, : drive.axes] = drive.line_fields()
        return Setting(
            **common,
            dividers=(drive.divider,) * drive.axes,
            drive_field=(drive.amplitudes[0],) + (0.0,) * (drive.axes - 1),
            gradient=asked.gradient,
            offset_fields=places,
        )
    offsets = None
    if centres is not None:
        offsets = np.zeros((len(centres), 3))
        offsets[:, : drive.axes] = focus_for(asked.selection, centres)
    return Setting(
        **common,
        dividers=drive.dividers,
        drive_field=drive.amplitudes,
        gradient=asked.gradient,
        offset_fields=offsets,
    )


def _labels(experiment: str, subject: str, volume: float) -> Labels:
    return Labels(
        experiment=experiment, subject=subject, tracer=Tracer("simulated", _CONCENTRATION * 1e-3, volume)
    )

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
from nixel.physics.mpi import DriveField, FieldFreePoint, Particles, ReceiveCoils, calibrate, noise, signal
from nixel.physics.phantoms import phantom

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from nixel.acquisition.formats.mdf import DatasetInfo

    Progress = Callable[[str, int, int], None]

FILES = ("calibration.mdf", "scan.mdf")
_CONCENTRATION = 100.0  # mol(Fe)/m^3 of the calibration sample
_BACKGROUND_FRAMES = 8
_SENSITIVITY = 1000.0  # 1/m, of a receive coil along each axis
# The phantom is simulated on other and finer voxels than those of the calibration (no inverse crime).
_FINER = 2.3
# A simulated scanner's clock starts anew with every simulation, so that the same seed gives the same bytes.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Simulated:
    """What is simulated: a field-free point on a Lissajous trajectory, and what is in its field of view.

    Parameters
    ----------
    grid : Grid
        Places of the calibration sample, which fills a voxel; in the plane or in space.
    drive : DriveField
        One axis for each of the grid's.
    selection : FieldFreePoint
    core_diameter : float
        Of the particles, m.
    subject : str
        Name of a phantom.
    averages : int
        Periods averaged into a frame.
    frames : int
        Of the scan.
    noise : float
        Standard deviation of a sample of a single period, V.
    seed : int
        Of the noise.
    """

    grid: Grid
    drive: DriveField
    selection: FieldFreePoint
    core_diameter: float
    subject: str
    averages: int
    frames: int
    noise: float
    seed: int


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
    drive, particles = asked.drive, Particles(core_diameter=asked.core_diameter)
    coils = ReceiveCoils((_SENSITIVITY,) * len(drive.dividers))
    samples = math.lcm(*drive.dividers)
    # One-sided: white noise of this density has that deviation.
    density = asked.noise**2 / (drive.base_frequency / 2)
    subject = phantom(asked.subject)
    with atomic_folder(out, replaceable=FILES) as folder:
        measured = calibrate(
            asked.grid,
            drive,
            asked.selection,
            particles,
            coils=coils,
            concentration=_CONCENTRATION,
            averages=asked.averages,
            background_frames=_BACKGROUND_FRAMES,
            density=density,
            seed=asked.seed,
            workers=workers,
            progress=lambda done, total: progress("calibration", done, total),
        )
        spectra = np.concatenate([measured.measured, measured.background]).astype(np.complex64, copy=False)
        # Theirs are divided by the number of samples, those of the file are not.
        unnormalised: NDArray[np.complexfloating[Any, Any]] = np.moveaxis(spectra, 0, -1)[None] * np.float32(
            samples
        )
        times = np.concatenate([measured.times, measured.background_times])
        x, y, z = (*asked.grid.spacing[::-1], asked.grid.thickness)[:3]
        sample = (x, y, z)
        calibration = write_calibration(
            folder / FILES[0],
            _setting(asked, samples, None),
            unnormalised,
            asked.grid,
            frame_permutation=np.argsort(np.argsort(times)) + 1,
            delta_sample_size=sample,
            snr=None,
            method="simulation",
            labels=_labels("calibration", "delta sample", math.prod(sample) * 1e3),
            provenance=provenance,
        )
        fine = Grid(
            tuple(math.ceil(count * _FINER) for count in asked.grid.shape),
            asked.grid.field_of_view,
            asked.grid.thickness,
        )
        volts = signal(
            subject.rasterise(fine).ravel(),
            fine.positions(),
            drive,
            asked.selection,
            particles,
            coils=coils,
            voxel_volume=fine.voxel_volume,
            workers=workers,
            progress=lambda done, total: progress("scan", done, total),
        )
        frames = asked.frames + _BACKGROUND_FRAMES
        data = noise(
            (frames, 1, *volts.shape),
            density / asked.averages,
            drive.base_frequency,
            seed=np.random.default_rng([asked.seed, 1]),
        )
        data[_BACKGROUND_FRAMES:] += volts
        scan = write_measurement(
            folder / FILES[1],
            _setting(asked, samples, np.tile([1.0, 0.0], (len(volts), 1))),
            data.astype(np.float32),
            np.arange(frames) < _BACKGROUND_FRAMES,
            labels=_labels("scan", asked.subject, math.nan),
            provenance=provenance,
        )
    return [calibration, scan]


def _setting(asked: Simulated, samples: int, conversion: Any) -> Setting:  # noqa: ANN401
    x, y, z = asked.selection.gradients
    return Setting(
        time=_EPOCH,
        start_time=_EPOCH,
        simulated=True,
        scanner="simulation",
        base_frequency=asked.drive.base_frequency,
        dividers=asked.drive.dividers,
        drive_field=asked.drive.amplitudes,
        gradient=(x, y, z),
        samples=samples,
        channels=len(asked.drive.dividers),
        averages=asked.averages,
        conversion=conversion,
    )


def _labels(experiment: str, subject: str, volume: float) -> Labels:
    return Labels(
        experiment=experiment, subject=subject, tracer=Tracer("simulated", _CONCENTRATION * 1e-3, volume)
    )

"""From MDF files to a volume of iron, with the solver that is asked for: one function of its inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.mdf import Mdf, read_mdf
from nixel.acquisition.formats.volumes import Volume
from nixel.imaging.errors import UserError
from nixel.imaging.mpi_matrix import Choice, SystemRows, read_calibration, system_rows
from nixel.imaging.mpi_pair import check_together, iron_per_voxel
from nixel.imaging.mpi_signal import kept_frequencies, scan_spectra
from nixel.reconstruction.mpi import CGNR, FISTA, Kaczmarz, MultiPatchKaczmarz, Patch, patches_on_grid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from nixel.reconstruction.cluster import Cluster

    Progress = Callable[[str, int, int], None]

METHODS = ("kaczmarz", "cgnr", "fista")


@dataclass(frozen=True)
class Solving:
    """How a system matrix is solved.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    iterations : int
    relative_lambda : float
        Regularisation relative to the mean energy of a column.
    l1, total_variation : float
        Of FISTA.
    signed : bool
        Keep negative values, which Kaczmarz and FISTA take out otherwise.
    choice : Choice
        Of the rows.
    background : str
        As of `scan_spectra`.
    leakage : bool
        As of `scan_spectra`.
    frames : int
        Solved together.
    """

    method: str
    iterations: int
    relative_lambda: float
    l1: float
    total_variation: float
    signed: bool
    choice: Choice
    background: str
    leakage: bool
    frames: int


@dataclass(frozen=True)
class Resources:
    """What a reconstruction may use; the result does not depend on it, but for the last bits.

    Parameters
    ----------
    workers : int
        Threads of a process.
    memory : int or None
        Bytes of the system matrix, beyond which it is kept in a file.
    scratch : Path
        Folder for that file.
    cluster : Cluster or None
        Where blocks of frames are solved; None: here.
    """

    workers: int
    memory: int | None
    scratch: Path
    cluster: Cluster | None


@dataclass(frozen=True)
class Solved:
    """A volume, and how much of the measurement went into it.

    Parameters
    ----------
    volume : Volume
        Iron in mol/m^3.
    rows : int
        Frequencies of all channels that were used.
    patches : int
        Places of the field-free point, or the field-free line's angles.
    simulated : bool
        Whether any of it comes from a simulation.
    """

    volume: Volume
    rows: int
    patches: int
    simulated: bool


@dataclass(frozen=True)
class _Layout:
    """Where the patches of a scan lie: none, where all of it is measured with one matrix."""

    patches: tuple[Patch, ...]
    shape: tuple[int, ...]
    centre: NDArray[np.float64]


@dataclass(frozen=True)
class _Prepared:
    """A solver, its matrix prepared; it is sent to a cluster's workers as it is."""

    solver: Any
    iterations: int
    options: dict[str, Any]

    def __call__(self, u: Any, progress: Callable[[int, int], None] | None = None) -> NDArray[Any]:  # noqa: ANN401
        return np.asarray(self.solver.solve(u, self.iterations, progress=progress, **self.options))


def solve(
    scan_path: Path, matrix_path: Path, solving: Solving, resources: Resources, progress: Progress
) -> Solved:
    """Reconstruct a scan with a calibration.

    A scan of several periods a frame belongs to a calibration of as many (the angles of a field-free line, which are
    solved jointly), or to one of a single period: then its periods are patches, whose focus fields say where they lie.

    Parameters
    ----------
    scan_path, matrix_path : Path
        MDF files of the same scanner settings.
    solving : Solving
    resources : Resources
    progress : callable
        Told (what is being done, steps done, steps in all).

    Returns
    -------
    Solved

    Raises
    ------
    MdfError, UserError, ValueError
        If a file is not what it should be, the two do not belong together, or a setting is out of its range.
    """
    scan = read_mdf(scan_path)
    matrix = read_calibration(matrix_path, mapped=resources.memory is not None)
    check_together(scan, matrix)
    layout = _layout(scan, matrix)
    if layout.patches and solving.method != "kaczmarz":
        raise UserError(
            f"{scan_path}: of its {len(layout.patches)} patches: expected --method kaczmarz, found {solving.method}"
        )
    spectra = scan_spectra(
        scan,
        background=solving.background,
        leakage=solving.leakage,
        frequencies=kept_frequencies(matrix),
    )
    with system_rows(matrix, solving.choice, resources.memory, resources.scratch, progress) as rows:
        prepared = _prepare(rows, solving, layout, resources.workers, progress)
        blocks = [
            _measured(rows, spectra[start : start + solving.frames], layout)
            for start in range(0, len(spectra), solving.frames)
        ]
        relative = _in_blocks(prepared, blocks, resources.cluster, solving.method, progress)
        count = len(rows.channel) * max(1, len(layout.patches))
    volume = _volume(relative, scan, matrix, layout)
    simulated = scan.setting.simulated or matrix.setting.simulated
    return Solved(volume, count, spectra.shape[1], simulated)


def _layout(scan: Mdf, matrix: Mdf) -> _Layout:
    """Where the patches lie, or that there are none."""
    assert scan.measurement is not None
    assert matrix.measurement is not None
    assert matrix.calibration is not None
    ours = scan.measurement.spectra().shape[1]
    theirs = matrix.measurement.spectra().shape[1]
    size, extents = matrix.calibration.size[::-1], matrix.calibration.field_of_view[::-1]
    centre = np.asarray(matrix.calibration.center[::-1], dtype=float)
    # One patch, moved, is a patch too.
    moved = theirs == 1 and scan.setting.offset_fields is not None and matrix.setting.offset_fields is None
    if ours == theirs and not moved:
        for name in ("gradients", "drive_fields", "offset_fields"):
            a, b = (_or_zero(getattr(mdf.setting, name)) for mdf in (scan, matrix))
            if not np.array_equal(a, b):
                raise UserError(
                    f"{scan.path} and {matrix.path} do not belong together: expected the {name} of their {ours} "
                    "periods to be alike, found others. Calibrate with the settings of the scan."
                )
        return _Layout((), size, centre)
    if theirs != 1 or scan.setting.offset_fields is None:
        raise UserError(
            f"{scan.path} and {matrix.path} do not belong together: expected as many periods a frame, or a calibration "
            f"of one period and a scan of patches with their focus fields, found {ours} and {theirs} periods"
        )
    spacing = tuple(extent / count for extent, count in zip(extents, size, strict=True))
    # The field-free point is where the focus field and the gradient cancel.
    places = (-scan.setting.offset_fields / np.asarray(scan.setting.gradient))[:, ::-1] + centre
    patches, shape, middle = patches_on_grid(places, size, spacing)
    return _Layout(tuple(patches), shape, middle)


def _or_zero(values: NDArray[Any] | None) -> NDArray[Any]:
    return np.zeros(1) if values is None else values


def _measured(rows: SystemRows, spectra: NDArray[Any], layout: _Layout) -> Any:  # noqa: ANN401
    if not layout.patches:
        return rows.measured(spectra)
    return [rows.measured(spectra[:, period : period + 1]) for period in range(len(layout.patches))]


def _prepare(
    rows: SystemRows, solving: Solving, layout: _Layout, workers: int, progress: Progress
) -> _Prepared:
    assert rows.calibration.calibration is not None
    size = rows.calibration.calibration.size[::-1]

    def report(done: int, total: int) -> None:
        progress("preparing", done, total)

    options: dict[str, Any] = {"workers": workers}
    signs = {"non_negative": not solving.signed}
    if solving.method == "cgnr":
        # The best real solution; it has no other constraint, so that what is negative in it tells of the noise.
        solver: Any = CGNR(rows.source, solving.relative_lambda, progress=report)
        return _Prepared(solver, solving.iterations, options)
    if solving.method == "fista":
        # A single plane has no variation across it.
        grid = tuple(count for count in size if count > 1)
        solver = FISTA(
            rows.source,
            relative_lambda=solving.relative_lambda,
            l1=solving.l1,
            total_variation=solving.total_variation,
            grid=grid if solving.total_variation else None,
            workers=workers,
            progress=report,
        )
    elif layout.patches:
        solver = MultiPatchKaczmarz(
            [rows.source],
            [size],
            layout.patches,
            layout.shape,
            solving.relative_lambda,
            workers=workers,
            progress=report,
        )
    else:
        solver = Kaczmarz(rows.source, solving.relative_lambda, workers=workers, progress=report)
    return _Prepared(solver, solving.iterations, options | signs)


def _apply(block: Any, prepared: _Prepared) -> NDArray[Any]:  # noqa: ANN401  one array, or one a patch
    return prepared(block)


def _in_blocks(
    prepared: _Prepared, blocks: list[Any], cluster: Cluster | None, method: str, progress: Progress
) -> NDArray[Any]:
    """Solve block after block, here or on the workers: (frames, voxels)."""
    names = [f"frames of block {number}" for number in range(1, len(blocks) + 1)]
    if cluster is not None:
        shared = cluster.share(prepared)
        found = cluster.map(
            _apply,
            blocks,
            shared=(shared,),
            names=names,
            progress=lambda done, total: progress(f"{method}, blocks of frames", done, total),
        )
    else:
        found = []
        for number, block in enumerate(blocks):

            def report(done: int, total: int, before: int = number) -> None:
                progress(method, before * total + done, len(blocks) * total)

            found.append(prepared(block, report))
    return np.concatenate(found, axis=1).T


def _volume(relative: NDArray[Any], scan: Mdf, matrix: Mdf, layout: _Layout) -> Volume:
    assert matrix.calibration is not None
    calibration = matrix.calibration
    spacing = [
        extent / count
        for extent, count in zip(calibration.field_of_view[::-1], calibration.size[::-1], strict=True)
    ]
    iron = relative * iron_per_voxel(matrix, math.prod(spacing))
    frames = np.ascontiguousarray(iron.reshape(-1, *layout.shape), dtype=relative.dtype)
    origin = [
        float(centre) - (count - 1) / 2 * step
        for centre, count, step in zip(layout.centre, layout.shape, spacing, strict=True)
    ]
    periods = scan.measurement.spectra().shape[1] if scan.measurement is not None else 1
    return Volume(
        frames if len(frames) > 1 else frames[0],
        (spacing[0], spacing[1], spacing[2]),
        (origin[0], origin[1], origin[2]),
        "Iron [mol/m^3]",
        scan.setting.cycle * scan.setting.averages * periods if len(frames) > 1 else None,
    )

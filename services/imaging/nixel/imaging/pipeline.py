"""A job's steps: measure, reconstruct, keep. Each leaves a whole file and then its row, or neither."""

import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from nixel.acquisition.formats.atomic import atomic_write, content_sha256
from nixel.acquisition.formats.mdf import sha256_file, write_reconstruction
from nixel.acquisition.instrument import Instrument
from nixel.acquisition.protocol import CalibrationProtocol, ScanProtocol
from nixel.acquisition.scan import calibrate, measure
from nixel.imaging import microscope_runs, provenance
from nixel.imaging.context import Context
from nixel.imaging.errors import UserError
from nixel.imaging.kept_files import marks_of, size_of
from nixel.imaging.parameters import ReconstructionParameters
from nixel.imaging.reconstruct import Reconstructed, reconstruct
from nixel.imaging.rendering import png
from nixel.imaging.store import Database, DataFolder, Dataset, DatasetKind, Picture, Run

Report = Callable[[str, int, int], None]


def with_seed(protocol: dict[str, Any], instrument: Instrument) -> dict[str, Any]:
    """A simulated run has a seed, so that it can be made again; where none is asked for, one is drawn."""
    if instrument.simulated and protocol.get("seed") is None:
        return {**protocol, "seed": secrets.randbelow(2**31)}
    return protocol


def newest_calibration(session: Session, instrument_id: int) -> Dataset | None:
    """The newest calibration of this very configuration of the instrument."""
    mine = select(Dataset).join(Run, Dataset.run_id == Run.id).where(Run.instrument_id == instrument_id)
    calibrations = mine.where(Dataset.kind == DatasetKind.CALIBRATION)
    return session.scalar(calibrations.order_by(Dataset.id.desc()).limit(1))


def dataset_path(folder: DataFolder, run_id: int, kind: DatasetKind) -> Path:
    """Where a run's dataset goes."""
    return folder.datasets / f"run-{run_id:06}.{'ome.zarr' if kind is DatasetKind.IMAGES else 'mdf'}"


def remove_unfinished_files(folder: DataFolder) -> None:
    """Delete what a killed service was still writing; a file that got its name is whole."""
    for place in (folder.datasets, folder.pictures):
        for part in place.glob(".*.part"):
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink()


def dataset_provenance(instrument: Instrument, kind: DatasetKind, protocol: dict[str, Any]) -> dict[str, Any]:
    """The record of a dataset: no inputs but the instrument and the protocol."""
    return provenance.record(
        kind=str(kind),
        inputs={},
        parameters=protocol,
        seed=protocol.get("seed"),
        instrument={"name": instrument.name, "fingerprint": instrument.fingerprint()},
        simulated=instrument.simulated,
    )


def acquire(
    instrument: Instrument,
    kind: DatasetKind,
    protocol: dict[str, Any],
    path: Path,
    record: dict[str, Any],
    **edges: Any,  # noqa: ANN401 - safety, progress, cancelled, paused, opening: as `measure` has them
) -> None:
    """Measure, and write one dataset that carries its provenance record.

    Raises
    ------
    ScanAborted, SequenceError, DeviceError, RecordingError, MdfError, OSError
        At `path` there may be what was measured until then, as an incomplete dataset.
    """
    if kind is DatasetKind.IMAGES:
        microscope_runs.image(instrument, protocol, path=path, provenance=record, **edges)
    elif kind is DatasetKind.CALIBRATION:
        calibrate(instrument, CalibrationProtocol(**protocol), path=path, provenance=record, **edges)
    else:
        measure(instrument, ScanProtocol(**protocol), path=path, provenance=record, **edges)


def perform(
    context: Context,
    run_id: int,
    *,
    progress: Report,
    cancelled: Callable[[], bool],
    paused: Callable[[], bool],
) -> None:
    """Do what is left of a run.

    Raises
    ------
    ScanAborted
        Safety, a device or a person ended the measurement; the error's notes say what of it is kept.
    DeviceError, RecordingError, MdfError, UserError, OSError
    """
    with context.database.session() as session:
        run = session.get_one(Run, run_id)
        kind = run.kind.dataset_kind
        protocol, parameters, calibration_id = run.protocol, run.reconstruction, run.calibration_id
        kept = session.scalar(select(Dataset.id).where(Dataset.run_id == run_id))
    if kept is None:
        kept = _measured(
            context, run_id, kind, protocol, progress=progress, cancelled=cancelled, paused=paused
        )
    if kind is DatasetKind.MEASUREMENT:
        progress("reconstructing", 0, 1)
        keep_picture(context, run_id, kept, calibration_id, ReconstructionParameters(**parameters))
        progress("reconstructing", 1, 1)


def _measured(
    context: Context,
    run_id: int,
    kind: DatasetKind,
    protocol: dict[str, Any],
    **edges: Any,  # noqa: ANN401 - as `acquire` takes them
) -> int:
    """Measure a run's dataset and enter it into the store, be it incomplete."""
    path = dataset_path(context.folder, run_id, kind)
    record = dataset_provenance(context.instrument, kind, protocol)
    before = path.exists()
    try:
        with context.devices.lent_to(f"run {run_id}") as opening:
            edges |= {"safety": context.safety, "opening": opening}
            acquire(context.instrument, kind, protocol, path, record, **edges)
    except Exception as error:
        if path.exists() and not before:
            number = keep_dataset(context, run_id, kind, path)
            error.add_note(f"What was kept is dataset-{number}.")
        raise
    return keep_dataset(context, run_id, kind, path)


def keep_dataset(context: Context, run_id: int, kind: DatasetKind, path: Path) -> int:
    """Enter a whole file into the store."""
    row = enter_dataset(context.folder, context.database, run_id, kind, path)
    context.record("dataset", f"Dataset {row.id} ({kind}) is kept", run_id=run_id, sha256=row.sha256)
    return row.id


def enter_dataset(
    folder: DataFolder, database: Database, run_id: int, kind: DatasetKind, path: Path
) -> Dataset:
    """Make the row of a whole file."""
    record = marks_of(path).provenance
    if record is None:
        raise UserError(f"{path}: expected a dataset with its provenance, found none in it")
    row = Dataset(
        run_id=run_id,
        kind=kind,
        path=folder.relative(path),
        sha256=content_sha256(path),
        size=size_of(path),
        simulated=record["simulated"],
        provenance=dict(record),
        created_at=datetime.now(UTC),
    )
    with database.session() as session:
        session.add(row)
        session.flush()
    return row


def adopt_whole_file(context: Context, run: Run) -> bool:
    """Enter a run's dataset that was whole when the service ended, but not yet in the store."""
    path = dataset_path(context.folder, run.id, run.kind.dataset_kind)
    with context.database.session() as session:
        known = session.scalar(select(Dataset.id).where(Dataset.run_id == run.id).limit(1))
    if known is not None or not path.exists():
        return False
    keep_dataset(context, run.id, run.kind.dataset_kind, path)
    return True


def picture_provenance(
    measurement: Dataset, calibration: Dataset, parameters: ReconstructionParameters
) -> dict[str, Any]:
    """The record of a picture: the hashes of what it was computed from, and how."""
    return provenance.record(
        kind="picture",
        inputs={"measurement": measurement.sha256, "calibration": calibration.sha256},
        parameters=parameters.model_dump(mode="json"),
        seed=measurement.provenance["seed"],
        instrument=measurement.provenance["instrument"],
        simulated=measurement.simulated or calibration.simulated,
    )


def keep_picture(
    context: Context,
    run_id: int,
    dataset_id: int,
    calibration_id: int | None,
    parameters: ReconstructionParameters,
) -> int:
    """Reconstruct, write picture and preview, and enter them into the store.

    Raises
    ------
    UserError
        If there is no calibration, or a file is not what was kept.
    """
    folder = context.folder
    with context.database.session() as session:
        measurement = session.get_one(Dataset, dataset_id)
        calibration = (
            newest_calibration(session, context.instrument_id)
            if calibration_id is None
            else session.get(Dataset, calibration_id)
        )
    if calibration is None:
        raise UserError("the scan is kept, but there is no calibration to reconstruct it with")
    for dataset in (measurement, calibration):
        check_unchanged(folder, dataset)
    result = reconstruct(folder.path / measurement.path, folder.path / calibration.path, parameters)
    record = picture_provenance(measurement, calibration, parameters)
    path = folder.pictures / f"run-{run_id:06}.mdf"
    preview = path.with_suffix(".png")
    # What a killed service may have left without a row can be computed again, so it is replaced.
    path.unlink(missing_ok=True)
    write_picture(path, preview, result, record)
    row = Picture(
        run_id=run_id,
        dataset_id=measurement.id,
        calibration_id=calibration.id,
        path=folder.relative(path),
        preview_path=folder.relative(preview),
        sha256=sha256_file(path),
        pixels_sha256=result.pixels_sha256,
        simulated=record["simulated"],
        provenance=record,
        created_at=datetime.now(UTC),
    )
    with context.database.session() as session:
        session.add(row)
        session.flush()
        number = row.id
    context.record("picture", f"Picture {number} is made", run_id=run_id, sha256=row.pixels_sha256)
    return number


def write_picture(path: Path, preview: Path, result: Reconstructed, record: dict[str, Any]) -> None:
    """Write the numbers (MDF) and the picture for people (PNG), both with their record."""
    write_reconstruction(
        path,
        # A picture of patches is one: their focus fields stay with the measurement.
        replace(result.scan.setting, offset_fields=None),
        result.pixels,
        result.grid,
        labels=result.scan.labels,
        provenance=record,
        fields=_place(result),
    )
    # Pictures of a simulated instrument say so wherever they go.
    title = "Simulated MPI picture" if record["simulated"] else "MPI picture"
    text = {"Title": title, "Software": "nixel", "nixel:provenance": provenance.canonical_json(record)}
    with atomic_write(preview) as temporary:
        temporary.write_bytes(png(result.pixels.mean(axis=0), text))


def _place(result: Reconstructed) -> dict[str, Any]:
    """Where the picture lies, if it is not around the origin."""
    if not any(result.centre):
        return {}
    flat = result.grid.positions()
    places = np.column_stack([flat, np.zeros(len(flat))]) + np.array(result.centre)
    return {"/reconstruction/fieldOfViewCenter": np.array(result.centre), "/reconstruction/positions": places}


def check_unchanged(folder: DataFolder, dataset: Dataset) -> None:
    """Raise `UserError` unless a dataset's file is, to the bit, what was kept."""
    path = folder.path / dataset.path
    if not path.exists():
        raise UserError(f"{path}: expected dataset-{dataset.id}, found no file: restore it from a copy.")
    found = content_sha256(path)
    if found != dataset.sha256:
        raise UserError(
            f"{path}: expected dataset-{dataset.id} with SHA-256 {dataset.sha256}, found {found}: the file was "
            "changed after it was kept. Restore it from a copy."
        )

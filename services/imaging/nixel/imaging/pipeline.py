"""A job's steps: measure, reconstruct, keep. Each leaves a whole file and then its row, or neither."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from nixel.acquisition.formats.atomic import atomic_write
from nixel.acquisition.formats.mdf import read_mdf, sha256_file, write_reconstruction
from nixel.acquisition.instrument import Instrument
from nixel.acquisition.protocol import CalibrationProtocol, ScanProtocol
from nixel.acquisition.scan import calibrate, measure
from nixel.imaging import provenance
from nixel.imaging.context import Context
from nixel.imaging.errors import UserError
from nixel.imaging.parameters import ReconstructionParameters
from nixel.imaging.reconstruct import Reconstructed, reconstruct
from nixel.imaging.rendering import png
from nixel.imaging.store import DataFolder, Dataset, DatasetKind, Picture, Run

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


def dataset_path(folder: DataFolder, run_id: int) -> Path:
    """Where a run's dataset goes."""
    return folder.datasets / f"run-{run_id:06}.mdf"


def remove_unfinished_files(folder: DataFolder) -> None:
    """Delete what a killed service was still writing; a file that got its name is whole."""
    for place in (folder.datasets, folder.pictures):
        for part in place.glob(".*.part"):
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
    **edges: Any,  # noqa: ANN401 - safety, progress, cancelled: as `measure` takes them
) -> None:
    """Measure, and write one dataset that carries its provenance record.

    Raises
    ------
    ScanAborted, DeviceError, SafetyError, OSError
        Nothing is left at `path` then.
    """
    if kind is DatasetKind.CALIBRATION:
        calibrate(instrument, CalibrationProtocol(**protocol), path=path, provenance=record, **edges)
    else:
        measure(instrument, ScanProtocol(**protocol), path=path, provenance=record, **edges)


def perform(context: Context, run_id: int, *, progress: Report, cancelled: Callable[[], bool]) -> None:
    """Do what is left of a run.

    Raises
    ------
    ScanAborted
        Safety, a device or a person ended the measurement; nothing of it is left.
    DeviceError, SafetyError, UserError, OSError
    """
    with context.database.session() as session:
        run = session.get_one(Run, run_id)
        kind = run.kind.dataset_kind
        protocol, parameters, calibration_id = run.protocol, run.reconstruction, run.calibration_id
        kept = session.scalar(select(Dataset.id).where(Dataset.run_id == run_id))
    if kept is None:
        path = dataset_path(context.folder, run_id)
        acquire(
            context.instrument,
            kind,
            protocol,
            path,
            dataset_provenance(context.instrument, kind, protocol),
            safety=context.safety,
            progress=progress,
            cancelled=cancelled,
        )
        kept = keep_dataset(context, run_id, kind, path)
    if kind is DatasetKind.MEASUREMENT:
        progress("reconstructing", 0, 1)
        keep_picture(context, run_id, kept, calibration_id, ReconstructionParameters(**parameters))
        progress("reconstructing", 1, 1)


def keep_dataset(context: Context, run_id: int, kind: DatasetKind, path: Path) -> int:
    """Enter a whole file into the store."""
    record = read_mdf(path).provenance
    if record is None:
        raise UserError(f"{path}: expected a dataset with its provenance, found none in it")
    row = Dataset(
        run_id=run_id,
        kind=kind,
        path=context.folder.relative(path),
        sha256=sha256_file(path),
        size=path.stat().st_size,
        simulated=record["simulated"],
        provenance=record,
        created_at=datetime.now(UTC),
    )
    with context.database.session() as session:
        session.add(row)
        session.flush()
        number = row.id
    context.record("dataset", f"Dataset {number} ({kind}) is kept", run_id=run_id, sha256=row.sha256)
    return number


def adopt_whole_file(context: Context, run: Run) -> bool:
    """Enter a run's dataset that was whole when the service ended, but not yet in the store."""
    path = dataset_path(context.folder, run.id)
    with context.database.session() as session:
        known = session.scalar(select(Dataset.id).where(Dataset.run_id == run.id).limit(1))
    if known is not None or not path.is_file():
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
        path, result.scan.setting, result.pixels, result.grid, labels=result.scan.labels, provenance=record
    )
    # Pictures of a simulated instrument say so wherever they go.
    title = "Simulated MPI picture" if record["simulated"] else "MPI picture"
    text = {"Title": title, "Software": "nixel", "nixel:provenance": provenance.canonical_json(record)}
    with atomic_write(preview) as temporary:
        temporary.write_bytes(png(result.pixels.mean(axis=0), text))


def check_unchanged(folder: DataFolder, dataset: Dataset) -> None:
    """Raise `UserError` unless a dataset's file is, to the bit, what was kept."""
    path = folder.path / dataset.path
    if not path.is_file():
        raise UserError(f"{path}: expected dataset-{dataset.id}, found no file: restore it from a copy.")
    found = sha256_file(path)
    if found != dataset.sha256:
        raise UserError(
            f"{path}: expected dataset-{dataset.id} with SHA-256 {dataset.sha256}, found {found}: the file was "
            "changed after it was kept. Restore it from a copy."
        )

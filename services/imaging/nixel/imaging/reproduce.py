"""Making a picture or a simulated dataset again, and comparing it bit for bit."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nixel.acquisition.formats.mdf import sha256_file
from nixel.acquisition.formats.mdf_marks import read_marks
from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.scan import ScanAborted
from nixel.imaging import pipeline
from nixel.imaging.errors import UserError
from nixel.imaging.parameters import ReconstructionParameters
from nixel.imaging.provenance import running_system, software
from nixel.imaging.reconstruct import reconstruct
from nixel.imaging.store import Database, DataFolder, Dataset, DatasetKind, Picture
from nixel.imaging.virtual_bench import VirtualBench
from nixel.safety.client import SafetyRefused

Report = Callable[[str, int, int], None]

# The safety daemon of a simulated scanner switches off, too, when the machine stands still for a tenth of a second.
# Nobody's hand is in there, so the measurement may begin anew.
_TRIES = 3


@dataclass
class Outcome:
    """What came of it: whether all is identical, and the findings in words."""

    identical: bool = True
    lines: list[str] = field(default_factory=list)

    def add(self, same: bool, what: str, detail: str) -> None:
        """Note one comparison."""
        self.identical = self.identical and same
        self.lines.append(f"{'identical' if same else 'DIFFERENT'}  {what}: {detail}")


def _number(identity: str) -> tuple[str, int]:
    kind, _, digits = identity.partition("-")
    if kind not in ("picture", "dataset") or not (digits.isascii() and digits.isdigit()):
        raise UserError(f"ID: expected picture-N or dataset-N, such as picture-1, found {identity!r}.")
    return kind, int(digits)


def _say_system(outcome: Outcome, record: dict[str, Any]) -> None:
    """Whether the system that made it is the one that runs now: a reader must know when bits differ."""
    same = record["system"] == running_system() and record["software"] == software()
    outcome.lines.append(
        "made with    this very system and software"
        if same
        else "made with    another system or software than runs here now"
        f" (revision {record['software']['revision']}, {record['system'].get('store_path') or 'not NixOS'})"
    )


def _simulate(dataset: Dataset, report: Report) -> str:
    """Measure on a virtual scanner of its own; gives the file's SHA-256."""
    record = dataset.provenance
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nixel-")))
        bench = stack.enter_context(VirtualBench(record["instrument"]["name"]))
        bench.arm()
        again = folder / "again.mdf"
        pipeline.acquire(
            bench.instrument,
            dataset.kind,
            record["parameters"],
            again,
            # The file carries its record, so the same bits need the same record: that of the first time.
            record,
            safety=bench.safety,
            progress=report,
            cancelled=lambda: False,
        )
        return sha256_file(again)


def _acquire_again(dataset: Dataset, outcome: Outcome, report: Report) -> None:
    """Measure a simulated dataset anew, and compare the files.

    Raises
    ------
    ScanAborted, SafetyRefused
        If the safety daemon has switched off in each of three attempts.
    """
    record = dataset.provenance
    instrument = load_instrument(record["instrument"]["name"])
    if instrument.fingerprint() != record["instrument"]["fingerprint"]:
        raise UserError(
            f"dataset-{dataset.id} was made with another configuration of {instrument.name} than this nixel "
            "ships: reproduce it with the software that made it, revision "
            f"{record['software']['revision'] or 'unknown'}."
        )
    for left in reversed(range(_TRIES)):
        try:
            found = _simulate(dataset, report)
            break
        except (ScanAborted, SafetyRefused) as error:
            if not left:
                raise
            outcome.lines.append(
                f"begun anew   dataset-{dataset.id}, switched off by its safety daemon: {error}"
            )
    outcome.add(found == dataset.sha256, f"dataset-{dataset.id}", f"simulated again, file SHA-256 {found}")


def _reconstruct_again(folder: DataFolder, row: Picture, outcome: Outcome) -> None:
    """Compute a picture anew from the stored datasets, and compare numbers and files."""
    result = reconstruct(
        folder.path / row.dataset.path,
        folder.path / row.calibration.path,
        ReconstructionParameters(**row.provenance["parameters"]),
    )
    same = result.pixels_sha256 == row.pixels_sha256
    outcome.add(same, f"picture-{row.id}", f"reconstructed again, pixels SHA-256 {result.pixels_sha256}")
    with tempfile.TemporaryDirectory(prefix="nixel-") as again:
        path = Path(again) / "again.mdf"
        pipeline.write_picture(path, path.with_suffix(".png"), result, row.provenance)
        found = sha256_file(path)
    outcome.add(found == row.sha256, f"picture-{row.id}", f"written again, file SHA-256 {found}")


def reproduce(
    folder: DataFolder, database: Database, identity: str, *, from_stored: bool, report: Report
) -> Outcome:
    """Make something again.

    Parameters
    ----------
    folder, database
        Where it is.
    identity : str
        ``picture-N`` or ``dataset-N``.
    from_stored : bool
        Take the stored datasets as they are, and do not simulate them again.
    report : callable
        Told how far it is.

    Raises
    ------
    UserError
        If there is no such thing, a file was changed, or a measured (not simulated) dataset is asked for.
    """
    kind, number = _number(identity)
    outcome = Outcome()
    with database.session() as session:
        row = session.get(Picture, number) if kind == "picture" else session.get(Dataset, number)
        if row is None:
            raise UserError(
                f"There is no {identity} in {folder.path}; `nixel {kind}s` lists those there are."
            )
        measurement, calibration = (row.dataset, row.calibration) if isinstance(row, Picture) else (row, row)
    _say_system(outcome, row.provenance)
    for dataset in {measurement.id: measurement, calibration.id: calibration}.values():
        pipeline.check_unchanged(folder, dataset)
        outcome.add(
            True, f"dataset-{dataset.id}", f"the stored file has the recorded SHA-256 {dataset.sha256}"
        )
    if isinstance(row, Picture):
        report("reconstructing", 0, 1)
        _reconstruct_again(folder, row, outcome)
        report("reconstructing", 1, 1)
    if isinstance(row, Dataset) and not measurement.simulated:
        raise UserError(
            f"{identity} was measured on a real instrument: the world does not repeat itself. "
            "Its stored file is unchanged."
        )
    if isinstance(row, Dataset) and row.kind is DatasetKind.IMAGES:
        raise UserError(
            f"{identity} are a microscope's images: their sequence is in them, and `nixel run` runs it again, but "
            "frames at other times are other frames. Its stored files are unchanged."
        )
    if isinstance(row, Dataset):
        marks = read_marks(folder.path / row.path)
        if not marks.complete:
            raise UserError(
                f"{identity} is incomplete ({marks.why}): a run that ends early does not end twice at the same moment. "
                "Its stored file is unchanged."
            )
    if not from_stored:
        for dataset in {measurement.id: measurement, calibration.id: calibration}.values():
            if dataset.simulated:
                _acquire_again(dataset, outcome, report)
    return outcome

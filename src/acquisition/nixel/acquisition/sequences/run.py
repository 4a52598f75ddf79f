"""Runs of a microscope: from a sequence to a dataset."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.acquisition.devices import Sensor
from nixel.acquisition.finishing import finish, recording_of
from nixel.acquisition.instrument_file import Problem
from nixel.acquisition.recording import FrameRing, Recorder, Spool
from nixel.acquisition.sequences.bench import bench
from nixel.acquisition.sequences.files import SequenceError
from nixel.acquisition.sequences.recorded import header
from nixel.acquisition.sequences.room import check_room
from nixel.acquisition.sequences.steps import steps
from nixel.acquisition.sequences.walk import Walk
from nixel.acquisition.slow import SlowRecorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nixel.acquisition.finishing import Outcome
    from nixel.acquisition.opened import OpenDevices
    from nixel.acquisition.sequences.gate import Gate
    from nixel.acquisition.sequences.load import MicroscopeSequence

    Progress = Callable[[str, int, int], None]

__all__ = ["run_sequence"]

_LARGEST_BUFFER = 2**27  # bytes


def _no_progress(_stage: str, _done: int, _total: int) -> None:
    pass


def _never() -> bool:
    return False


def run_sequence(
    sequence: MicroscopeSequence,
    devices: OpenDevices,
    *,
    path: str | Path,
    gate: Gate,
    provenance: Mapping[str, Any],
    progress: Progress = _no_progress,
    cancelled: Callable[[], bool] = _never,
    paused: Callable[[], bool] = _never,
) -> Outcome:
    """Run a sequence and write its frames as an OME-Zarr 0.5 image.

    Frames go through a bounded buffer into a recording beside the dataset that is to be, each with its index, times,
    positions, exposure and the camera's number; every sensor is read beside them (`nixel.acquisition.slow`). At the end
    the dataset is made of the recording. A run that ends early
    leaves a dataset of what there was until then, which says so.

    Parameters
    ----------
    sequence : MicroscopeSequence
    devices : OpenDevices
        Of a microscope.
    path : str or Path
        Of the dataset that is to be, by convention ending in ``.ome.zarr``; there must be nothing.
    gate : Gate
        What lets the light be on.
    provenance : mapping
        Stored in the dataset.
    progress : callable
        Told (stage, done, total): ``"frames"``, ``"paused"`` with the light off, then ``"writing"``.
    cancelled, paused : callable
        Asked at each step, and often while waiting, whether to end the run, or to wait with the light off and the
        camera at rest until it is false again.

    Returns
    -------
    Outcome
        The dataset, which is complete.

    Raises
    ------
    SequenceError
        The instrument or its devices cannot run it, or there is no room; nothing has moved.
    ScanAborted
        The safety daemon refused or dropped the light (its reason is the text), or the run was cancelled.
    DeviceError
        A device failed, or the camera lost a frame.
    RecordingError
        The disk failed, or did not keep up.
    OSError, ValueError
        The dataset cannot be written; the recording stays.

    A note on the error says what became of the frames.
    """
    instrument, source, path = devices.instrument, sequence.source, _free(sequence.source, Path(path))
    plan = sequence.plan(instrument)
    walk = steps(source, sequence.sequence, instrument)
    parts = bench(source, walk, devices)
    camera = parts.camera
    dtype = "|u1" if camera.bits <= 8 else "<u2"
    size = camera.shape[0] * camera.shape[1] * (1 if camera.bits <= 8 else 2)
    # All of a short sequence, or as much as the buffer may take.
    capacity = max(2 * size, min(_LARGEST_BUFFER, (len(walk) + 1) * size))
    check_room(source, plan, path.parent, capacity)
    what = header(sequence, parts, walk, provenance)
    with _kept(recording_of(path)) as kept:
        spool = Spool.create(recording_of(path), shape=camera.shape, dtype=dtype, what=what, per_file=1)
        kept.held = spool.hold()
        slow = SlowRecorder(devices.every(Sensor))
        slow.keep_in(spool.folder)
        with Recorder(spool, FrameRing(camera.shape, dtype, capacity)) as recorder, slow:
            done = 0

            def tell(frames: int) -> None:
                nonlocal done
                done = frames
                progress("frames", done, len(walk))

            progress("frames", 0, len(walk))
            Walk(
                parts,
                gate,
                recorder,
                cancelled=cancelled,
                paused=paused,
                on_pause=lambda on: progress("paused" if on else "frames", done, len(walk)),
            ).run(walk, tell)
        progress("writing", 0, 1)
    progress("writing", 1, 1)
    assert kept.outcome is not None
    return kept.outcome


class _Kept:
    held: int | None = None
    outcome: Outcome | None = None


@contextlib.contextmanager
def _kept(recording: Path) -> Iterator[_Kept]:
    """Make the dataset of what was recorded in the block, however it ends."""
    kept = _Kept()
    try:
        yield kept
    except BaseException as error:
        if kept.held is not None:
            error.add_note(_finished_after(recording, kept.held))
        raise
    kept.outcome = finish(recording, held=kept.held)


def _finished_after(recording: Path, held: int) -> str:
    """Finish what an error cut short; what goes wrong with that must not hide it."""
    try:
        outcome = finish(recording, held=held)
    except (OSError, ValueError, RuntimeError) as error:
        return (
            f"{recording}: its dataset could not be written ({error}); `nixel datasets repair` tries again."
        )
    return f"{outcome.dataset or outcome.recording}: {outcome.text}."


def _free(source: str, path: Path) -> Path:
    # Said before anything moves, not after the run.
    for taken in (path, recording_of(path)):
        if taken.exists():
            raise SequenceError(
                source, [Problem("dataset", f"{taken}, which is there already", "another name")]
            )
    if not path.parent.is_dir():
        raise SequenceError(source, [Problem("dataset", f"no folder {path.parent}", "one that there is")])
    return path

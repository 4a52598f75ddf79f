"""Runs of an MPI scanner: from a protocol to a dataset.

A run's frames go from the device through a bounded buffer into a recording beside the dataset that is to be, and are
safe there a moment later; at the run's end the dataset is made of the recording.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.finishing import finish, recording_of
from nixel.acquisition.formats.mdf import MdfError
from nixel.acquisition.opened import open_devices
from nixel.acquisition.recording import FrameRing, Recorder, Spool
from nixel.acquisition.scan_recording import header
from nixel.acquisition.session import ScanAborted, session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nixel.acquisition.finishing import Outcome
    from nixel.acquisition.instrument import Instrument
    from nixel.acquisition.opened import Opening
    from nixel.acquisition.protocol import CalibrationProtocol, ScanProtocol
    from nixel.acquisition.session import Session
    from nixel.safety.client import SafetyClient

    Progress = Callable[[str, int, int], None]

__all__ = ["ScanAborted", "calibrate", "measure"]

_STALL = 4.0  # s that the disk may stand still
_LARGEST_BUFFER = 2**28  # bytes


def _no_progress(_stage: str, _done: int, _total: int) -> None:
    pass


def _never() -> bool:
    return False


def measure(
    instrument: Instrument,
    protocol: ScanProtocol,
    *,
    path: str | Path,
    safety: SafetyClient,
    safety_output: str = "amplifier",
    provenance: Mapping[str, Any],
    progress: Progress = _no_progress,
    cancelled: Callable[[], bool] = _never,
    paused: Callable[[], bool] = _never,
    opening: Opening = open_devices,
) -> Outcome:
    """Measure frames of a subject and write them as an MDF measurement.

    Single periods are stored as the converter's int16 codes; averages as float32 codes, the exact sum divided
    and rounded once, because a mean has more bits than a code. Both become volts by the file's conversion.

    Parameters
    ----------
    instrument : Instrument
    protocol : ScanProtocol
    path : str or Path
        Of the file that is to be; there must be none. Its recording grows beside it.
    safety : nixel.safety.client.SafetyClient
        An armed safety daemon; a lease is held for the run.
    safety_output : str
        The output that gates the amplifier.
    provenance : mapping
        Stored in the file as JSON.
    progress : callable
        Told (stage, done, total): ``"background"`` and ``"frames"`` in frames, ``"paused"`` once the transmission is
        off (and the stage before when it goes on), then ``"writing"``.
    cancelled : callable
        Asked about every ten milliseconds whether to stop.
    paused : callable
        Asked as often whether to wait, with the drive field off and the lease held; the run goes on with the next frame
        when it is false again.
    opening : callable
        Opens the devices; `nixel.acquisition.opened.open_devices` if left out.

    Returns
    -------
    Outcome
        The dataset, which is complete.

    Raises
    ------
    ProtocolError
        The instrument cannot run the protocol.
    ScanAborted
        The safety daemon refused or dropped the output (its reason is the text), or the run was cancelled.
    DeviceError
        A device failed.
    RecordingError
        The disk failed, or did not keep up.
    MdfError
        The file cannot be written; the recording stays.

    What was measured until then becomes a dataset that says it is incomplete, if there is a frame of the subject in it;
    a note on the error says so.
    """
    planned, focus = protocol.plan(instrument).frames, protocol.focus_fields(instrument)
    path = _free(path)
    counts = {"background": planned - protocol.frames, "frames": protocol.frames}
    taken = dict.fromkeys(counts, 0)
    stage = ""
    with _Recording(path) as recording:
        with session(
            instrument, safety, safety_output, "scan", cancelled, protocol.seed, paused, opening, focus
        ) as run:
            recorder = recording.begin(instrument, protocol, planned, run, provenance)

            def tell() -> None:
                progress("paused" if run.waiting else stage, taken[stage], counts[stage])

            run.on_pause = tell
            for background, count in protocol.stages():
                stage = "background" if background else "frames"
                _insert(run, None if background else protocol.subject)
                tell()
                with run.transmission():
                    for frame in run.frame(protocol.averages, count):
                        recorder.put(frame, run.note(background))
                        taken[stage] += 1
                        tell()
        recording.end()
        progress("writing", 0, 1)
    progress("writing", 1, 1)
    return recording.outcome


def calibrate(
    instrument: Instrument,
    protocol: CalibrationProtocol,
    *,
    path: str | Path,
    safety: SafetyClient,
    safety_output: str = "amplifier",
    provenance: Mapping[str, Any],
    progress: Progress = _no_progress,
    cancelled: Callable[[], bool] = _never,
    paused: Callable[[], bool] = _never,
    opening: Opening = open_devices,
) -> Outcome:
    """Measure a system matrix with a delta sample on the robot and write it as an MDF calibration.

    Stored are the Fourier coefficients of the averaged periods in volts, complex64, with the positions'
    frames first (x fastest) and the background frames last; the file's frame permutation tells when each
    was taken. A calibration that ends early leaves nothing: with positions missing it is of no use.

    Parameters
    ----------
    instrument, path, safety, safety_output, provenance, cancelled, paused, opening
        As for `measure`.
    protocol : CalibrationProtocol
    progress : callable
        Told (stage, done, total): ``"background"``, ``"positions"``, ``"paused"``, then ``"writing"``.

    Returns
    -------
    Outcome

    Raises
    ------
    ProtocolError, ScanAborted, DeviceError, RecordingError, MdfError
        As `measure`.
    """
    planned = protocol.plan(instrument).frames
    path = _free(path)
    places = protocol.positions().positions().reshape(*protocol.grid, 2)
    total = protocol.grid[0] * protocol.grid[1]
    stage, done = "background", 0

    with _Recording(path) as recording:
        with session(
            *(instrument, safety, safety_output, "calibration", cancelled, protocol.seed, paused, opening),
            with_robot=True,
        ) as run:
            robot = run.robot
            assert robot is not None
            recorder = recording.begin(instrument, protocol, planned, run, provenance)

            def tell() -> None:
                count = total if stage == "positions" else protocol.background_frames
                progress("paused" if run.waiting else stage, done, count)

            def take(count: int, background: bool) -> None:
                for frame in run.frame(protocol.averages, count):
                    recorder.put(frame, run.note(background), _STALL)

            def take_background(count: int) -> None:
                _insert(run, None)
                with run.transmission():
                    take(count, background=True)

            run.on_pause = tell
            if protocol.background_frames:
                tell()
                take_background(protocol.background_frames)
                done = protocol.background_frames
                tell()
            stage, done = "positions", 0
            for row, line in enumerate(places, start=1):
                _insert(run, protocol.delta_sample)
                with run.transmission():
                    for x, y in line:
                        run.check()
                        robot.move(float(x), float(y))
                        take(1, background=False)
                        done += 1
                        tell()
                if protocol.background_every and row % protocol.background_every == 0:
                    take_background(1)
            robot.home()
        recording.end()
        progress("writing", 0, 1)
    progress("writing", 1, 1)
    return recording.outcome


class _Recording:
    """A run's recording, which becomes its dataset when the block ends, or what can be made of it when it raises."""

    outcome: Outcome

    def __init__(self, path: Path) -> None:
        self._folder = recording_of(path)
        self._stack = contextlib.ExitStack()
        self._held: int | None = None

    def begin(
        self,
        instrument: Instrument,
        protocol: ScanProtocol | CalibrationProtocol,
        frames: int,
        run: Session,
        provenance: Mapping[str, Any],
    ) -> Recorder:
        """Begin it; the recorder ends with the block, after the session with its devices."""
        scanner = instrument.scanner
        assert scanner is not None
        places = len(run.focus)
        # Of patches there is one more dimension, the first.
        patches = (places,) if places else ()
        shape = (*patches, scanner.receive_channels, scanner.samples_per_period)
        dtype = "<i2" if protocol.averages == 1 else "<f4"
        periods = protocol.averages * max(1, places)
        frame_time = periods * scanner.samples_per_period / scanner.base_frequency
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        wanted = max(2, min(frames, round(_STALL / frame_time)))
        ring = FrameRing(shape, dtype, min(wanted * size, _LARGEST_BUFFER))
        what = header(
            instrument,
            protocol,
            frames=frames,
            buffer_frames=ring.slots,
            start=run.daq.clock(),
            conversion=run.daq.conversion(),
            focus=run.focus,
            devices=run.devices.snapshot(),
            provenance=provenance,
        )
        spool = Spool.create(self._folder, shape=shape, dtype=dtype, what=what)
        self._held = spool.hold()
        run.environment.keep_in(self._folder)
        return self._stack.enter_context(Recorder(spool, ring))

    def end(self) -> None:
        """Wait until every frame is safe."""
        self._stack.close()

    def __enter__(self) -> _Recording:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._stack.__exit__(kind, error, trace)  # type: ignore[arg-type]
        if self._held is None:
            return
        if error is None:
            self.outcome = self._finish()
            return
        try:
            error.add_note(self._finish().text)
        except (OSError, ValueError, RuntimeError) as failure:
            error.add_note(f"What was measured is in {self._folder}: {failure}")

    def _finish(self) -> Outcome:
        try:
            return finish(self._folder, held=self._held)
        except (OSError, ValueError) as error:
            error.add_note(
                f"The frames are safe in {self._folder.name}: `nixel datasets repair` makes the dataset of them."
            )
            raise


def _free(path: str | Path) -> Path:
    # Said before anything is energised, not after the run.
    path = Path(path)
    if path.exists():
        raise MdfError(f"{path}: there is a file already, which is never overwritten. Choose another name.")
    if recording_of(path).exists():
        raise MdfError(
            f"{recording_of(path)}: a recording was left behind there. `nixel datasets repair` finishes it."
        )
    if not path.parent.is_dir():
        raise MdfError(f"{path.parent}: there is no such folder. Make it, or choose another.")
    return path


def _insert(run: Session, sample: str | tuple[float, float, float] | None) -> None:
    """Put the subject, the delta sample or nothing into the bore."""
    if run.simulation is None:
        if sample is None:
            raise DeviceError(
                "emptying the bore",
                where=run.daq.control.where,
                expected="a device that takes the sample out",
                found="none",
                remedy="Set background_frames (and background_every) to 0.",
            )
    elif sample is None:
        run.simulation.remove_sample()
    elif isinstance(sample, str):
        run.simulation.insert_phantom(sample)
    else:
        run.simulation.insert_delta(sample)

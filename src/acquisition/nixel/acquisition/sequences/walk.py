"""Walking through the steps of a sequence with the devices of a microscope."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.session import ScanAborted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nixel.acquisition.devices import Frame, Light
    from nixel.acquisition.recording import Recorder
    from nixel.acquisition.sequences.bench import Bench
    from nixel.acquisition.sequences.gate import Gate
    from nixel.acquisition.sequences.steps import Step

__all__ = ["Walk"]

_POLL = 0.01  # s between looks at whether to stop
_SHORT = 1.0  # s: a wait through which a camera goes on taking pictures rather than be started anew
_POWER_TIMEOUT = 1.0  # s for the light's relay
_FRAMES_IN_FLIGHT = 2  # that may have begun before one that has come: exposed, and read out
_PATIENCE = 5.0  # s for a frame beyond its exposure, and for the disk while the camera waits

_log = logging.getLogger(__name__)


class Walk:
    """One run through a sequence.

    The camera takes pictures at its own rate; a frame counts if its exposure began when everything was in place. It is
    started in the dark, because that can take long. Between steps that look at the same thing in the same light it goes
    on, and where frame is to follow frame, one whose number is missing ends the run.

    Parameters
    ----------
    bench : Bench
    gate : Gate
    recorder : Recorder
    cancelled, paused : callable
        Whether somebody wants the run to end, or to wait.
    on_pause : callable
        Told True when the run begins to wait, and False when it goes on.
    """

    def __init__(
        self,
        bench: Bench,
        gate: Gate,
        recorder: Recorder,
        *,
        cancelled: Callable[[], bool],
        paused: Callable[[], bool],
        on_pause: Callable[[bool], None],
    ) -> None:
        self._bench, self._gate, self._recorder = bench, gate, recorder
        self._cancelled, self._paused, self._on_pause = cancelled, paused, on_pause
        self._begun = self._origin = time.monotonic()
        self._at: dict[str, float] = {}
        self._measured: dict[str, float] = {}
        self._exposure: float | None = None
        self._set: dict[tuple[str, str], Any] = {}
        self._lamp: Light | None = None
        self._streaming = False
        self._last: Frame | None = None  # of this stream
        self._lit = 0.0  # since when
        self._waited = 0.0

    def run(self, steps: Sequence[Step], progress: Callable[[int], None]) -> None:
        """Take every step.

        Parameters
        ----------
        steps : sequence of Step
        progress : callable
            Told how many frames there are.

        Raises
        ------
        ScanAborted
            Somebody ended the run, or the safety daemon did.
        DeviceError
            A device failed, or a frame was lost.
        RecordingError
            The disk failed or did not keep up.
        """
        try:
            for number, step in enumerate(steps):
                following = steps[number + 1] if number + 1 < len(steps) else None
                self._step(step, following)
                progress(number + 1)
        except DeviceError as error:
            # What failed may have failed because the light went off: the safety daemon knows.
            reason = self._gate.reason()
            if reason is not None:
                raise ScanAborted(reason) from error
            raise
        finally:
            self._rest()

    def _step(self, step: Step, following: Step | None) -> None:
        self._wait_while_paused()
        if step.new_clock:
            self._origin = time.monotonic()
        due = self._origin + (step.not_before or 0.0)
        self._wait_until(due)
        self._arrange(step)
        self._start_camera()
        self._light_up(step)
        frame, passed_over = self._take(due, step.exposure)
        goes_on = self._goes_on(step, following)
        if not step.stay_lit:
            self._dark()
        # A camera that goes on does not wait for the disk: what it cannot hold for us would be lost.
        note = self._note(step, frame, due, passed_over)
        self._recorder.put(frame.pixels, note, 0.0 if goes_on else _PATIENCE)
        if not goes_on:
            self._stop_camera()

    # --- waiting ---

    def _check(self) -> None:
        if self._cancelled():
            raise ScanAborted("cancelled by the user")
        self._gate.check()
        self._recorder.check()

    def _wait_while_paused(self) -> None:
        self._check()
        if not self._paused():
            return
        began = time.monotonic()
        self._dark()
        self._stop_camera()
        self._on_pause(True)
        while self._paused():
            self._check()
            time.sleep(_POLL)
        self._on_pause(False)
        lasted = time.monotonic() - began
        # The steps' times count on from where they were.
        self._origin += lasted
        self._waited += lasted

    def _wait_until(self, due: float) -> None:
        while (left := due - time.monotonic()) > 0:
            self._check()
            if self._streaming:
                self._next_frame(self._exposure or 0.0)  # what a camera holds for us is bounded
            else:
                time.sleep(min(left, _POLL))

    # --- putting everything in its place ---

    def _arrange(self, step: Step) -> None:
        bench = self._bench
        target = bench.target(step)
        moving = {axis: value for axis, value in target.items() if self._at.get(axis) != value}
        changed = {
            (device, name): (device, name, value)
            for device, name, value in step.properties
            if (device, name) not in self._set or self._set[device, name] != value
        }
        if not moving and not changed and step.exposure == self._exposure:
            return
        self._stop_camera()
        for stage in dict.fromkeys(map(id, (bench.stages[axis] for axis in moving))):
            axes = {axis: value for axis, value in moving.items() if id(bench.stages[axis]) == stage}
            device = bench.stages[next(iter(axes))]
            device.move(**axes)
            self._at.update(axes)
            where = device.position()
            self._measured.update({axis: where[axis] for axis in device.axes if axis in bench.stages})
        for device_name, name, value in changed.values():
            bench.devices[device_name].set(name, bench.value(device_name, name, value))
            self._set[device_name, name] = value
        if step.exposure != self._exposure:
            if bench.sets_exposure:
                bench.camera.set("exposure", step.exposure)
            self._exposure = step.exposure

    def _light_up(self, step: Step) -> None:
        lamp = self._bench.lights.get(step.light)
        if self._lamp is lamp:
            return
        self._dark()
        if lamp is not None:
            # Ours from now on, so that it is switched off whatever happens.
            self._lamp = lamp
            self._gate.open()
            self._switch_on(lamp)
            self._lit = time.monotonic()

    def _switch_on(self, lamp: Light) -> None:
        """Switch a light on that has got its power just now: a relay takes a moment."""
        deadline = time.monotonic() + _POWER_TIMEOUT
        while True:
            self._gate.check()
            try:
                lamp.switch(True)
            except DeviceError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL)
            else:
                return

    def _dark(self) -> None:
        if self._lamp is not None:
            self._lamp.switch(False)
            self._lamp = None
            self._gate.close()

    # --- frames ---

    def _start_camera(self) -> None:
        if not self._streaming:
            # It may fail on the way, and is to be stopped all the same.
            self._streaming, self._last = True, None
            self._bench.camera.start()

    def _take(self, due: float, exposure: float) -> tuple[Frame, int]:
        """Return the first frame that began when it was due and lit, and how many came before it."""
        last, ready = self._last, max(due, self._lit)
        follows = last is not None and last.time >= ready
        # A time that is not the exposure's start is that of its end at the latest, two frames on at most.
        passed_over = 0
        unsure = 0 if follows or self._bench.times_begin else _FRAMES_IN_FLIGHT
        while True:
            frame = self._next_frame(exposure)
            if follows and last is not None and frame.number != last.number + 1:
                raise self._lost(last, frame)
            if frame.time >= ready:
                if not unsure:
                    return frame, passed_over
                unsure -= 1
            passed_over += 1
            self._check()

    def _lost(self, last: Frame, frame: Frame) -> DeviceError:
        lost = frame.number - last.number - 1
        return DeviceError(
            "taking frames",
            where=self._bench.camera.where,
            expected=f"its frame number {last.number + 1} after {last.number}",
            found=f"number {frame.number}" + (f": {lost} lost" if lost > 0 else ""),
            remedy="Lower the load of the machine, or take fewer frames a second, and run the sequence anew.",
        )

    def _next_frame(self, exposure: float) -> Frame:
        frame = self._bench.camera.frame(2 * exposure + _PATIENCE)
        self._gate.check()
        self._last = frame
        return frame

    def _goes_on(self, step: Step, following: Step | None) -> bool:
        """Whether the camera may go on for the next step: it sees the same, in the same light, and soon."""
        if following is None or following.exposure != step.exposure or following.new_clock:
            return False
        if following.light != step.light or not (step.stay_lit or self._lamp is None):
            return False
        if (
            self._bench.target(following) != self._bench.target(step)
            or following.properties != step.properties
        ):
            return False
        return self._origin + (following.not_before or 0.0) - time.monotonic() < _SHORT

    def _stop_camera(self) -> None:
        if self._streaming:
            self._streaming = False
            self._bench.camera.stop()

    def _note(self, step: Step, frame: Frame, due: float, passed_over: int) -> Mapping[str, Any]:
        waited, self._waited = self._waited, 0.0
        return {
            "index": dict(step.index),
            "channel": step.channel,
            "name": step.place,
            "time": frame.time - self._begun,
            "late": max(0.0, frame.time - due),
            "paused": waited,
            "position": dict(self._measured),
            "exposure": step.exposure,
            "number": frame.number,
            "passedOver": passed_over,
        }

    def _rest(self) -> None:
        """Leave everything at rest; what has failed already may fail again."""
        for stop in (self._stop_camera, self._dark_for_good, self._gate.close):
            with contextlib.suppress(ScanAborted):
                try:
                    stop()
                except DeviceError as error:
                    _log.warning("%s", error)

    def _dark_for_good(self) -> None:
        lamp, self._lamp = self._lamp, None
        if lamp is not None:
            lamp.switch(False)

"""One run on an instrument: its devices open, its safety lease held, all closed in reverse at the end."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.adapters.scpi_daq import ScpiDaqAdapter
from nixel.acquisition.adapters.scpi_robot import ScpiSimulation
from nixel.acquisition.devices import DeviceError, Sensor
from nixel.acquisition.field_controller import FieldController
from nixel.acquisition.opened import open_devices
from nixel.acquisition.robot import Robot, robot_of
from nixel.acquisition.slow import SlowRecorder, SteppedRecorder
from nixel.safety.client import SafetyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from nixel.acquisition.devices import Chunk
    from nixel.acquisition.instrument import Instrument
    from nixel.acquisition.opened import OpenDevices, Opening
    from nixel.safety.client import Lease, SafetyClient

__all__ = ["ScanAborted", "Session", "session"]

_READY_TIMEOUT = 2.0  # s until an enabled output has switched the amplifier on
_REASON_TIMEOUT = 0.5  # s for the safety daemon to say why it switched off
_POLL = 0.01
_LONGEST_CHUNK = 16  # periods: how long a stop can go unnoticed

_log = logging.getLogger(__name__)


class ScanAborted(RuntimeError):  # noqa: N818 (it is what happened, not a fault of the program)
    """A run that ended before its end; the text is the reason."""


class Session:
    """An instrument that is open for one run; made by `session`."""

    def __init__(
        self,
        devices: OpenDevices,
        simulation: ScpiSimulation | None,
        lease: Lease,
        cancelled: Callable[[], bool],
        paused: Callable[[], bool],
    ) -> None:
        self.devices, self.simulation, self.lease = devices, simulation, lease
        self.position = 0  # end of the last frame, in samples since the acquisition's start
        self.waiting = False
        self.on_pause: Callable[[], None] = lambda: None  # called when waiting begins and ends
        self._paused = paused
        self.daq = devices.one(ScpiDaqAdapter)
        self.robot: Robot | None = None
        scanner = devices.instrument.scanner
        assert scanner is not None  # looked at by `session`
        self._cancelled = cancelled
        self._period, self._rate = scanner.samples_per_period, scanner.base_frequency
        self.environment = self._environment()
        self.focus: Sequence[Sequence[float]] = ()  # of each patch in T, one a channel; none without patches
        self.controllers: list[FieldController] = []  # of each patch, or one
        self._patch = 0  # where the field of view is
        self._interrupted = False  # whether a pause ended the transmission within a frame
        self._controls: list[list[dict[str, Any]]] = []
        self._controlled: dict[int, int] = {}  # when at each patch, in samples since the acquisition's start

    def _environment(self) -> SlowRecorder:
        sensors = self.devices.every(Sensor)
        if self.simulation is None:
            return SlowRecorder(sensors)
        return SteppedRecorder(sensors, lambda: self.daq.write_pointer() / self._rate, self.daq.clock)

    def check(self) -> None:
        """Go on only if nobody has said stop.

        Raises
        ------
        ScanAborted
            The run was cancelled.
        nixel.safety.client.LeaseLost
            The safety output is off.
        """
        self.lease.check()
        if self._cancelled():
            raise ScanAborted("cancelled by the user")

    @contextlib.contextmanager
    def transmission(self) -> Iterator[None]:
        """Drive field on within the block, but for pauses."""
        self._wait()
        self._transmit()
        yield
        self.daq.transmit(False)
        if self.focus:
            self.daq.focus([0.0] * len(self.focus[0]))

    def _transmit(self) -> None:
        """Switch the drive field on, at the first patch, and bring it to its amplitude."""
        self._controlled, self._patch = {}, 0
        if self.focus:
            self.daq.focus(self.focus[0])
        if self.controllers:
            self.controllers[0].prepare()
        self.daq.transmit(True)
        if self.controllers:
            self._control()

    def _control(self) -> None:
        steps = self.controllers[self._patch].control(self.check)
        if self.focus:
            steps = [{**step, "patch": self._patch} for step in steps]
        self._controls.append(steps)
        self._controlled[self._patch] = int(steps[-1]["sample"])

    def _frames_until_reading(self, averages: int) -> int:
        """How many frames may be taken before the sensors are to be read again; they are, if it is time."""
        wait = self.environment.look()
        if math.isinf(wait):
            return sys.maxsize
        return max(1, int(wait / (self._period * averages / self._rate)))

    def _frames_until_control(self, averages: int, now: int) -> int:
        """How many frames may be taken before the drive field is to be controlled again; it is, if it is time."""
        if not self.controllers:
            return sys.maxsize
        interval, frame = self.controllers[self._patch].interval, self._period * averages
        controlled = self._controlled.get(self._patch)
        if controlled is None or now - controlled + frame > interval:
            self._control()
            now = controlled = self._controlled[self._patch]
        return max(1, (interval - now + controlled) // frame)

    def _go_to(self, patch: int) -> None:
        """Move the field of view, with what held the drive field there the last time."""
        if patch != self._patch:
            self.daq.focus(self.focus[patch])
            self._patch = patch
            if self.controllers:
                self.controllers[patch].prepare()

    def note(self, background: bool) -> dict[str, Any]:
        """What is to be kept of the frame that was given last.

        Returns
        -------
        dict
            ``background``; ``end``, in samples since the acquisition's start; and ``control``, the steps of each
            control of the drive field since the frame before, if there was one.
        """
        controls, self._controls = self._controls, []
        note: dict[str, Any] = {"background": background, "end": self.position}
        return {**note, "control": controls} if controls else note

    def frame(self, averages: int, count: int = 1) -> Iterator[NDArray[np.generic]]:
        """Measure frames.

        Parameters
        ----------
        averages : int
            Periods averaged into one frame.
        count : int

        Yields
        ------
        array of int16 (one period) or float32 (mean of several), shape (channels, samples)
            In codes. The mean is computed from the exact sum and rounded once. Of patches there is one a frame, in
            the first dimension.

        Raises
        ------
        DeviceError
            Samples were lost or clipped, or the stream broke.
        """
        done, self._interrupted = 0, self._paused()
        while done < count:
            if self._interrupted:
                self.daq.transmit(False)
                self._wait()
                self._transmit()
                self._interrupted = False
            for frame in (
                self._through_patches(averages) if self.focus else self._next(averages, count - done)
            ):
                yield frame
                done += 1

    def _next(self, averages: int, count: int) -> Iterator[NDArray[np.generic]]:
        """Frames until there are enough, sensors or the drive field want their turn, or a pause begins."""
        reading = self._frames_until_reading(averages)
        now = self.daq.write_pointer()
        fitting = min(count, reading, self._frames_until_control(averages, now))
        first = self.daq.settled(max(now, self._controlled.get(self._patch, 0)))
        yield from self._frames(averages, fitting, first)

    def _through_patches(self, averages: int) -> Iterator[NDArray[np.generic]]:
        """One frame through all patches; none if a pause begins: then it is taken anew."""
        parts: list[NDArray[np.generic]] = []
        for patch in range(len(self.focus)):
            # Between patches too: the frames of one may be too short for it to be noticed within.
            self._interrupted |= bool(parts) and self._paused()
            if self._interrupted:
                return
            self._go_to(patch)
            parts += self._next(averages, 1)
        if not self._interrupted:
            yield np.stack(parts)

    def _wait(self) -> None:
        """Return when nobody wants a pause, or at once; the drive field is off."""
        self.check()
        if not self._paused():
            return
        self.waiting = True
        self.on_pause()
        while self._paused():
            self.check()
            time.sleep(_POLL)
        self.waiting = False
        self.on_pause()

    def _frames(self, averages: int, count: int, first: int) -> Iterator[NDArray[np.generic]]:
        """Give frames until there are enough, or a pause begins: the frame that is under way then is taken anew."""
        period = self._period
        together = max(d for d in range(1, min(averages, _LONGEST_CHUNK) + 1) if averages % d == 0)
        total, have = None, 0
        end = first + period * averages * count
        for chunk in self.daq.stream(first, end - first, period * together):
            self.check()
            self._check_counters(chunk)
            self.position = chunk.first + together * period
            periods = chunk.codes.reshape(together, period, -1)
            part = periods.sum(axis=0, dtype=np.int64)
            total, have = (part if total is None else total + part), have + together
            if have == averages:
                mean = total if averages == 1 else total / averages
                yield np.ascontiguousarray(mean.T, dtype=np.int16 if averages == 1 else np.float32)
                total, have = None, 0
            if self._paused() and self.position < end:
                self.daq.interrupt()
                self._interrupted = True
                return

    def _check_counters(self, chunk: Chunk) -> None:
        faults = {
            f"{chunk.lost} lost": chunk.lost,
            f"{chunk.overwritten} overwritten": chunk.overwritten,
            "the receiver overloaded": chunk.overload,
        }
        found = [text for text, fault in faults.items() if fault]
        if found:
            raise DeviceError(
                "reading samples",
                where=self.daq.control.where,
                expected="every sample, none at the end of the converter's range",
                found=", ".join(found),
                remedy="Lower the load of machine and network, or the receiver's gain, and measure anew.",
            )

    def reason_of_loss(self) -> str | None:
        """Why the safety output is off, waiting a moment for the daemon to say it; None if it is not."""
        deadline = time.monotonic() + _REASON_TIMEOUT
        while time.monotonic() < deadline:
            try:
                self.lease.check()
            except SafetyError as error:
                return str(error)
            time.sleep(_POLL)
        return None

    def wait_for_amplifier(self) -> None:
        """Wait until the amplifier that the safety output switches is on.

        Raises
        ------
        DeviceError
            It does not come on.
        """
        deadline = time.monotonic() + _READY_TIMEOUT
        while not self.daq.ready():
            self.check()
            if time.monotonic() > deadline:
                raise DeviceError(
                    "switching the amplifier on",
                    where=self.daq.control.where,
                    expected=f"it to be on {_READY_TIMEOUT:g} s after the safety output was enabled",
                    found="it off",
                    remedy="Check that the safety output named is the one that gates the amplifier.",
                )
            time.sleep(_POLL)


@contextlib.contextmanager
def session(
    instrument: Instrument,
    safety: SafetyClient,
    output: str,
    name: str,
    cancelled: Callable[[], bool],
    seed: int,
    paused: Callable[[], bool],
    opening: Opening = open_devices,
    focus: Sequence[Sequence[float]] = (),
    *,
    with_robot: bool = False,
) -> Iterator[Session]:
    """Open an instrument for one run.

    Devices are opened, then the safety lease is taken and the output enabled, then an acquisition started; in
    reverse order all of it ends with the block, whatever happens.

    Parameters
    ----------
    instrument : Instrument
    safety : SafetyClient
    output : str
        The safety output that gates the amplifier.
    name : str
        The lease's holder, for people to read.
    cancelled : callable
        Whether the user wants the run to end.
    seed : int
        Of a simulated scanner's session.
    paused : callable
        Whether the user wants it to wait.
    opening : callable
        Opens the devices.
    focus : sequence of sequence of float
        Focus field (T) of each patch that a frame goes through; none if the field of view stays where it is.
    with_robot : bool
        Whether the run moves the calibration sample: the session has its robot then.

    Yields
    ------
    Session

    Raises
    ------
    DeviceError
        A device cannot be reached or fails, or it is not clear which is the robot; nothing is energised then.
    ScanAborted
        The safety daemon refuses or drops the output, with its reason, or the run was cancelled.
    """
    scanner = instrument.scanner
    if scanner is None:
        raise ScanAborted(
            f"instrument {instrument.name}: expected a scanner, found a {instrument.instrument.kind}"
        )
    try:
        with contextlib.ExitStack() as stack:
            devices = stack.enter_context(opening(instrument))
            daq = devices.one(ScpiDaqAdapter)
            robot = robot_of(devices) if with_robot else None
            simulation = ScpiSimulation(daq.control) if instrument.simulated else None
            daq.configure()
            if simulation is not None:
                simulation.begin(seed)
            lease = stack.enter_context(safety.lease(name))
            run = Session(devices, simulation, lease, cancelled, paused)
            run.robot, run.focus = robot, focus
            if (control := scanner.field_control) is not None:
                # With the offset the chain may be another one, so that each patch learns and holds its own.
                places = range(max(1, len(focus)))
                run.controllers = [FieldController(daq, scanner, control) for _ in places]
            stack.callback(_quietly, daq.stop)
            try:
                run.check()
                lease.enable(output)
                run.wait_for_amplifier()
                daq.start()
                with run.environment:
                    yield run
            except DeviceError as error:
                # What failed may have failed because the output went off: the lease knows, while it is held.
                _quietly(daq.stop)
                reason = run.reason_of_loss()
                if reason is not None:
                    raise ScanAborted(reason) from error
                raise
    except SafetyError as error:
        raise ScanAborted(str(error)) from error


def _quietly(stop: Callable[[], None]) -> None:
    """Stop what may be gone already: the safety output goes off next, and the server ends what we left."""
    try:
        stop()
    except DeviceError as error:
        _log.warning("%s", error)

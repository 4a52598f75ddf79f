"""One run on an instrument: its devices open, its safety lease held, all closed in reverse at the end."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.adapters.scpi_daq import ScpiDaqAdapter
from nixel.acquisition.adapters.scpi_robot import ScpiRobotAdapter, ScpiSimulation
from nixel.acquisition.devices import DeviceError
from nixel.acquisition.instrument import ScpiDaq, ScpiRobot
from nixel.safety.client import SafetyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from nixel.acquisition.devices import Chunk
    from nixel.acquisition.instrument import Instrument
    from nixel.safety.client import Lease, SafetyClient

__all__ = ["ScanAborted", "Session", "session"]

_READY_TIMEOUT = 2.0  # s until an enabled output has switched the amplifier on
_REASON_TIMEOUT = 1.0  # s for the safety daemon to say why it switched off
_POLL = 0.01
_LONGEST_CHUNK = 16  # periods: how long a stop can go unnoticed

_log = logging.getLogger(__name__)


class ScanAborted(RuntimeError):  # noqa: N818 (it is what happened, not a fault of the program)
    """A run that ended before its end, and left no dataset; the text is the reason."""


class Session:
    """An instrument that is open for one run; made by `session`."""

    def __init__(
        self,
        daq: ScpiDaqAdapter,
        robot: ScpiRobotAdapter | None,
        simulation: ScpiSimulation | None,
        lease: Lease,
        cancelled: Callable[[], bool],
        period: int,
    ) -> None:
        self.daq, self.robot, self.simulation, self.lease = daq, robot, simulation, lease
        self._cancelled, self._period = cancelled, period

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
        """Drive field on within the block."""
        self.check()
        self.daq.transmit(True)
        yield
        self.daq.transmit(False)

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
            In codes. The mean is computed from the exact sum and rounded once.

        Raises
        ------
        DeviceError
            Samples were lost or clipped, or the stream broke.
        """
        period = self._period
        # A whole number of periods since the acquisition's start, and one more for the field to settle.
        first = -(-self.daq.write_pointer() // period) * period + period
        together = max(d for d in range(1, min(averages, _LONGEST_CHUNK) + 1) if averages % d == 0)
        total, have = None, 0
        for chunk in self.daq.stream(first, period * averages * count, period * together):
            self.check()
            self._check_counters(chunk)
            periods = chunk.codes.reshape(together, period, -1)
            part = periods.sum(axis=0, dtype=np.int64)
            total, have = (part if total is None else total + part), have + together
            if have == averages:
                mean = total if averages == 1 else total / averages
                yield np.ascontiguousarray(mean.T, dtype=np.int16 if averages == 1 else np.float32)
                total, have = None, 0

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

    Yields
    ------
    Session

    Raises
    ------
    DeviceError
        A device cannot be reached or fails.
    ScanAborted
        The safety daemon refuses or drops the output, with its reason, or the run was cancelled.
    """
    scanner = instrument.scanner
    device = next((d for d in instrument.devices.values() if isinstance(d, ScpiDaq)), None)
    arm = next((d for d in instrument.devices.values() if isinstance(d, ScpiRobot)), None)
    if scanner is None or device is None:
        raise ScanAborted(f"instrument {instrument.name}: expected a scanner with a DAQ, found none")
    run: Session | None = None
    try:
        with contextlib.ExitStack() as stack:
            daq = ScpiDaqAdapter(device, scanner)
            daq.open()
            stack.callback(daq.close)
            robot = ScpiRobotAdapter(arm, daq.control) if arm is not None else None
            simulation = ScpiSimulation(daq.control) if instrument.simulated else None
            daq.configure()
            if simulation is not None:
                simulation.begin(seed)
            lease = stack.enter_context(safety.lease(name))
            run = Session(daq, robot, simulation, lease, cancelled, scanner.samples_per_period)
            run.check()
            lease.enable(output)
            run.wait_for_amplifier()
            stack.callback(_quietly, daq.stop)
            daq.start()
            yield run
    except SafetyError as error:
        raise ScanAborted(str(error)) from error
    except DeviceError as error:
        reason = run.reason_of_loss() if run is not None else None
        if reason is not None:
            raise ScanAborted(reason) from error
        raise


def _quietly(stop: Callable[[], None]) -> None:
    """Stop what may be gone already: the safety output goes off next, and the server ends what we left."""
    try:
        stop()
    except DeviceError as error:
        _log.warning("%s", error)

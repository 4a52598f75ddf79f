"""The safety daemon: the control loop, and how its parts are put together and taken apart.

The loop runs in the main thread at absolute deadlines. Everything that can take time (the serial line,
clients, the disk) has a thread of its own and is reached through queues and replaced references, never
through a lock.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import grp
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.safety import __version__
from nixel.safety.config.instrument import ConfigError, load
from nixel.safety.core.interlocks import assess
from nixel.safety.core.model import Event, Inputs, Stop
from nixel.safety.core.step import start, step
from nixel.safety.deadlines import Punctuality
from nixel.safety.notify import Notifier
from nixel.safety.proof import IDLE, Prover
from nixel.safety.proofbook import ProofBook
from nixel.safety.realtime import lock_memory, prefer_us
from nixel.safety.records.events import EventLog
from nixel.safety.records.recorder import Recorder
from nixel.safety.records.recordings import FOLDER, Folder
from nixel.safety.service.listening import StartError, listen
from nixel.safety.service.permissions import Policy
from nixel.safety.service.server import Server
from nixel.safety.service.status import Snapshot
from nixel.safety.units.fitted import fitted
from nixel.safety.units.unit import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nixel.safety.config.instrument import Instrument
    from nixel.safety.core.model import AnyRequest, Outputs, Reading, State
    from nixel.safety.units.unit import Units


class Loop:
    """The control loop over its parts; it owns the state and nothing else.

    Parameters
    ----------
    instrument
        What is guarded.
    units, server, log, notifier
        The parts, not started yet.
    clock, sleep
        The monotonic clock and how to wait on it, which says whether something was read meanwhile; as the units do
        if `None`.
    book
        Keeps the proofs.
    recorder
        The black box.
    """

    def __init__(
        self,
        instrument: Instrument,
        units: Units,
        server: Server,
        log: EventLog,
        notifier: Notifier,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], bool | None] | None = None,
        book: ProofBook | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.instrument = instrument
        self.state: State = start(clock())
        self.ticks = 0
        self.ending = ""
        self._units = units
        self._server = server
        self._log = log
        self._notifier = notifier
        self._recorder = recorder
        self._clock = clock
        self._sleep = sleep or units.wait
        self._rest: Callable[[float], bool | None] = sleep or time.sleep
        self._beats = 0
        self._readings: Mapping[str, Reading] = {}
        self._at = self._until = -math.inf  # of the last tick; up to when the next ones find the same [s]
        self._left_out = False
        self._book = ProofBook(None) if book is None else book
        self._prover = Prover(instrument.core, self._book.load())
        self._punctuality = Punctuality(instrument.deadlines)
        self._told: tuple[frozenset[str], bool, int] | None = None
        self._sinks = {output.name: output.sink for output in instrument.core.outputs}

    def end(self, reason: str) -> None:
        """Ask the loop to de-energise and return; may be called from a signal handler.

        Parameters
        ----------
        reason
            For the record.
        """
        self.ending = reason

    def run(self) -> None:
        """Tick until asked to end, then de-energise."""
        period = self.instrument.core.period
        deadline = self._clock() + period
        while not self.ending:
            self._wait(deadline)
            now = self._clock()
            behind = now - deadline
            if behind >= period:
                late = int(behind / period)
                self._punctuality.miss(late, now)
                deadline += late * period
            if not self._again(now):
                self.tick()
            deadline += period
        self.tick((Stop(0, 0, self.ending, "the service manager"),))
        if self._recorder is not None:
            self._recorder.close()

    def _wait(self, deadline: float) -> None:
        """Wait for a deadline; but what is read meanwhile and forbids what is on does not wait for it.

        That tick is one more, and the deadlines stay where they are. It switches off, so there is never another one
        before the next deadline. With nothing on there is nothing to be woken for, and the plain wait takes less.
        """
        while (left := deadline - self._clock()) > 0.0:
            if not (self._sleep if self.state.on else self._rest)(left):
                return
            if self.state.on and self._forbidden():
                self.tick()

    def _forbidden(self) -> bool:
        """Whether a tick would now find what switches off."""
        readings, faults = self._units.look()
        verdicts, _ = assess(self.instrument.core, self.state, Inputs(readings, (), faults), self._clock())
        return not all(verdict.permits for verdict in verdicts)

    def _again(self, now: float) -> bool:
        """Complete a tick that can only find what the last one found, and say whether it was one.

        Nothing may be on, no unit has read anew, nobody asks for anything, and the safety logic has said that it would
        find the same up to now (`core.rest`). It is told of all such ticks at once, before it evaluates the next one.
        """
        if (
            not self._at <= now <= self._until
            or self._units.news()
            or self._server.news()
            or self._punctuality.of_late
        ):
            return False
        self._at, self._left_out = now, True
        self.ticks += 1
        self._server.repeat(now, self.ticks)
        if self._recorder is not None:
            self._recorder.repeat(now)
        self._notifier.completed(now)
        return True

    def tick(self, extra: tuple[AnyRequest, ...] = ()) -> None:
        """Do one tick: read, decide, command, tell.

        Parameters
        ----------
        extra
            Requests of our own.
        """
        if self._left_out:
            self._left_out = False
            self.state, _, _ = step(self.instrument.core, self.state, Inputs(self._readings), self._at)
        readings, faults = self._units.look()
        if not self._server.alive():
            faults["server"] = "the thread that serves the socket has ended; restart the daemon"
        requests = extra + self._server.take()
        now = self._clock()
        if late := self._punctuality.fault(now):
            faults["deadlines"] = late
        asked = self._server.take_proofs()
        proof = IDLE
        if asked or self._prover.at_work:
            proof = self._prover.step(self.state, readings, asked, now, time.time())
        inputs = Inputs(readings, requests, {**faults, **proof.faults} if proof.faults else faults)
        self.state, outputs, events = step(self.instrument.core, self.state, inputs, now)
        self._command(outputs, withheld=proof.withheld)
        self.ticks += 1
        rest = None if outputs.permitted else self.state.rest
        self._readings, self._at, self._until = readings, now, rest.until if rest else -math.inf
        missed, proofs = self._punctuality.missed, self._prover.proofs
        snapshot = Snapshot(self.state, outputs.verdicts, now, self.ticks, missed, proofs, readings)
        events += proof.events
        self._server.publish(snapshot, outputs.replies + proof.replies, changed=bool(events))
        if proof.events:
            self._book.put(proofs)
        if events:
            self._log.put(events)
        if self._recorder is not None:
            self._recorder.record(self.state, now, missed, readings, requests, events)
        self._notifier.completed(now)
        for event in events:
            if event.kind == "transition":
                self._notifier.send(f"STATUS={event.text}")

    def _command(self, outputs: Outputs, *, withheld: bool) -> None:
        # Only here, after the whole tick has been evaluated: the heartbeat is the proof of that.
        self._beats += outputs.permitted and not withheld
        told = (outputs.on, outputs.permitted, self._beats)
        if told == self._told:
            return
        self._told = told
        on = frozenset(self._sinks[name] for name in outputs.on)
        self._units.command(Command(on, outputs.permitted, self._beats))


def serve(arguments: argparse.Namespace) -> None:
    """Run the daemon until a signal ends it.

    Parameters
    ----------
    arguments
        As parsed by `parser`.

    Raises
    ------
    ConfigError
        If the instrument file is not right.
    StartError
        If the socket, the event log or the group cannot be had.
    """
    instrument = load(arguments.instrument, arguments.ratings)
    policy = _policy(arguments.operator_group, instrument.operator_group)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(arguments.socket, stack))
        try:
            log = EventLog(arguments.events)
        except OSError as error:
            what = f"the event log {arguments.events} cannot be opened: {error.strerror}"
            msg = f"{what}. Name a file in a folder that exists and that user {os.getuid()} may write to."
            raise StartError(msg) from error
        units = fitted(instrument, arguments.surveillance, arguments.panel, arguments.thermal)
        server = Server(listener, instrument, policy, __version__, log.put, log.past)
        notifier = Notifier(os.environ)
        book = ProofBook(arguments.events and arguments.events.with_suffix(".proofs.json"))
        recorder = _recorder(arguments.events, instrument, log)
        loop = Loop(instrument, units, server, log, notifier, book=book, recorder=recorder)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(
                number, lambda number, _: loop.end(f"the daemon ends ({signal.Signals(number).name})")
            )
        held = {"realtime": prefer_us(), "locked": lock_memory()}
        # Short turns, so that a busy thread cannot hold up the loop for longer than that.
        sys.setswitchinterval(0.0005)
        try:
            log.start()
            book.start()
            units.start()
            server.start()
            log.put([Event(time.monotonic(), "start", "the safety daemon started", held)])
            loop.tick()
            gc.collect()
            gc.freeze()
            notifier.send("READY=1", f"STATUS={loop.state.mode}")
            print(f"ready {arguments.socket}", flush=True)
            loop.run()
        finally:
            notifier.send("STOPPING=1")
            take_down(
                units,
                {
                    "server": lambda: server.close(timeout=0.5),
                    "book of proofs": lambda: book.close(timeout=0.5),
                    "event log": lambda: log.close(timeout=2.0),
                },
            )


def _recorder(events: Path | None, instrument: Instrument, log: EventLog) -> Recorder | None:
    """Make the black box; it is no reason not to start that it cannot write."""
    if events is None:
        return None
    place = events.parent / FOLDER
    try:
        folder = Folder(place)
    except OSError as error:
        print(f"nixel-safetyd: no recordings: {place} cannot be used: {error.strerror}", file=sys.stderr)
        return None
    return Recorder(instrument.core, instrument.file.stem, instrument.simulated, folder, log)


def take_down(units: Units, others: Mapping[str, Callable[[], None]]) -> None:
    """Switch everything off and close it, whatever goes wrong on the way, and say once what did.

    Parameters
    ----------
    units
        First, for they are what is energised.
    others
        How to close the other parts, by name, in order.
    """
    failures = list(units.close(timeout=0.5))
    for name, close in others.items():
        try:
            close()
        except Exception as error:  # noqa: BLE001  the others must be closed whatever this is
            failures.append(f"the {name}: {error!r}")
    if failures:
        what = "; ".join(failures)
        print(f"nixel-safetyd: not everything could be switched off and closed: {what}", file=sys.stderr)


def _policy(asked: str | None, configured: str) -> Policy:
    name = configured if asked is None else asked
    if not name:
        return Policy(os.getuid(), None, "")
    try:
        return Policy(os.getuid(), grp.getgrnam(name).gr_gid, name)
    except KeyError as error:
        if asked is not None:
            msg = f"the group {name!r} does not exist here. Create it, or name another --operator-group."
            raise StartError(msg) from error
        who = f"only root and user {os.getuid()} may arm and reset"
        print(f"nixel-safetyd: the group {name!r} does not exist on this machine; {who}", file=sys.stderr)
        return Policy(os.getuid(), None, "")


def parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Returns
    -------
    argparse.ArgumentParser
        Of nixel-safetyd.
    """
    made = argparse.ArgumentParser(
        prog="nixel-safetyd",
        description="Guard an instrument: the only process that may energise its outputs.",
    )
    made.add_argument(
        "--instrument", type=Path, required=True, metavar="FILE", help="the instrument's TOML file"
    )
    made.add_argument(
        "--ratings",
        type=Path,
        metavar="FILE",
        help="what this instrument's sensors and parts are rated for, instead of the shipped catalogue",
    )
    made.add_argument(
        "--socket", type=Path, required=True, metavar="PATH", help="where to listen for clients"
    )
    made.add_argument(
        "--surveillance",
        metavar="PATH",
        help="the serial line of the surveillance unit, instead of the file's",
    )
    made.add_argument(
        "--panel",
        metavar="PATH",
        help="the socket of the virtual GPIO chip, instead of the file's; a real chip stays as it is",
    )
    made.add_argument(
        "--thermal",
        type=Path,
        metavar="FOLDER",
        help="the thermal zones of a simulated instrument; a real one has those of the kernel",
    )
    made.add_argument(
        "--events",
        type=Path,
        metavar="FILE",
        help="append the events to this file as JSON lines; recordings of trips go to the folder beside it",
    )
    made.add_argument(
        "--operator-group",
        metavar="NAME",
        help="whose members may arm and reset, instead of the file's; '' for none",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run nixel-safetyd.

    Parameters
    ----------
    argv
        The arguments; those of the process if `None`.

    Returns
    -------
    int
        0 after a signal, 2 if the daemon could not start.
    """
    arguments = parser().parse_args(argv)
    try:
        serve(arguments)
    except (ConfigError, StartError) as error:
        print(f"nixel-safetyd: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

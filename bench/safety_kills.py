"""What SIGKILL does to the output, to the next start and to the event log."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from safety_rig import progress, rig

from nixel.safety.client.answers import SafetyRefused, SafetyUnavailable

if TYPE_CHECKING:
    from safety_rig import Rig

# s: kills are spread evenly from exec to so long after the daemon is ready. The relay goes on about 0.7 s after it,
# for a rate must have been watched for long enough, so about every third kill finds it on.
_AFTER_READY = 1.2
_SETTLED = 0.02  # s after which the unit has acted on whatever the daemon had still written
_PATIENCE = 2.0  # s


@dataclass
class Kills:
    """What `count` SIGKILLs did.

    Attributes
    ----------
    kill_to_off
        Times from kill to relay off [s], of those that found it on.
    before_ready
        How many came before the daemon was ready.
    latched
        How many starts after a kill were seen to come up latched and with everything off.
    events
        How many events of the log were verified.
    wrong
        What was not as it must be, a sentence each.
    """

    kill_to_off: list[float] = field(default_factory=list)
    count: int = 0
    before_ready: int = 0
    latched: int = 0
    events: int = 0
    wrong: list[str] = field(default_factory=list)


def measure_kills(count: int, seed: int = 1, instrument: str = "scanner") -> Kills:
    """Kill `count` daemons at random moments after exec, while they start, are energised or are on."""
    found = Kills()
    chance = random.Random(seed)  # noqa: S311  when, not what
    with rig(instrument) as bench:
        began = time.monotonic()
        with bench.daemon():
            within = time.monotonic() - began + _AFTER_READY
        for number in progress(count, "kills"):
            _kill_one(bench, chance.uniform(0.0, within), found, number)
        with bench.daemon():
            _check_start(bench, found, count)
        _check_log(bench, found)
    return found


def _kill_one(bench: Rig, delay: float, found: Kills, number: int) -> None:
    process = bench.exec()
    killed: list[float] = []
    timer = threading.Timer(delay, _kill, (process, killed))
    timer.start()
    assert process.stdout is not None
    with contextlib.ExitStack() as stack:
        if process.stdout.readline():
            # SafetyRefused as well: an answer may be half read when the daemon dies.
            with contextlib.suppress(SafetyUnavailable, SafetyRefused):
                _check_start(bench, found, number)
                bench.energise(stack.enter_context(contextlib.closing(bench.lease())))
        else:
            found.before_ready += 1
        process.wait()
        timer.join()
    process.stdout.close()
    found.count += 1
    time.sleep(_SETTLED)
    stamps = bench.unit.so_far()
    if [stamp.what for stamp in stamps] == ["on"]:
        with contextlib.suppress(TimeoutError):
            stamps.append(bench.unit.wait_for("off", _PATIENCE)[0])
    moves = [stamp.what for stamp in stamps]
    if moves not in ([], ["on", "off"]):
        found.wrong.append(f"kill {number}: the relay did {moves}, expected on and off, or nothing")
    elif moves:
        found.kill_to_off.append(stamps[1].at - killed[0])


def _check_start(bench: Rig, found: Kills, number: int) -> None:
    """See that a start after a kill is latched, with everything off."""
    status = bench.client.status()
    cause = status.first_cause
    if (
        status.state == "FAULT"
        and cause is not None
        and cause.name == "start"
        and not any(status.outputs.values())
    ):
        found.latched += number > 0
    else:
        found.wrong.append(
            f"start {number}: came up as {status.state}, outputs {status.outputs}, cause {cause}"
        )


def _check_log(bench: Rig, found: Kills) -> None:
    """Verify the event log as a person would."""
    command = [
        *(sys.executable, "-m", "nixel.safety", "history"),
        "--verify",
        "--json",
        "--events",
        str(bench.events),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        found.wrong.append(f"the event log does not verify: {done.stdout or done.stderr}")
    else:
        found.events = sum(verdict["events"] for verdict in json.loads(done.stdout)["files"])


def _kill(process: subprocess.Popen[str], killed: list[float]) -> None:
    killed.append(time.monotonic())
    process.kill()

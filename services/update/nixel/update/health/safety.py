"""The safety daemon: it answers, and it is in no FAULT because of the update.

It comes up latched by design, so FAULT says nothing by itself. What counts is what it names: an interlock that is
unhealthy, or a cause that is latched, which was neither before. An emergency stop that somebody pulled before the
update is no fault of the update's.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any

from nixel.update.health.model import PATIENCE, Facts, Finding

_CALL = b'{"method": "io.nixel.Safety.Status", "parameters": {}}\0'
_MOST_BYTES = 1 << 20
# The cause that the daemon latches at every start of its own.
_START = "start"
_ENERGISED = "ENERGISED"


class NoAnswer(Exception):  # noqa: N818 (what is said about the daemon, not an error of this program)
    """The daemon gives no answer that can be understood; the text says why."""


@dataclass(frozen=True, slots=True)
class Safety:
    """The check of kind `safety`.

    Attributes
    ----------
    socket
        Where the daemon listens.
    """

    socket: str

    def snapshot(self) -> Facts:
        """Note what stands in the way of a reset before the update."""
        try:
            status = ask(self.socket, PATIENCE)
        except NoAnswer:
            return {"answered": False, "state": "", "known": []}
        troubles = _troubles(status)
        facts = {"answered": True, "state": status["state"], "known": sorted(troubles)}
        if status["state"] == _ENERGISED:
            # A switch restarts the daemon, and with it the outputs go off in the middle of what they are doing.
            facts["busy"] = (
                "The outputs are on: a scan is running. Wait for its end or stop it, then try again."
            )
        return facts

    def look(self, before: Facts | None, patience: float) -> Finding:
        """Ask for the state and compare it with the one before."""
        try:
            status = ask(self.socket, min(patience, PATIENCE))
        except NoAnswer as why:
            return Finding(
                False, f"The safety daemon {why}. Look at its log: journalctl --unit nixel-safety --lines 50."
            )
        return judge(status, before)


def judge(status: dict[str, Any], before: Facts | None) -> Finding:
    """Compare the daemon's state with the one before the update.

    Parameters
    ----------
    status
        What it answers now.
    before
        What it said before; `None` if that is not known.

    Returns
    -------
    Finding
        Good unless something is unhealthy or latched that was not before.
    """
    known = before.get("known") if before and before.get("answered") is True else None
    old = set(map(str, known)) if isinstance(known, list) else set()
    troubles = _troubles(status)
    new = {name: words for name, words in troubles.items() if name not in old}
    if new:
        than = (
            "" if isinstance(known, list) else " (it did not answer before the update, so all of it counts)"
        )
        return Finding(
            False,
            f"The safety daemon is in {status['state']}, and before the update this was not so{than}: "
            f"{'; '.join(new.values())}. Put it right at the instrument if it can be, and install again.",
        )
    as_before = f" What it named before still stands: {'; '.join(troubles.values())}." if troubles else ""
    return Finding(True, f"The safety daemon answers and is in {status['state']}.{as_before}")


def ask(path: str, patience: float) -> dict[str, Any]:
    """Ask the daemon for its status.

    Parameters
    ----------
    path
        Its socket.
    patience
        How long the answer may take, in s.

    Returns
    -------
    dict
        The status, of which the keys that `judge` reads are of the right kind.

    Raises
    ------
    NoAnswer
        If there is none that can be understood.
    """
    deadline = time.monotonic() + patience
    received = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(patience)
            line.connect(path)
            line.sendall(_CALL)
            while b"\0" not in received:
                line.settimeout(max(deadline - time.monotonic(), 0.001))
                data = line.recv(65536)
                if not data or len(received) > _MOST_BYTES:
                    raise NoAnswer(f"at {path} ended its answer half way")
                received += data
    except TimeoutError as error:
        raise NoAnswer(f"at {path} does not answer within {patience:.1f} s") from error
    except OSError as error:
        raise NoAnswer(f"does not listen at {path} ({error.strerror})") from error
    try:
        answer = json.loads(received.partition(b"\0")[0])
    except (ValueError, RecursionError) as error:
        raise NoAnswer(f"at {path} does not answer in JSON") from error
    status = answer.get("parameters") if isinstance(answer, dict) and "error" not in answer else None
    if (
        not isinstance(status, dict)
        or not isinstance(status.get("state"), str)
        or not _named(status.get("interlocks"), healthy=bool)
        or not _named(status.get("causes"))
    ):
        raise NoAnswer(f"at {path} does not answer with a status")
    return status


def _named(found: object, **kinds: type) -> bool:
    """Whether this is a list of objects with a name, a message and what else is asked for."""
    wanted = {"name": str, "message": str, **kinds}
    return isinstance(found, list) and all(
        isinstance(each, dict) and all(isinstance(each.get(key), kind) for key, kind in wanted.items())
        for each in found
    )


def _troubles(status: dict[str, Any]) -> dict[str, str]:
    """What stands in the way of a reset, or would have latched: its words by its name."""
    latched = {each["name"]: each["message"] for each in status["causes"] if each["name"] != _START}
    unhealthy = {each["name"]: each["message"] for each in status["interlocks"] if not each["healthy"]}
    return {**latched, **unhealthy}

"""Follows the safety daemon for the page: what it says is shown, never steered."""

import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nixel.safety.client import SafetyClient, SafetyError, Status

_RETRY_SECONDS = 1.0


def told(status: Status) -> dict[str, Any]:
    """Give what the daemon has said just now as the page is told it: the end of a bypass as a time of day.

    What is left of a bypass would be wrong as soon as it has been kept for a while.

    Parameters
    ----------
    status : Status

    Returns
    -------
    dict
        What `SafetyAnswer` has, fit for JSON.
    """
    now = datetime.now(UTC)
    plain = asdict(status)
    for bypass in plain["bypasses"]:
        end = now + timedelta(seconds=max(0.0, bypass.pop("remaining_s")))
        bypass["until"] = end.isoformat(timespec="seconds")
    return {"reachable": True, **plain}


class SafetyWatch:
    """A thread that subscribes to the safety daemon and reports each status, or that there is none.

    Parameters
    ----------
    socket : Path
        Where the daemon listens.
    report : callable
        Told each change, from the thread.
    """

    def __init__(self, socket: Path, report: Callable[[dict[str, Any]], None]) -> None:
        self._socket = socket
        self._report = report
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="safety-watch", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End after the next status; does not wait for it."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                for status in SafetyClient(self._socket).subscribe():
                    self._report(told(status))
                    if self._ended.is_set():
                        return
            except SafetyError as error:
                self._report({"reachable": False, "message": str(error)})
            self._ended.wait(_RETRY_SECONDS)

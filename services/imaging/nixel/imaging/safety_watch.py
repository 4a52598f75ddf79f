"""Follows the safety daemon for the page: what it says is shown, never steered."""

import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nixel.safety.client import SafetyClient, SafetyError

_RETRY_SECONDS = 1.0


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
                    self._report({"reachable": True, **asdict(status)})
                    if self._ended.is_set():
                        return
            except SafetyError as error:
                self._report({"reachable": False, "message": str(error)})
            self._ended.wait(_RETRY_SECONDS)

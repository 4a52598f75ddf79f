"""One transaction at a time on a machine."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nixel.update import disk
from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = "lock"


@contextmanager
def held(state: Path) -> Iterator[None]:
    """Hold the machine's lock; it ends with the process, however that ends.

    Parameters
    ----------
    state
        The folder that keeps the transaction and the history; made if it is not there.

    Raises
    ------
    Refusal
        If another process holds it, or it cannot be made.
    """
    try:
        disk.folder(state, 0o755)
        stream = (state / FILE).open("ab")
    except OSError as error:
        raise Refusal(
            f"{state} cannot be written ({error.strerror}), so an update could not be taken back.",
            "Run it as root, on a disk that is in order and not full.",
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refusal(
                "Another update is running on this machine.",
                "Wait for its end; `nixel-update status` says how far it is.",
            ) from error
        yield

"""Where the dates of the proofs are kept: a small file beside the event log, which has the same and more.

Written by a thread of its own, so that neither the control loop nor a client waits for the disk.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
from typing import TYPE_CHECKING

from nixel.safety.proof import Proof, Result
from nixel.safety.realtime import give_way

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST = 64 * 1024


class ProofBook:
    """The proofs of an instrument's outputs, from one start of the daemon to the next.

    Parameters
    ----------
    path
        The file, made when the first proof ends; `None` keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._proofs: tuple[Proof, ...] = ()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="proofs", daemon=True)

    def load(self) -> dict[str, Proof]:
        """Read what is known of earlier proofs.

        Returns
        -------
        dict
            By output; empty, after a word on stderr, if the file cannot be understood: what is not known to
            have been proven counts as never proven.
        """
        if self._path is None:
            return {}
        try:
            with self._path.open("rb") as file:
                return _understand(json.loads(file.read(_LONGEST)))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            _say(f"{self._path} cannot be read ({error}); every output counts as never proven")
            return {}

    def start(self) -> None:
        """Be ready to write."""
        self._thread.start()

    def put(self, proofs: tuple[Proof, ...]) -> None:
        """Keep these; returns at once.

        Parameters
        ----------
        proofs
            All of them.
        """
        self._proofs = proofs
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Write what is left and end the thread.

        Parameters
        ----------
        timeout
            How long to wait for that [s].
        """
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        give_way()
        written: tuple[Proof, ...] = ()
        while True:
            self._wake.wait()
            self._wake.clear()
            stopping, proofs = self._stopping, self._proofs
            if proofs is not written:
                for proof in proofs:
                    if proof.result is Result.FAILED and proof not in written:
                        _say(f"PROOF FAILED: {proof.message}")
                try:
                    self._write(proofs)
                except OSError as error:
                    _say(f"{self._path} cannot be written: {error}; the event log has the proof all the same")
                written = proofs
            if stopping:
                return

    def _write(self, proofs: tuple[Proof, ...]) -> None:
        if self._path is None:
            return
        new = self._path.with_name(f"{self._path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump({proof.output: dataclasses.asdict(proof) for proof in proofs}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)


def _understand(content: object) -> dict[str, Proof]:
    found: dict[str, Proof] = {}
    if not isinstance(content, dict):
        msg = "it holds no table"
        raise ValueError(msg)
    for output, said in content.items():
        found[output] = Proof(
            output,
            float(said["allowed"]),
            Result(said["result"]),
            _number(said["began"]),
            _number(said["took"]),
            str(said["by"]),
            str(said["message"]),
            _number(said["passed"]),
        )
    return found


def _number(value: object) -> float | None:
    if value is None:
        return None
    # Bounded to what is a date or a duration, so that a spoilt file cannot break the status.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1e11:
        msg = f"{value!r} is no time"
        raise ValueError(msg)
    return float(value)


def _say(text: str) -> None:
    print(f"nixel-safetyd: {text}", file=sys.stderr, flush=True)

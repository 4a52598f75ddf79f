"""A program of the instrument's own that says by its exit status whether all is well."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass

from nixel.update.health.model import Facts, Finding

_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Command:
    """The check of kind `command`: a program that ends with 0 when all is well.

    Attributes
    ----------
    argv
        The program and its arguments.
    """

    argv: tuple[str, ...]

    def snapshot(self) -> Facts:
        """Nothing: it is asked after the switch alone."""
        return {}

    def look(self, before: Facts | None, patience: float) -> Finding:  # noqa: ARG002 (no matter)
        """Run it once; with all that it started it is killed when its time is up."""
        # A file and not a pipe: a pipe stays open for as long as anything that the program started holds it.
        with tempfile.TemporaryFile() as said:
            try:
                program = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                return Finding(False, f"{self.argv[0]} cannot be run ({error.strerror}). Correct its check.")
            try:
                status = program.wait(patience)
            except subprocess.TimeoutExpired:
                return Finding(False, f"{self.argv[0]} did not end within {patience:.1f} s and was cut off.")
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(program.pid, signal.SIGKILL)
                program.wait()
            said.seek(max(said.seek(0, os.SEEK_END) - _MOST_BYTES, 0))
            lines = said.read().decode(errors="replace").strip().splitlines()
        words = f": {_printable(lines[-1])}" if lines else ""
        if status != 0:
            ended = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
            return Finding(False, f"{self.argv[0]} {ended}, and 0 was expected{words}")
        return Finding(True, f"{self.argv[0]} is content{words}")


def _printable(line: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:200]

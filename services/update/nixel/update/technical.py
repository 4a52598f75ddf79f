"""What changes, for the developer: the output of `nix store diff-closures` and `nix-diff`, bounded.

A difference of derivations may run to tens of megabytes; of it all, no more than the beginning is ever kept in memory.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_BYTES = 64 * 1024
WITHIN = 300.0
_CHUNK = 64 * 1024
_NIX = ("nix", "--extra-experimental-features", "nix-command")


@dataclass(frozen=True, slots=True)
class Output:
    """What a program said.

    Attributes
    ----------
    command
        The command line, fit for a shell.
    text
        The beginning of its output, standard error included.
    left_out
        How many bytes followed.
    status
        Its exit status; negative if a signal ended it, `None` if it could not be started.
    late
        Whether it was ended because it took too long.
    """

    command: str
    text: str
    left_out: int
    status: int | None
    late: bool


def run(
    command: Sequence[str],
    most: int = MOST_BYTES,
    within: float = WITHIN,
    write: Callable[[bytes], object] | None = None,
) -> Output:
    """Run a program and keep the beginning of what it says.

    Parameters
    ----------
    command
        The program and its arguments.
    most
        How many bytes are kept; of the rest, only their number.
    within
        How long it may take, in s; then it is ended.
    write
        Where all of its output goes as it comes, if anywhere.

    Returns
    -------
    Output
        What it said.
    """
    line = shlex.join(command)
    surroundings = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=surroundings,
            start_new_session=True,
        )
    except OSError as error:
        return Output(line, f"{command[0]} cannot be started: {error.strerror}", 0, None, False)
    if process.stdout is None:
        raise AssertionError("its output was asked for")
    kept, left_out, late = bytearray(), 0, False
    end = time.monotonic() + within
    with process.stdout as stream:
        while True:
            wait = end - time.monotonic()
            if wait <= 0 or not select.select([stream], [], [], wait)[0]:
                late = True
                break
            chunk = os.read(stream.fileno(), _CHUNK)
            if not chunk:
                break
            room = max(0, most - len(kept))
            kept += chunk[:room]
            left_out += len(chunk) - len(chunk[:room])
            if write is not None:
                write(chunk)
    if late:
        os.killpg(process.pid, signal.SIGKILL)
    try:
        status = process.wait(max(1.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        status, late = process.wait(), True
    return Output(line, kept.decode("utf-8", "replace"), left_out, status, late)


def closures(old: str, new: str, store: str | None = None) -> list[str]:
    """The command that compares two closures.

    Parameters
    ----------
    old, new
        Store paths.
    store
        Which store, as Nix's `--store` has it; its own choice if `None`.

    Returns
    -------
    list of str
        The program and its arguments.
    """
    where = () if store is None else ("--store", store)
    return [*_NIX, *where, "store", "diff-closures", old, new]


def derivations(old: str, new: str, store: str | None = None) -> list[str] | str:
    """The command that compares how two store paths are made.

    Parameters
    ----------
    old, new
        Store paths.
    store
        Which store, as Nix's `--store` has it; its own choice if `None`.

    Returns
    -------
    list of str, or str
        The program and its arguments; a sentence if it cannot be done here.
    """
    program = shutil.which("nix-diff")
    if program is None:
        return "How the systems are made is not compared: nix-diff is not on this machine."
    if store is not None:
        return "How the systems are made is not compared: nix-diff knows this machine's own store only."
    found = []
    for path in (old, new):
        answer = run(["nix-store", "--query", "--deriver", path], 4096, 30.0)
        deriver = answer.text.strip()
        if answer.status != 0 or not deriver.endswith(".drv") or not os.path.exists(deriver):  # noqa: PTH110
            return (
                f"How the systems are made is not compared: the derivation of {path} is not on this machine."
            )
        found.append(deriver)
    return [program, "--color", "never", *found]


def about(output: Output, all_shown: bool = False) -> list[str]:
    """Say what is missing of an output, and how to see it all.

    Parameters
    ----------
    output
        From `run`.
    all_shown
        Whether all of it was shown as it came.

    Returns
    -------
    list of str
        No line if nothing is.
    """
    lines = []
    if output.left_out and not all_shown:
        lines.append(
            f"... and {output.left_out:,} bytes more. All of it: add --all, or run: {output.command}"
        )
    if output.late:
        lines.append(f"It took too long and was ended, so this is not all. By hand: {output.command}")
    elif output.status:
        lines.append(f"It ended with status {output.status}: {output.command}")
    return lines

"""Child processes that announce themselves, end with their parent, and say why when they fail."""

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from nixel.imaging.errors import UserError

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent is gone, so that nothing outlives a killed demo."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """A program of ours, started with this Python, its messages kept in a log.

    Parameters
    ----------
    name : str
        What people call it.
    module : str
        Started as ``python -m module``.
    arguments : list of str
    log : Path
        Where its standard error goes.
    pass_fds : tuple of int
        Open descriptors that it inherits.
    """

    def __init__(
        self, name: str, module: str, arguments: list[str], *, log: Path, pass_fds: tuple[int, ...] = ()
    ) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                pass_fds=pass_fds,
                # Ctrl-C reaches the parent alone, which ends its children in the right order.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def first_line(self, timeout: float = 20.0) -> str:
        """The line with which the program says that it is ready.

        Raises
        ------
        UserError
            If it ends, or stays silent, instead; with its own words.
        """
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        os.set_blocking(descriptor, False)
        deadline, received = time.monotonic() + timeout, b""
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in received:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise UserError(
                        f"the {self.name} did not become ready within {timeout:g} s. {self.words()}"
                    )
                chunk = os.read(descriptor, 65536)
                if not chunk:
                    self.process.wait()
                    raise UserError(self.words() or f"the {self.name} ended with {self.process.returncode}")
                received += chunk
        return received.split(b"\n", 1)[0].decode()

    def words(self) -> str:
        """The last of what it said on its standard error."""
        text = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(text[-12:]).removeprefix("nixel: ")

    def stop(self, timeout: float = 10.0) -> None:
        """Ask it to end, and make sure."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            with contextlib.suppress(OSError):
                self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

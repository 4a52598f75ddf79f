"""The commands that turn files into files, as a person calls them."""

import contextlib
import hashlib
import io
import os
import subprocess
import sys
from unittest import mock

from nixel.imaging.cli import main


def nixel(*words, folder=None, **environment):
    """Run the command to its end, in this process: imports are paid for once.

    What only a process of its own shows (signals, its exit status, what it imports) is tested by `nixel_process`.
    """
    out, err = io.StringIO(), io.StringIO()
    argv = ["nixel", *map(str, words)]
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.dict(os.environ, environment),
        contextlib.chdir(folder or "."),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return subprocess.CompletedProcess(argv, status, out.getvalue(), err.getvalue())


def nixel_process(*words, folder=None, **environment):
    """Run the command to its end as a process."""
    return subprocess.run(
        [sys.executable, "-m", "nixel.imaging", *map(str, words)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def everything(folder):
    """Name and hash of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


def assert_refused(done, message):
    """One paragraph that says so, and the exit status of what a person can set right."""
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""

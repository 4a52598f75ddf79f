"""The commands that turn files into files, as a person calls them."""

import hashlib
import os
import subprocess
import sys


def nixel(*words, folder=None, **environment):
    """Run the command to its end."""
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

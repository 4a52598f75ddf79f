"""`nixel devices` for tests: called in this process, in one of its own, and followed line by line."""

import contextlib
import io
import subprocess
import sys
import threading
import types

import pytest
from whole_system import wait_until

from nixel.imaging.cli import main


def nixel(*arguments):
    """The command as it is called, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["nixel", "devices", *map(str, arguments)])
        try:
            main()
        except SystemExit as ended:
            status = ended.code
    return types.SimpleNamespace(returncode=status or 0, stdout=out.getvalue(), stderr=err.getvalue())


def nixel_process(*arguments):
    """The same in a process of its own, which knows the lamp's package."""
    command = [sys.executable, "-m", "nixel.imaging", "devices", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class Watcher:
    """`nixel devices watch`, and the lines that it has printed."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "nixel.imaging", "devices", "watch", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def heard(self, text):
        wait_until(lambda: any(text in line for line in list(self.lines)), what=f"{text!r} from a watcher")
        return next(line for line in self.lines if text in line)

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self._thread.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


def device(answer, name):
    return next(one for one in answer["devices"] if one["name"] == name)


def values(answer, name):
    return {prop["name"]: prop["value"] for prop in device(answer, name)["properties"]}


def own_devices(bench, instrument):
    endpoints = [f"--endpoint={key}={address}" for key, address in bench.endpoints.items()]
    return ["--instrument", instrument, *endpoints]

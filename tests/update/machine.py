"""One test machine: how it is switched on and off, what is run on it, and what is done to it (lab.py makes it)."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("lab.sh")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A machine that restarts, as the kernel reports the end of a namespace's process 1.
RESTARTED = -signal.SIGHUP


class MachineError(AssertionError):
    """A command on a machine that failed, or a machine that does not come up, with what was said."""


class Machine:
    """One machine of a lab; made by `Lab.start`.

    `store` and `address` are for `nix copy` and ssh from the developer's machine, where its name is known as well.
    """

    def __init__(self, lab, name, address, binds):
        self.lab = lab
        self.name = name
        self.address = address
        self.boots = 0
        self.boot_seconds = None
        self._binds = binds
        self._plugged = set()
        self._pid = None
        self._process = None
        self._wanted = False
        self._change = threading.Condition()

    # --- running things on it ---

    def command(self, command, user=None, within=60):
        """The arguments that run a command on the machine: a shell's line, or a list."""
        if isinstance(command, str):
            command = ["bash", "-c", command]
        home = f"/home/{user}" if user else "/root"
        become = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
        with self._change:
            if self._pid is None:
                raise MachineError(f"{self.name} is not running, and was asked to run {command}")
            enter = ["nsenter", "--target", str(self._pid), "--mount", "--pid", "--net", "--uts", "--ipc"]
            enter += ["--cgroup", "--time", "--root"]
        clean = [
            "env",
            "-i",
            "-C",
            "/",
            f"PATH={PATH}",
            f"HOME={home}",
            f"USER={user or 'root'}",
            "LANG=C.UTF-8",
        ]
        # When whoever asked is gone, the command and what it started are told to end, and must after a second.
        tied = ["setpriv", "--pdeathsig", "TERM", "timeout", "--kill-after=1", str(within)]
        return [*enter, *clean, *tied, *become, *command]

    def attempt(self, command, *, user=None, within=60, input=None):  # noqa: A002 (subprocess calls it so)
        """Run a command, and return its `CompletedProcess` (text) whatever its status: 124 after `within` seconds."""
        arguments = self.command(command, user, within)
        return subprocess.run(
            arguments, input=input or "", capture_output=True, text=True, check=False, timeout=within + 10
        )

    def run(self, command, *, user=None, within=60, input=None):  # noqa: A002
        """Run a command that must succeed, and return what it printed."""
        done = self.attempt(command, user=user, within=within, input=input)
        if done.returncode != 0:
            raise MachineError(
                f"{self.name}: {command}: status {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def begin(self, command, *, user=None, within=300):
        """Start a command and return its `Popen` (text, outputs in pipes); `kill` ends it and what it started."""
        return subprocess.Popen(
            self.command(command, user, within),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, path, content, *, mode="644"):
        """Write a text file, and the folders above it."""
        place = shlex.quote(str(path))
        self.run(f'mkdir -p "$(dirname {place})" && cat > {place} && chmod {mode} {place}', input=content)

    def read(self, path):
        """The text of a file; nothing if there is no such file."""
        return self.run(f"cat {shlex.quote(str(path))} 2>/dev/null || true")

    def wait(self, condition, *, within=30, what=None):
        """Run a shell condition until it holds."""
        end = time.monotonic() + within
        while self.attempt(condition).returncode != 0:
            if time.monotonic() > end:
                raise MachineError(
                    f"{self.name}: after {within} s still not {what or condition}\n{self.journal()}"
                )
            time.sleep(0.05)

    def journal(self, lines=40):
        """The end of the machine's journal since its start."""
        return self.run(f"journalctl --no-pager --output=short-monotonic --lines={lines}")

    # --- its life ---

    @property
    def running(self):
        """Whether it is switched on."""
        return self._pid is not None

    def boot(self):
        """Switch it on and wait until it is up: systemd says `running`, with no unit failed."""
        started = time.monotonic()
        self._wanted = True
        self._start()
        self.wait_up()
        self.boot_seconds = time.monotonic() - started

    def reboot(self):
        """Restart it in good order, and wait until it is up again."""
        boots = self.boots
        # The command may lose its own machine before it hears of its success.
        self.attempt("systemctl reboot")
        self.wait_boot(boots + 1)

    def wait_boot(self, boots, *, within=60):
        """Wait until it has booted that many times in all and is up: after it restarted by itself."""
        with self._change:
            if not self._change.wait_for(lambda: self.boots >= boots and self._pid, within):
                raise MachineError(f"{self.name} did not restart within {within} s\n{self.console()}")
        self.wait_up()

    def power_cut(self):
        """Cut its power: its link goes dead and every process ends at once. Switch it on again with `boot`."""
        self._wanted = False
        if self.running:
            with contextlib.suppress(MachineError):
                self.cut()
            self._end(signal.SIGKILL)

    def stop(self):
        """Switch it off in good order."""
        self._wanted = False
        if self.running:
            self._end(signal.SIGRTMIN + 4)

    def wait_up(self, within=60):
        """Wait until systemd has started everything; a failed unit is an error."""
        end = time.monotonic() + within
        while True:
            state = self.attempt("systemctl is-system-running --wait", within=within).stdout.strip()
            if state == "running":
                return
            if state == "degraded":
                failed = self.run("systemctl --failed --no-legend --plain")
                raise MachineError(f"{self.name}: units failed\n{failed}\n{self.journal()}")
            if time.monotonic() > end:
                raise MachineError(
                    f"{self.name}: after {within} s it is {state!r}, not running\n{self.console()}"
                )
            time.sleep(0.02)

    def console(self):
        """What its process 1 said."""
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    @property
    def _console(self):
        return self.lab.scratch / f"{self.name}.console"

    def _start(self):
        with self._console.open("ab") as console:
            process = self.lab.enter(
                [
                    SCRIPT,
                    "boot",
                    self.lab.folder,
                    self.lab.tag,
                    self.name,
                    self.address,
                    self.lab.root,
                    *self._binds,
                ],
                stderr=console,
                stdout=subprocess.PIPE,
            )
        said = process.stdout.readline().decode().split()
        if said[:1] != ["pid"]:
            process.wait()
            raise MachineError(f"{self.name} does not start: {' '.join(said)}\n{self.console()}")
        with self._change:
            self._process = process
            self._pid = int(said[1])
            self.boots += 1
            self._change.notify_all()
        threading.Thread(target=self._watch, args=(process,), daemon=True).start()

    def _watch(self, process):
        """Wait for the end of one boot; a machine that restarts itself is started again, as firmware would."""
        with process.stdout, self._console.open("ab") as console:
            shutil.copyfileobj(process.stdout, console)
        status = process.wait()
        with self._change:
            self._pid = None
            self._change.notify_all()
        if status == RESTARTED and self._wanted and not self.lab.closing:
            try:
                self._start()
            except MachineError as error:
                with self._console.open("a") as console:
                    console.write(f"{error}\n")

    def _end(self, how):
        with self._change:
            if self._pid is not None:
                os.kill(self._pid, how)
            if not self._change.wait_for(lambda: self._pid is None, 30):
                raise MachineError(f"{self.name} did not end within 30 s\n{self.console()}")

    # --- its surroundings ---

    def cut(self):
        """Take its network cable out."""
        self.lab.run(["ip", "link", "set", self.name, "down"])

    def rejoin(self):
        """Put its network cable back."""
        self.lab.run(["ip", "link", "set", self.name, "up"])

    def set_clock(self, seconds):
        """Set the wall clock that far ahead (or back, below 0) for nixel-update and all that it starts."""
        self.write("/etc/faketimerc", f"{seconds:+d}\n")

    def limit_disk(self, size):
        """Set the size of its disk, in bytes; /nix, /var and /etc share it. It may be what is used already, or less."""
        self.lab.run(["mount", "-o", f"remount,size={size}", self.disk])

    def disk_used(self):
        """How many bytes of its disk are used."""
        found = os.statvfs(self.lab.seen(self.disk))
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    @property
    def disk(self):
        """Its disk's folder in the lab (and on the developer's machine below /lab/disks)."""
        return self.lab.folder / "disks" / self.name

    def plug(self, stick, *, read_only=False):
        """Plug a stick of the lab in; it is at /media/STICK on the machine."""
        place = self.lab.folder / "media" / self.name / stick
        self.lab.run(["mkdir", "-p", place])
        self.lab.run(["mount", "--bind", self.lab.folder / "sticks" / stick, place])
        if read_only:
            self.lab.run(["mount", "-o", "remount,bind,ro", place])
        self._plugged.add(stick)
        return Path("/media") / stick

    def pull(self, stick):
        """Pull a stick out, whoever reads it: what is opened afterwards is not there."""
        self.lab.run(["umount", "--lazy", self.lab.folder / "media" / self.name / stick])
        self._plugged.discard(stick)

    def pull_all(self):
        """Pull every stick out."""
        for stick in sorted(self._plugged):
            self.pull(stick)

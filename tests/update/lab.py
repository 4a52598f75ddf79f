"""Target machines for the tests of deployment: containers with systemd, sshd and a Nix store of their own.

A `Lab` is a set of namespaces with a network that reaches nothing outside, and in it `Machine`s. Each machine boots a
real systemd as process 1 from one read-only Debian root (tools/containers) with an overlay of its own, has its own
/nix, and its own address on the lab's bridge. One machine, the developer's, sees this checkout, builds systems
(systems.py) and reaches the others by ssh.

What is as on a real machine: a restart or a power cut ends every process and every connection and keeps /etc, /var,
/boot and /nix, and nothing of /run; the boot identifier changes and the monotonic clock starts anew; what starts is
what the boot loader's file /boot/rig/default names, which only `switch-to-configuration boot` writes, and a machine
whose default is not in its store does not start. What is not: the kernel is this machine's, so that the wall clock
is the same everywhere, and that what was written but not synchronised survives a power cut.

The lab's process 1 ends when the pipe to this process closes, and every process and mount with it: also after SIGKILL.
"""

import contextlib
import fcntl
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from machine import SCRIPT, Machine, MachineError

ROOT = Path(__file__).resolve().parents[2]
DEVELOPER = "developer"
MIB = 1024 * 1024
_FOLDER = "nixel-lab-"


@functools.cache
def containers():
    """The root of the machines, and why there can be none here; one of the two is nothing."""
    done = subprocess.run([str(ROOT / "tools" / "containers")], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Path(done.stdout.strip()), ""
    # Only a reason in the tool's own words is one to leave the tier out; anything else is a fault of the tool.
    words = done.stderr.strip().splitlines()
    if done.returncode != 2 or not words or not words[-1].startswith("nixel: "):
        raise MachineError(f"tools/containers ended with {done.returncode}\n{done.stderr}")
    return None, words[-1].removeprefix("nixel: ")


class Lab:
    """The namespaces, the network and the developer's machine; use it as a context manager."""

    def __init__(self):
        self.closing = False
        self.machines = {}
        self._cleanup = contextlib.ExitStack()

    def __enter__(self):
        self.root, reason = containers()
        if reason:
            raise MachineError(reason)
        with self._cleanup:
            # The root that the machines stand on stays while this is held.
            lock = self._cleanup.enter_context(self.root.with_name(f"{self.root.name}.lock").open())
            fcntl.flock(lock, fcntl.LOCK_SH)
            self._sweep()
            self.folder, self.scratch = (self._temporary(prefix) for prefix in (_FOLDER, f"{_FOLDER}out-"))
            self.tag = self.folder.name
            self._begin()
            self._cleanup.callback(self._finish)
            self.developer = self._developer()
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(self, *reason):
        self._cleanup.close()

    def _temporary(self, prefix):
        made = tempfile.TemporaryDirectory(prefix=prefix, suffix=f"-{os.getpid()}")
        return Path(self._cleanup.enter_context(made))

    def _sweep(self):
        """Remove what a session left that was killed: empty folders and what its machines' consoles said."""
        for each in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
            if not Path(f"/proc/{each.name.rpartition('-')[2]}").exists():
                shutil.rmtree(each, ignore_errors=True)

    def _begin(self):
        # A process group of its own: Ctrl-C in the terminal ends the tests first, and the lab in good order then.
        own = [str(SCRIPT), "lab", str(self.folder), self.tag]
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", *own],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.scratch / "lab.console").open("wb"),
            start_new_session=True,
        )
        if self._process.stdout.readline().strip() != b"ready":
            self._process.kill()
            raise MachineError(f"the lab does not start\n{(self.scratch / 'lab.console').read_text()}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self.pid = int(children[0])

    def _finish(self):
        self.closing = True
        for machine in self.machines.values():
            machine.power_cut()
        with contextlib.suppress(MachineError):
            self.run(
                [
                    "find",
                    self.folder / "cgroup" / self.tag,
                    "-depth",
                    "-type",
                    "d",
                    "-exec",
                    "rmdir",
                    "{}",
                    "+",
                ]
            )
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def enter(self, command, **how):
        """Start a command in the lab's own namespaces, beside its machines; returns its `Popen`."""
        # A machine's restart comes back as a hangup, which what nohup has started would not pass on.
        enter = ["env", "--default-signal=HUP", "nsenter", "--target", str(self.pid)]
        spaces = ["--mount", "--net", "--pid", "--uts", "--ipc"]
        arguments = [*enter, *spaces, *map(str, command)]
        return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, start_new_session=True, **how)

    def run(self, command):
        """Run a command in the lab's own namespaces, and return what it printed."""
        process = self.enter(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said, _ = process.communicate(timeout=60)
        if process.returncode != 0:
            raise MachineError(f"{' '.join(map(str, command))}: status {process.returncode}\n{said}")
        return said

    def seen(self, path):
        """A folder of the lab as this process finds it."""
        return Path(f"/proc/{self.pid}/root") / str(path).lstrip("/")

    def stick(self, name):
        """Make a new, empty stick: /lab/sticks/NAME on the developer's machine; returns the folder as seen here."""
        place = self.seen(self.folder / "sticks" / name)
        place.mkdir()
        return place

    # --- machines ---

    def start(
        self, name, address=None, *, disk_limit=4096 * MIB, system=None, config="", sudo=False, binds=None
    ):
        """Make a machine and switch it on.

        Parameters
        ----------
        name
            What it is called, on the network as well; at most 15 letters.
        address
            On the lab's network; the next free one if not given.
        disk_limit
            Size of its disk in bytes.
        system
            The store path of a system on the developer's machine: it is installed before the first start.
        config
            More lines for /etc/nixel/update.toml; the developer's key is trusted.
        sudo
            Whether `technician` may run nixel-update as root.
        binds
            What of this machine it sees, as FROM:TO:ro; the updater of this checkout by default.

        Returns
        -------
        Machine
            It is up.
        """
        machine = Machine(
            self,
            name,
            address or self._free_address(),
            [f"{ROOT / 'services' / 'update'}:opt/nixel-update:ro"] if binds is None else binds,
        )
        self.machines[name] = machine
        self.run(["mkdir", machine.disk])
        self.run(["mount", "-t", "tmpfs", "-o", f"mode=755,size={disk_limit}", "tmpfs", machine.disk])
        self.run(["mkdir", *(machine.disk / each for each in ("upper", "work", "nix"))])
        if name != DEVELOPER:
            self._furnish(machine, config, sudo)
        if system is not None:
            self._install(machine, system)
        machine.boot()
        return machine

    def remove(self, machine):
        """Switch a machine off and forget it, its disk too."""
        machine.power_cut()
        # The next machine of that name begins without them.
        machine.pull_all()
        self.run(["rm", "-rf", self.folder / "media" / machine.name])
        self.run(["umount", "--lazy", machine.disk])
        self.run(["rmdir", machine.disk])
        self.developer.run(f"sed '/ {machine.name}$/d' /etc/hosts > /tmp/hosts && cp /tmp/hosts /etc/hosts")
        del self.machines[machine.name]

    def _developer(self):
        binds = [
            f"{ROOT}:opt/nixel:ro",
            f"{ROOT / 'services' / 'update'}:opt/nixel-update:ro",
            f"{self.folder / 'disks'}:lab/disks:rw",
            f"{self.folder / 'sticks'}:lab/sticks:rw",
        ]
        developer = self.start(DEVELOPER, "10.77.0.1", binds=binds)
        developer.run("ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519")
        developer.run('(printf "* "; cat /etc/ssh/ssh_host_ed25519_key.pub) > /root/.ssh/known_hosts')
        developer.write("/root/.ssh/config", "ConnectTimeout 5\nServerAliveInterval 5\n", mode="600")
        self._ssh_key = developer.read("/root/.ssh/id_ed25519.pub")
        self.key = self.make_key("nixel-lab-1", developer)
        return developer

    def make_key(self, name, developer=None):
        """Make a signing key, /root/NAME.key on the developer's machine; returns the public one, name:base64."""
        machine = developer or self.developer
        machine.run(f"umask 077 && nix key generate-secret --key-name {name} > /root/{name}.key")
        return machine.run(f"nix key convert-secret-to-public < /root/{name}.key").strip()

    def _free_address(self):
        taken = {machine.address for machine in self.machines.values()}
        return next(found for found in (f"10.77.0.{n}" for n in range(2, 255)) if found not in taken)

    def _furnish(self, machine, config, sudo):
        """Write what provisioning and the machine's system would have written."""
        settings = f'trusted-keys = ["{self.key}"]\n{config}'
        files = {
            "etc/nixel/update.toml": settings,
            "etc/nix/rig.conf": f"trusted-public-keys = {self.key}\n",
            "etc/rig/authorized_keys": self._ssh_key,
        }
        if sudo:
            files["etc/sudoers.d/rig"] = "technician ALL=(root) NOPASSWD: /usr/local/bin/nixel-update\n"
        for name, content in files.items():
            place = self.seen(machine.disk / "upper" / name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        self.developer.run(f"echo {machine.address} {machine.name} >> /etc/hosts")

    def _install(self, machine, system):
        """Put a system on a machine that was never started, as an installer does."""
        self.developer.run(f"nix copy --no-check-sigs --to /lab/disks/{machine.name} {system}")
        profiles = self.seen(machine.disk / "nix/var/nix/profiles")
        profiles.mkdir(parents=True, exist_ok=True)
        (profiles / "system-1-link").symlink_to(system)
        (profiles / "system").symlink_to("system-1-link")
        loader = self.seen(machine.disk / "upper/boot/rig")
        loader.mkdir(parents=True)
        (loader / "default").write_text(f"{system}\n")

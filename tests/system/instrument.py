"""The simulated instrument on a test machine: its units as the modules render them, started by a real systemd.

The machine is one of tests/update/lab.py: a Debian root with systemd as process 1. On it stand, in a /nix of its own,
our programs as our expressions build them (units.nix), and below /etc the units, accounts, temporary files and
configuration of the host demo-vm with updates and provisioning.

What it proves: the units start, in the order they ask for; every wall that they ask for is one that the programs can
work behind, and that keeps out what it should; accounts, groups, folders and sockets fit together. What it does not:
the system around the units is Debian's. Python's interpreter and C library are Debian's, and third-party packages are
those of our locks, so a system call that only nixpkgs' build of them makes is not seen. The accounts are made by
systemd-sysusers and not userborn, nothing of NixOS's own first stage, boot loader, udev rules, firewall or /etc overlay
is there, and the kernel is this machine's: `missing` says what it does not let a container have.
"""

import json
import re
import time
from functools import cached_property

import native_build
import nix_tools

FOLDER = nix_tools.ROOT / "tests" / "system"
SAFETY, IMAGING, SCANNER = "nixel-safety.service", "nixel-imaging.service", "nixel-virtual-scanner.service"

# Units of NixOS that ours restart, and a Debian machine has not: they say that they ran.
OTHERS = ("systemd-vconsole-setup.service", "userborn.service")
_STAND_IN = """[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo %n >> /run/restarted'
"""
# linux/capability.h
CAPABILITIES = {"CAP_SYS_RESOURCE": 24, "CAP_SYS_NICE": 23, "CAP_IPC_LOCK": 14}


# What a unit has around its program, and no wall.
_AROUND = (
    "Type|Restart|WatchdogSec|ExecStopPost|After|Before|BindsTo|Requires|Wants|WantedBy|ConditionPathExists|"
    "RemainAfterExit"
)


class Instrument:
    """The units on a machine that runs already; they start with its next start (`machine.reboot`).

    Parameters
    ----------
    lab, machine
        As from `Lab.start`.
    """

    def __init__(self, lab, machine):
        self.machine = machine
        self.system = native_build.build(expression=FOLDER / "units.nix")
        self.closure = native_build.closure(self.system)
        store = machine.disk / "nix" / "store"
        lab.run(["mkdir", "-p", store])
        lab.run(["cp", "-a", *map(nix_tools.on_host, self.closure), store])
        # Nix knows them and keeps them, as it does a system's.
        machine.run("nix-store --load-db", input=nix_tools.run("nix-store", "--dump-db", *self.closure))
        machine.run(f"mkdir -p /nix/var/nix/gcroots && ln -s {self.system} /nix/var/nix/gcroots/nixel-system")
        for each in OTHERS:
            machine.write(f"/etc/systemd/system/{each}", _STAND_IN)
        machine.write("/opt/probe.py", (FOLDER / "probe.py").read_text())
        machine.run(_INSTALL, input=self.system)

    @cached_property
    def units(self):
        """The units' text by name, as it is rendered."""
        folder = nix_tools.on_host(nix_tools.on_host(f"{self.system}/units").readlink())
        return {path.name: nix_tools.on_host(path.readlink()).read_text() for path in folder.iterdir()}

    @cached_property
    def programs(self):
        """The folder of our commands."""
        return re.search(r'^ExecStart="(\S+)/nixel" ', self.units[IMAGING], re.MULTILINE)[1]

    @cached_property
    def python(self):
        """The Python that our programs run with."""
        [environment] = [path for path in self.closure if path.endswith("-env")]
        return f"{environment}/bin/python3.13"

    def show(self, unit, name):
        """A property of a unit, as systemd has it now."""
        return self.machine.run(["systemctl", "show", "--value", "--property", name, unit]).strip()

    def process(self, unit, file):
        """A file of /proc of a unit's main process."""
        return self.machine.run(["cat", f"/proc/{self.show(unit, 'MainPID')}/{file}"])

    def safety(self, command, user=None):
        """Run a command of nixel-safety; returns its `CompletedProcess`."""
        return self.machine.attempt(f"{self.programs}/nixel-safety {command}", user=user)

    def status(self):
        """What the safety daemon says."""
        return json.loads(self.safety("status --json").stdout)

    def arm(self):
        """Reset and arm as an operator, once every interlock is healthy."""
        end = time.monotonic() + 20
        while self.safety("reset", user="operator").returncode != 0:
            assert time.monotonic() < end, self.status()
        assert self.safety("arm", user="operator").returncode == 0

    def do(self, action, *arguments, user=None, within=60):
        """Do one of probe.py's actions on the machine, with our programs' Python, and return what it found."""
        command = [self.python, "/opt/probe.py", action, *arguments]
        return json.loads(self.machine.run(command, user=user, within=within))

    def inside(self, unit):
        """What a program finds that is started behind the very walls of a unit: probe.py's `walls`.

        Everything but the program is the unit's own, and the names of its folders, which it may be using.
        """
        text = self.units[unit]
        for line, instead in (
            (r"ExecStart=.*\n", f"ExecStart={self.python} /opt/probe.py walls\n"),
            (r"((?:Runtime|State)Directory)=.*\n", r"\1=probe\n"),
            (rf"(?:{_AROUND})=.*\n", ""),
        ):
            text = re.sub(f"^{line}", instead, text, flags=re.MULTILINE)
        name = f"probe-of-{unit}".replace("@", "")
        self.machine.write(f"/run/systemd/system/{name}", text + "\n[Service]\nType=oneshot\n")
        self.machine.run(f"systemctl daemon-reload && systemctl start {name} || true")
        said = self.machine.run(f"journalctl --sync && journalctl --unit {name} --output cat --no-pager")
        found = [line for line in said.splitlines() if line.startswith("{")]
        assert found, said
        return json.loads(found[-1])

    def may(self, capability):
        """Whether this machine lets a container have a capability at all."""
        bounds = re.search(r"^CapBnd:\s*(\w+)$", self.machine.run("cat /proc/1/status"), re.MULTILINE)[1]
        return bool(int(bounds, 16) >> CAPABILITIES[capability] & 1)

    def missing(self):
        """The lines of the units that this machine's kernel or rights give no effect to, each with the reason."""
        found = []
        if not self.may("CAP_SYS_RESOURCE"):
            raising = "LimitRTPRIO=, LimitMEMLOCK=, OOMScoreAdjust= below 0"
            found.append(f"{raising}: nobody here may raise a limit (no CAP_SYS_RESOURCE)")
        if "memory" not in self.machine.read("/sys/fs/cgroup/cgroup.controllers").split():
            found.append("MemoryMin=, MemorySwapMax=: the memory controller is not in the unified hierarchy")
        # systemd says so once for each unit and line that it cannot do.
        said = self.machine.attempt("journalctl --boot --no-pager --output cat --grep 'not support|ignoring'")
        found += sorted(line for line in said.stdout.splitlines() if line.startswith("nixel-"))
        return found


_INSTALL = """
set -eu
read -r system || true
cp -rL "$system/units/." /etc/systemd/system/
mkdir -p /etc/tmpfiles.d /etc/sysusers.d
cp -L "$system"/tmpfiles.d/* /etc/tmpfiles.d/
cp -L "$system"/sysusers.d/* /etc/sysusers.d/
cp -rL "$system/etc/." /etc/
# What no module of ours makes: a person who is no operator.
printf '%s\\n' 'u visitor - "Visitor" - /bin/sh' > /etc/sysusers.d/visitor.conf
systemd-sysusers
cd /etc/systemd/system
for unit in $(grep -l '^\\[Install\\]' nixel-*); do systemctl --quiet enable "$unit"; done
"""

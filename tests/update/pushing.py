"""What the tests of deployment over ssh share: deploy.sh as a developer starts it, and how a machine then stands."""

import contextlib
import json
import shlex
import time
from dataclasses import dataclass

import systems
from systems import Standing

KEY = "nixel-lab-1"
STATE = "/var/lib/nixel-update"
UNIT = "nixel-update-trial.service"
# For cases in which a limit is reached; in all others it must not matter how slow this machine is.
SHORT_CONFIRMATION = "confirm-within = 4\n"
SHORT_SWITCH = "switch-within = 3\n"
SHORT_CHECK = "check-within = 3\n"

# On the developer's machine, before the real ssh: with RIG_QUICK a dead connection is found out in seconds, and while
# /root/hold is there, a copy stops after its first megabyte and says so by /root/held.
_SSH = """#!/bin/bash
quick=()
if [ -n "${RIG_QUICK:-}" ]; then quick=(-o ConnectTimeout=2 -o ServerAliveInterval=1 -o ServerAliveCountMax=3); fi
if [[ "$*" == *nix-daemon* && -e /root/hold ]]; then
  {
    dd bs=65536 count=1000000 iflag=count_bytes status=none
    touch /root/held
    while [ -e /root/hold ]; do sleep 0.05; done
    cat
  } | /usr/bin/ssh "${quick[@]}" "$@"
else
  exec /usr/bin/ssh "${quick[@]}" "$@"
fi
"""


def prepare(lab):
    """Give the developer's machine what the cases need."""
    lab.developer.write("/usr/local/bin/ssh", _SSH, mode="755")


def build_large(lab, host, version, date):
    """Build a system of 4 MB that do not get smaller on the way: its copy can be stopped in the middle."""
    # Named by its content, as a toplevel may not be, but what it needs may.
    lab.developer.run("[ -e /root/large ] || head -c 4000000 /dev/urandom > /root/large")
    extra = lab.developer.run("nix store add-path --name large /root/large").strip()
    return systems.build(lab, host, version, date, extra=[extra])


# --- deploy.sh ---


def line(command, *targets, options="", user="root", key=KEY):
    """The command line of deploy.sh.

    Parameters
    ----------
    command
        push, diff, ...
    targets
        Machines, or pairs of a machine and the system that it is to get.
    options
        Further words.
    user
        As whom it goes to the machines.
    key
        With which of the developer's keys.
    """
    words = ["/opt/nixel/deploy.sh", command, "--key", f"/root/{key}.key"]
    for target in targets:
        machine, system = target if isinstance(target, tuple) else (target, None)
        words.append(f"{machine.name}={user}@{machine.address}")
        if system:
            words += ["--system", f"{machine.name}={system}"]
    return f"{shlex.join(words)} {options}"


def push(lab, machine, system, *, options="", within=120, **more):
    """Push a system to a machine; returns the finished process."""
    return lab.developer.attempt(
        line("push", (machine, system), options=f"--yes {options}", **more), within=within
    )


@dataclass
class Running:
    """deploy.sh in the middle of its work."""

    lab: object
    process: object

    def interrupt(self):
        """Ctrl-C in its terminal: every process of the foreground hears it."""
        self.lab.developer.run("kill -INT -- -$(cat /run/deploy.pid)")

    def end(self, within=90):
        """Wait for its end; returns exit status, and all that it said."""
        said, complained = self.process.communicate(timeout=within)
        return self.process.returncode, said + complained


@contextlib.contextmanager
def begun(lab, *targets, options="", patience=60, quick=True, **more):
    """deploy.sh push, started and left running; dead connections are found out in seconds if it is to be quick."""
    command = line("push", *targets, options=f"--yes {options}", **more)
    alone = f"echo $$ > /run/deploy.pid; exec {command}"
    environment = f"{'RIG_QUICK=1 ' if quick else ''}NIXEL_DEPLOY_PATIENCE={patience}"
    process = lab.developer.begin(f"{environment} exec setsid --wait bash -c {shlex.quote(alone)}")
    try:
        yield Running(lab, process)
    finally:
        lab.developer.run(
            "kill -KILL -- -$(cat /run/deploy.pid) 2>/dev/null || true; rm -f /root/hold /root/held"
        )
        process.kill()
        process.communicate()


def hold_copy(lab):
    """The next copy stops in its middle; `wait_for_held` waits for that."""
    lab.developer.run("rm -f /root/held; touch /root/hold")


def wait_for_held(lab):
    """Wait until a copy stands in its middle."""
    lab.developer.wait("[ -e /root/held ]")


def go_on(lab):
    """Let a copy that was stopped go on."""
    lab.developer.run("rm -f /root/hold")


# --- by hand, without deploy.sh ---


def announce(lab, host, system, *, key=KEY):
    """What a deployer announces of a system: the signature's line, and the manifest as plain data."""
    said = lab.developer.run(f"nixel-update announce {host}={system} --key /root/{key}.key")
    signature, _, content = said.partition("\n")
    return signature, json.loads(content)


def signed(lab, manifest, *, key=KEY):
    """A manifest with a signature of this key, whatever it says."""
    return lab.developer.run(["python3", "-c", _SIGN, f"/root/{key}.key"], input=json.dumps(manifest))


_SIGN = """
import json, pathlib, sys
sys.path.insert(0, "/opt/nixel-update")
from nixel.update import keys
from nixel.update.manifest.model import PREFIX
content = json.dumps(json.load(sys.stdin), sort_keys=True, separators=(",", ":")) + "\\n"
print(keys.sign(keys.read_secret(pathlib.Path(sys.argv[1])), PREFIX + content.encode()))
print(content, end="")
"""


def receive(machine, announced, *, options=""):
    """Announce something to a machine; returns the finished process."""
    return machine.attempt(f"nixel-update receive {options}", input=announced)


def offer(lab, machine, system):
    """Announce a system to a machine and send it; returns the offer's name, for `nixel-update install --offer`."""
    announced = lab.developer.run(f"nixel-update announce {machine.name}={system} --key /root/{KEY}.key")
    said = receive(machine, announced)
    assert said.returncode == 0, said.stderr
    lab.developer.run(f"nix copy --to ssh-ng://root@{machine.address} {system}")
    return said.stdout.rpartition("offer: ")[2].strip()


# --- how a machine stands ---


def history(machine):
    """The lines of its history as plain data, oldest first."""
    found = json.loads(machine.run("nixel-update history --json"))
    assert found["unreadable"] == 0
    return found["entries"]


def stage(machine):
    """In which stage the recorded transaction is; nothing if there is none."""
    text = machine.read(f"{STATE}/transaction.json")
    return json.loads(text)["transaction"]["stages"][-1][0] if text else None


def wait_for_stage(machine, wanted, *, within=30):
    """Wait until a stage is recorded."""
    end = time.monotonic() + within
    while stage(machine) != wanted:
        assert time.monotonic() < end, f"the stage is {stage(machine)}, not {wanted}\n{machine.journal()}"
        time.sleep(0.05)


def in_system(system, booted=None):
    """How a machine stands that runs a system and starts with it."""
    return Standing(system, booted or system, system, system)


@contextlib.contextmanager
def settles(machine, standing, *verdicts):
    """Whatever is done to the machine meanwhile, this is where it ends, and nobody has to touch it.

    Parameters
    ----------
    machine
        Which one.
    standing
        Which systems it then runs, booted, starts with and has in its profile.
    verdicts
        Those of the lines that the history has gained.
    """
    path = f"{STATE}/history.jsonl"
    told, began = machine.read(path), _clock(machine)
    yield
    wait_until_settled(machine)
    assert systems.standing(machine) == standing
    now = machine.read(path)
    assert now.startswith(told)
    gained = [json.loads(each) for each in now[len(told) :].splitlines()]
    assert [each["verdict"] for each in gained] == list(verdicts), gained
    _assert_true(machine, gained, began)
    # No unit failed, and nothing is left behind that would hold on to room or to systems.
    assert machine.run("systemctl is-system-running").strip() == "running"
    left = machine.run(f"ls {STATE}/confirm {STATE}/requests 2>/dev/null || true").split()
    # What was announced and never begun waits, for a week.
    assert not {each["id"] for each in gained} & set(left)
    announced = machine.run(f"cat {STATE}/requests/*/request.json 2>/dev/null | jq -r .system").split()
    held = machine.run("readlink /nix/var/nix/gcroots/nixel-update/* || true").split()
    assert set(held) <= set(announced)


def wait_until_settled(machine, *, within=60):
    """Wait until nothing is recorded as begun, and nobody works."""
    machine.wait(
        f"! systemctl --quiet is-active {UNIT} && ! [ -e {STATE}/transaction.json ]",
        within=within,
        what="at the end of its update",
    )


def _clock(machine):
    return float(machine.run("date +%s.%N"))


def _assert_true(machine, gained, began):
    """Each line has a name of its own, and times and systems that can be."""
    now = _clock(machine)
    assert len({each["id"] for each in gained}) == len(gained)
    for each in gained:
        assert began - 1 <= each["began"] <= each["ended"] <= now + 1
        assert 0 <= each["seconds"] <= now - began + 1
        times = [seconds for _, seconds in each["stages"]]
        assert times == sorted(times)
        assert all(0 <= seconds <= each["seconds"] + 0.01 for seconds in times)
        assert each["who"].startswith(("root from 10.77.0.1", "technician from 10.77.0.1", "root at alpha"))
        if each["verdict"] == "kept":
            assert each["stages"][-2:][0][0] == "keeping"
        else:
            assert each["why"]

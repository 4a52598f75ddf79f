"""What the tests of installing from a stick share: sticks as a developer writes them, a technician at the machine's
terminal, and what a machine holds before and after.
"""

import hashlib
import json
import os
import pty
import select
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import systems

from nixel.update import keys
from nixel.update.manifest.model import PREFIX

KEY = "nixel-lab-1"
# When the systems were made; offers from before would be refused as older.
DATE = 1_790_000_000
DAY = 24 * 3600
STATE = "/var/lib/nixel-update"
UNIT = "nixel-update-trial"


def write(lab, stick, offers, *options, key=KEY):
    """Have the developer write a stick: `offers` is a system a host; returns what `deploy.sh` ended with."""
    named = [f"--system={host}={path}" for host, path in offers.items()]
    named = [word for each in named for word in each.split("=", 1)]
    arguments = ["/opt/nixel/deploy.sh", "usb", "write", f"/lab/sticks/{stick}", *offers, *named]
    return lab.developer.attempt([*arguments, "--key", f"/root/{key}.key", *options], within=120)


def written(lab, stick, offers, *options, key=KEY):
    """A new stick, written; returns its folder for the test."""
    folder = lab.stick(stick)
    done = write(lab, stick, offers, *options, key=key)
    assert done.returncode == 0, done.stderr
    return folder


def copied(lab, stick, name):
    """A stick with the same content, to be spoilt."""
    folder = lab.seen(lab.folder / "sticks" / name)
    shutil.copytree(stick, folder, symlinks=True)
    return folder


def discard(lab, name):
    """Throw a stick away."""
    shutil.rmtree(lab.seen(lab.folder / "sticks" / name))


def files(folder):
    """Everything on a stick: what it is, when it was last written, and its content's hash."""
    found = {}
    for each in sorted(folder.rglob("*")):
        about = each.lstat()
        plain = each.is_file() and not each.is_symlink() and about.st_size < 2**24
        digest = hashlib.sha256(each.read_bytes()).hexdigest() if plain else ""
        found[str(each.relative_to(folder))] = (about.st_mode, about.st_size, about.st_mtime_ns, digest)
    return found


# --- a manifest that its maker's key signed, whatever it says ---


def manifest(folder, host="alpha"):
    """A host's manifest as it stands on a stick."""
    return json.loads((folder / "hosts" / host / "manifest.json").read_text())


def put(folder, document, host="alpha", *, signed=None):
    """Put a manifest on a stick, signed by a secret key (`secret`) if one is given."""
    content = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
    (folder / "hosts" / host / "manifest.json").write_bytes(content)
    if signed is not None:
        signature = keys.sign(signed, PREFIX + content)
        (folder / "hosts" / host / "manifest.sig").write_text(f"{signature}\n")


def secret(lab, place, name=KEY):
    """A key of the developer's, for `put`; `place` is a file to keep it in."""
    place.touch(0o600)
    place.write_text(lab.developer.read(f"/root/{name}.key"))
    return keys.read_secret(place)


def entry(document, name):
    """What a manifest says of the path whose name ends so."""
    return next(each for each in document["paths"] if each["path"].endswith(f"-{name}"))


def pin(folder, file):
    """Have a manifest's entry name what a file on the stick is now."""
    content = (folder / file["name"]).read_bytes()
    file.update(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


# --- the machine ---


@dataclass(frozen=True)
class Held:
    """All that an update could change on a machine: what must be the same after one that was refused."""

    standing: systems.Standing
    generations: tuple
    store: frozenset
    registered: tuple
    roots: tuple
    calls: int
    record: bool
    requests: tuple
    history: tuple

    @property
    def verdicts(self):
        return [each["verdict"] for each in self.history]

    def without_history(self):
        return replace(self, history=())


_LOOK = """
import json, os, sqlite3
from pathlib import Path
state = Path("/var/lib/nixel-update")
def names(folder):
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
def link(path):
    return os.path.realpath(path) if os.path.exists(path) else ""
with sqlite3.connect("file:/nix/var/nix/db/db.sqlite?mode=ro", uri=True) as database:
    ask = "select id, path, hash, registrationTime, ca from ValidPaths order by id"
    registered = database.execute(ask).fetchall()
    registered += database.execute("select referrer, reference from Refs order by 1, 2").fetchall()
history = state / "history.jsonl"
calls = Path("/var/log/rig/calls.log")
profiles = "/nix/var/nix/profiles"
print(json.dumps({
    "standing": [link("/run/current-system"), link("/run/booted-system"),
                 Path("/boot/rig/default").read_text().strip(), link(profiles + "/system")],
    "generations": [(name, os.readlink(f"{profiles}/{name}")) for name in names(profiles) if "system" in name],
    "store": names("/nix/store"),
    "registered": registered,
    "roots": names("/nix/var/nix/gcroots/nixel-update"),
    "calls": calls.read_text().count("begin") if calls.exists() else 0,
    "record": (state / "transaction.json").exists(),
    "requests": names(state / "requests"),
    "history": [json.loads(line) for line in history.read_text().splitlines()] if history.exists() else [],
}))
"""


def held(machine):
    """Look at a machine without its updater."""
    found = json.loads(machine.run(["python3", "-c", _LOOK]))
    return Held(
        standing=systems.Standing(*found["standing"]),
        generations=tuple(map(tuple, found["generations"])),
        # Nix's own links and locks tell nothing of what is in it.
        store=frozenset(name for name in found["store"] if not name.startswith(".")),
        registered=tuple(map(tuple, found["registered"])),
        roots=tuple(found["roots"]),
        calls=found["calls"],
        record=found["record"],
        requests=tuple(found["requests"]),
        history=tuple(found["history"]),
    )


def untouched(machine, before, *verdicts):
    """See that nothing of a machine was changed, and that its history has these verdicts more; returns the last."""
    after = held(machine)
    assert after.without_history() == before.without_history()
    assert after.history[: len(before.history)] == before.history
    assert after.verdicts[len(before.history) :] == list(verdicts)
    return after.history[-1] if after.history else None


def settled(machine, system, *, booted, verdict):
    """See that a machine is whole in one system, that its history's last verdict is that, and that nothing waits."""
    now = held(machine)
    assert now.standing == systems.Standing(system, booted, system, system)
    assert (now.verdicts[-1], now.record, now.requests, now.roots) == (verdict, False, (), ())
    return now


def install(machine, place, *options, user=None):
    """What `nixel-update install` of a stick ended with, nobody being asked."""
    become = ["sudo"] if user else []
    return machine.attempt([*become, "nixel-update", "install", str(place), "--yes", *options], user=user)


def refused(machine, place, words, *options):
    """See that a stick is refused in those words before anything of the machine is changed."""
    before = held(machine)
    done = install(machine, place, *options)
    assert (done.returncode, done.stdout) == (2, ""), done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    line = untouched(machine, before, "refused")
    assert words in " ".join(line["why"])
    assert (line["from"], line["label"]) == ("stick", str(place))
    return done.stderr


class Terminal:
    """A command on a machine at whose terminal somebody sits."""

    def __init__(self, machine, command, user=None):
        self._own, other = pty.openpty()
        self._process = subprocess.Popen(
            machine.command(command, user), stdin=other, stdout=other, stderr=other
        )
        os.close(other)
        self.said = ""

    def wait_for(self, words, within=30):
        """Read until something is on the screen."""
        end = time.monotonic() + within
        while words not in self.said:
            assert time.monotonic() < end, f"{words!r} never came:\n{self.said}"
            if not self._read():
                break
        assert words in self.said, self.said

    def type(self, keys_):
        """Type."""
        os.write(self._own, keys_.encode())

    def end(self, within=60):
        """Wait for the command's end: its status, and all that was on the screen."""
        end = time.monotonic() + within
        while self._read():
            assert time.monotonic() < end, self.said
        os.close(self._own)
        return self._process.wait(within), self.said

    def _read(self):
        if not select.select([self._own], [], [], 1)[0]:
            return True
        try:
            block = os.read(self._own, 65536)
        except OSError:  # the other end is closed
            return False
        self.said += block.decode().replace("\r\n", "\n")
        return bool(block)


def hold(machine, program, number, words=""):
    """Have a program of the machine stop before its `number`th call whose arguments hold `words`, until `let_go`.

    Its calls stand in /var/log/rig/PROGRAM, a line each.
    """
    machine.write(
        f"/usr/local/bin/{program}",
        f"""#!/bin/bash
if [[ " $* " == *{shlex.quote(words)}* ]]; then
  exec 9>>/var/log/rig/{program}
  flock 9
  echo "$*" >&9
  mine=$(wc -l < /var/log/rig/{program})
  exec 9>&-
  while [ "$mine" = "$(cat /etc/rig/hold-{program} 2>/dev/null)" ]; do sleep 0.05; done
fi
exec /usr/bin/{program} "$@"
""",
        mode="755",
    )
    machine.run(f"rm -f /var/log/rig/{program}; echo {number} > /etc/rig/hold-{program}")


def wait_held(machine, program):
    """Wait until a program is held."""
    machine.wait(
        f'[ "$(cat /var/log/rig/{program} 2>/dev/null | wc -l)" -ge "$(cat /etc/rig/hold-{program})" ]'
    )


def let_go(machine, program):
    """Have a program go on."""
    machine.run(f"rm /etc/rig/hold-{program}")


def rip_out(machine, stick):
    """Pull a stick out so that whoever reads it finds nothing more; returns what puts its content back."""
    machine.pull(stick)
    folder = machine.lab.seen(machine.lab.folder / "sticks" / stick)
    aside = folder.with_name(f"{stick}.aside")
    # A mount that is taken away lazily still serves whoever has it open; a stick that is out does not.
    aside.mkdir()
    for each in sorted(folder.iterdir()):
        each.rename(aside / each.name)

    def back():
        for each in sorted(aside.iterdir()):
            each.rename(folder / each.name)
        aside.rmdir()

    return back


def stage(machine):
    """The recorded stage of the update that is going on."""
    return json.loads(machine.read(f"{STATE}/transaction.json"))["transaction"]["stages"][-1][0]


def path_name(path):
    """The name of a store path without its hash."""
    return Path(path).name[33:]

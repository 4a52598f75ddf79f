"""Systems for the test machines: small toplevels built by real Nix on the lab's developer machine (systems.nix).

Their `bin/switch-to-configuration` and `nixel/health` record each call on the machine (`calls`) and do what a test
ordered (`order`); orders.sh says what can be ordered.
"""

import hashlib
import json
import shlex
from dataclasses import dataclass

ORDERS = "/etc/rig/orders"

BUILD = (
    "nix build --no-link --print-out-paths --impure --file /opt/nixel/tests/update/systems.nix --argstr json"
)
PACKAGES = {"imaging": "1.0", "safety": "1.0"}
SERVICES = {"nixel-imaging": "[Service]\nExecStart=/bin/true\n"}
KERNEL = "6.12.1"
NIX32 = "0123456789abcdfghijklmnpqrsvwxyz"


def build(
    lab,
    host,
    version,
    date,
    *,
    product="nixel",
    packages=PACKAGES,
    services=SERVICES,
    files=None,
    kernel=KERNEL,
    extra=(),
    key="nixel-lab-1",
):
    """Build a system on the developer's machine, and sign its closure.

    Parameters
    ----------
    lab
        The lab.
    host, version, date, product
        Its identity. The version also names it in orders (`order`) and calls (`calls`), so give each its own.
    packages
        Programs, name: version.
    services
        Units, name without `.service`: text.
    files
        Configuration files, name below /etc: text.
    kernel
        The kernel's version; kernel, initrd and modules are others when it is.
    extra
        Store paths on the developer's machine that are to be in the closure (`many_paths`).
    key
        Which key of the developer's (`Lab.make_key`) signs; none if `None`: the toplevel has no signature then.

    Returns
    -------
    str
        The store path.
    """
    identity = {
        "format": 1,
        "product": product,
        "host": host,
        "version": version,
        "revision": "0" * 40,
        "date": date,
    }
    wanted = {
        "identity": identity,
        "packages": dict(packages),
        "services": dict(services),
        "files": files or {},
        "kernel": kernel,
        "extra": list(extra),
    }
    path = lab.developer.run([*BUILD.split(), json.dumps(wanted)]).strip()
    if key is not None:
        sign(lab, path, key)
    return path


def sign(lab, path, key):
    """Sign a closure on the developer's machine with a key of hers."""
    lab.developer.run(f"nix store sign --recursive --key-file /root/{key}.key {path}")


def strip(lab, path):
    """Take every signature off one path on the developer's machine."""
    lab.developer.run(["python3", "-c", _STRIP, path])


_STRIP = """
import sqlite3, sys
with sqlite3.connect("/nix/var/nix/db/db.sqlite") as database:
    database.execute("update ValidPaths set sigs = null where path = ?", sys.argv[1:])
"""


def content_addressed(lab, path):
    """The same closure with paths that are named after their content, which Nix takes without a signature."""
    said = lab.developer.run(f"nix store make-content-addressed --json {path}")
    return json.loads(said)["rewrites"][path]


def many_paths(lab, names):
    """Put small paths into the developer's store, one a name, that are not content-addressed.

    Building that many would take minutes. They are written and registered instead, as `nix-store --load-db` does.

    Returns
    -------
    str
        The store path that refers to all of them, for `build(extra=[...])`. Not signed; `build` does that.
    """
    paths = [_path(name) for name in names]
    registered = [_registration(path, f"{name}\n", []) for name, path in zip(names, paths, strict=True)]
    files = {path: f"{name}\n" for name, path in zip(names, paths, strict=True)}
    content = "".join(f"{path}\n" for path in sorted(paths))
    bundle = _path("bundle", content)
    files[bundle] = content
    registered.append(_registration(bundle, content, sorted(paths)))
    lab.developer.run(["python3", "-c", _WRITE], input=json.dumps(files))
    lab.developer.run("nix-store --load-db", input="".join(registered))
    return bundle


_WRITE = """
import json, os, sys
os.makedirs("/nix/store", exist_ok=True)
for path, content in json.load(sys.stdin).items():
    if not os.path.exists(path):
        with open(path, "w") as stream:
            stream.write(content)
        os.chmod(path, 0o444)
        os.utime(path, (1, 1))
"""


def _path(name, content=""):
    digest = hashlib.sha256(f"{name}\n{content}".encode()).digest()
    return f"/nix/store/{''.join(NIX32[byte % 32] for byte in digest)}-{name}"


def _registration(path, content, references):
    nar = _nar(content.encode())
    lines = [path, hashlib.sha256(nar).hexdigest(), str(len(nar)), "", str(len(references)), *references]
    return "".join(f"{line}\n" for line in lines)


def _nar(content):
    """A file that is not executable, as Nix's archive."""
    words = [b"nix-archive-1", b"(", b"type", b"regular", b"contents", content, b")"]
    return b"".join(len(word).to_bytes(8, "little") + word + b"\0" * (-len(word) % 8) for word in words)


# --- on a target ---


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a system's program: which action of which system, and how it ended (`None`: it did not)."""

    action: str
    version: str
    status: int | None


def order(machine, action, version, words):
    """Have a system's action (test, boot, dry-activate, switch; snapshot, check) do something else.

    Parameters
    ----------
    machine
        On which machine.
    action, version
        Which action of which system.
    words
        As in orders.sh: "fail 1", "fail 4 late once", "hang", "hang stubborn", "garbage".
    """
    machine.write(f"{ORDERS}/{action}-{version}", f"{words}\n")


def take_back(machine, action, version):
    """Take an order back; what hangs goes on."""
    machine.run(f"rm -f {ORDERS}/{action}-{version}")


def calls(machine):
    """What was called on a machine since it was made, in order of the beginnings."""
    found = {}
    for line in machine.read("/var/log/rig/calls.log").splitlines():
        when, process, action, version, what = line.split()
        if what == "begin":
            found[when, process] = Call(action, version, None)
        else:
            begun = max(key for key in found if key[1] == process)
            found[begun] = Call(action, version, int(what.removeprefix("end:")))
    return list(found.values())


def wait_for_call(machine, action, version, *, within=30):
    """Wait until a system's action was begun."""
    line = shlex.quote(f" {action} {version} begin")
    machine.wait(
        f"grep -q {line} /var/log/rig/calls.log", within=within, what=f"a call of {action} of {version}"
    )


def standing(machine):
    """Which systems a machine runs, booted, has for its boot default and in its profile: four store paths or ""."""
    links = "/run/current-system /run/booted-system /nix/var/nix/profiles/system"
    running, booted, profile = machine.run(f"for each in {links}; do readlink -f $each; done").splitlines()
    return Standing(running, booted, machine.read("/boot/rig/default").strip(), profile)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a machine stands: store paths."""

    running: str
    booted: str
    boot_default: str
    profile: str

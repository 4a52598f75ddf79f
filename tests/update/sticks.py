"""What the tests of sticks share: small systems in the store, keys as Nix makes them, and sticks written from both."""

import hashlib
import json
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nix_tools

from nixel.update import keys
from nixel.update.identity import Identity
from nixel.update.nix import Nix
from nixel.update.stick import About, Source, narinfo, write

COMMAND = (str(nix_tools.ROOT / "tools" / "nix"), "nix")
SYSTEMS = Path(__file__).with_name("stick_systems.nix")
MADE = 1_800_000_000
DATE = 1_790_000_000
ABOUT = About(made=MADE, made_by="the tests", note="for a test")


@contextmanager
def shared_folder():
    """A folder that is the same for Nix in its private root: those of pytest need not be below /tmp."""
    with tempfile.TemporaryDirectory(prefix="nixel-stick-", dir="/tmp") as name:
        yield Path(name)


def identity(host="alpha", *, version="1.0", date=DATE, product="nixel"):
    return Identity(product, host, version, "0" * 40, date)


def build(whose, *, series="shared", size=2000):
    """The store path of a system with this identity."""
    wanted = {"identity": whose.as_json(), "series": series, "size": size}
    arguments = (
        "--no-link",
        "--print-out-paths",
        "--impure",
        "--file",
        SYSTEMS,
        "--argstr",
        "json",
        json.dumps(wanted),
    )
    return nix_tools.run("nix", "build", *arguments).strip()


def nix(store=None):
    return Nix(COMMAND, None if store is None else str(store))


def make_key(place, name="nixel-test-1"):
    """A key, made by Nix."""
    place.touch(0o600)
    place.write_text(nix_tools.run("nix", "key", "generate-secret", "--key-name", name))
    return keys.read_secret(place)


def source(store=None, describe=lambda place: {"format": 1, "about": place.name}):
    return Source(nix(store), nix_tools.prefix() if store is None else Path(store), describe)


def write_stick(folder, systems, key, **more):
    return write(folder, systems, key, source(more.pop("store", None)), more.pop("about", ABOUT), **more)


@dataclass
class Stick:
    """A good stick for one host, and what a machine needs to check it."""

    folder: Path
    system: str
    identity: Identity
    secret: keys.SecretKey

    @property
    def trusted(self):
        return [self.secret.public]

    @contextmanager
    def copy(self):
        """A copy that may be spoilt."""
        with shared_folder() as place:
            folder = place / "stick"
            shutil.copytree(self.folder, folder, symlinks=True)
            yield Stick(folder, self.system, self.identity, self.secret)

    def files(self):
        return sorted(each for each in self.folder.rglob("*") if each.is_file())


@contextmanager
def good_stick():
    """A good stick for one host, beside the file of the key that signed it."""
    with shared_folder() as place:
        secret = make_key(place / "key")
        whose = identity()
        system = build(whose)
        write_stick(place / "stick", [system], secret)
        yield Stick(place / "stick", system, whose, secret)


def nars(folder):
    return sorted((folder / "cache" / "nar").iterdir())


def narinfos(cache):
    return {each: narinfo.parse(each.read_bytes()) for each in sorted(cache.glob("*.narinfo"))}


def pin(content):
    """SHA-256 and size, as a manifest has them."""
    return hashlib.sha256(content).hexdigest(), len(content)


def state(folder):
    """Everything in a folder: what it is, its content, and when it was last changed."""
    found = {}
    for each in sorted(folder.rglob("*")):
        about = each.lstat()
        content = each.read_bytes() if each.is_file() and not each.is_symlink() else None
        found[str(each.relative_to(folder))] = (about.st_mode, about.st_mtime_ns, about.st_ino, content)
    return found

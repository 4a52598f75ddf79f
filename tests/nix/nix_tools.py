"""Nix for the tests: this machine's own or a private one, and a nixpkgs tree that may stand in for the locked one."""

import functools
import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nixel"
# Flake input: environment variable that names a tree, and where one is looked for without it.
TREES = {
    "nixpkgs": ("NIXEL_NIXPKGS", CACHE / "nixpkgs"),
    "nixos-hardware": ("NIXEL_NIXOS_HARDWARE", CACHE / "nixos-hardware"),
    "disko": ("NIXEL_DISKO", CACHE / "disko"),
}


class NixError(AssertionError):
    """A Nix command that failed, with what it said."""


def run(*command, timeout=1800):
    """Run a program where Nix is, and return what it printed."""
    done = subprocess.run(
        [str(ROOT / "tools" / "nix"), *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    if done.returncode != 0:
        raise NixError(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


@functools.cache
def why_no_nix():
    """Why there is no Nix here, or nothing."""
    done = subprocess.run(
        [str(ROOT / "tools" / "nix"), "nix", "--version"], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    # Only a reason in the tool's own words is one to leave the tier out; anything else is a fault of the tool.
    words = done.stderr.strip().splitlines()
    if done.returncode != 2 or not words or not words[-1].startswith("nixel: "):
        raise NixError(f"tools/nix --version ended with {done.returncode}\n{done.stderr}")
    return words[-1].removeprefix("nixel: ")


@functools.cache
def prefix():
    """Where the paths of this Nix's store are to be found: the folder that holds its /nix."""
    done = subprocess.run([str(ROOT / "tools" / "nix"), "--root"], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def on_host(store_path):
    """A store path as this process finds it."""
    return prefix() / str(store_path).lstrip("/")


@functools.cache
def tree(name):
    """A tree that stands in for a flake input, or None."""
    variable, default = TREES[name]
    path = Path(os.environ.get(variable) or default)
    return path if (path / "default.nix").is_file() or (path / "flake.nix").is_file() else None


def why_no_tree(name):
    """Why there is no such tree here."""
    variable, default = TREES[name]
    return f"no {name} tree at {os.environ.get(variable) or default} (name one in {variable})"


@functools.cache
def in_store(name):
    """The store path of a tree; added once, for hashing fifty thousand files takes its time."""
    path = tree(name)
    note = CACHE / "trees" / f"{name}.json"
    stamp = [str(path), path.stat().st_mtime_ns]
    if note.is_file():
        known = json.loads(note.read_text())
        if known["stamp"] == stamp and on_host(known["path"]).is_dir():
            return known["path"]
    expression = f'builtins.path {{ path = {path}; name = "source"; }}'
    found = run("nix", "eval", "--raw", "--impure", "--expr", expression)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"stamp": stamp, "path": found}))
    return found


@functools.cache
def is_complete(system="x86_64-linux"):
    """Whether the nixpkgs tree has the Haskell packages too, of which the flake's formatter is built."""
    expression = (
        f'(import {in_store("nixpkgs")} {{ system = "{system}"; }}).haskellPackages ? safe-exceptions'
    )
    return run("nix", "eval", "--impure", "--expr", expression).strip() == "true"


def overrides(*, completed=False):
    """Arguments that put the local trees in the place of the locked inputs.

    Completed: with stand-ins for what the nixpkgs tree lacks (complete-nixpkgs/flake.nix).
    """
    arguments = ["--no-write-lock-file", "--offline"]
    for name in TREES:
        if tree(name) is None:
            continue
        if completed and name == "nixpkgs":
            arguments += ["--override-input", name, f"path:{ROOT / 'tests' / 'nix' / 'complete-nixpkgs'}"]
            arguments += ["--override-input", "nixpkgs/tree", f"path:{in_store(name)}"]
        else:
            arguments += ["--override-input", name, f"path:{in_store(name)}"]
    return arguments


def flake(verb, attribute="", *more, timeout=1800):
    """`nix VERB` on an attribute of this checkout's flake, with the local trees."""
    reference = f"git+file://{ROOT}" + (f"#{attribute}" if attribute else "")
    return run("nix", *verb.split(), reference, *overrides(), *more, timeout=timeout)


def evaluate(attribute, *, apply=None):
    """The JSON value of an attribute of the flake."""
    more = ["--apply", apply] if apply else []
    return json.loads(flake("eval --json", attribute, *more))

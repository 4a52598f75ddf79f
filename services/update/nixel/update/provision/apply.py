"""The edge: read `nixel.toml` from the boot partition, apply or refuse it, and take the secrets away."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nixel.update import disk
from nixel.update.provision.model import Known, Problem, Provision
from nixel.update.provision.parse import parse
from nixel.update.provision.plan import STATE, WIRELESS, Folder, Keep, Link, Write, plan

if TYPE_CHECKING:
    from pathlib import Path

    from nixel.update.provision.plan import Effect

INPUT = "nixel.toml"
ERRORS = "nixel-errors.txt"
NOTE = "nixel-applied.txt"
MARKER = f"{STATE}/applied.json"

MARK = b"# nixel has applied this file and is removing it.\n"
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: `problems` is empty if the file was applied; `text` tells a person."""

    problems: tuple[Problem, ...]
    text: str


def read(path: Path) -> str | Problem:
    """Read a provisioning file as text.

    Parameters
    ----------
    path
        Which.

    Returns
    -------
    str or Problem
        Its content, or why it is no text.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        return Problem("", f"more than {_MOST_BYTES} bytes", "a short text", "Write only what is to be set.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        begins = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        found = "a text saved as UTF-16" if begins else "bytes that are no UTF-8"
        return Problem("", found, "a text saved as UTF-8", "Choose UTF-8 when the editor saves it.")


def apply(boot: Path, root: Path, known: Known) -> Outcome:
    """Apply the file on the boot partition, or refuse it as a whole.

    Whatever interrupts it, running it again ends where one run would have: the file on the boot partition is the
    last thing that goes.

    Parameters
    ----------
    boot
        Where the boot partition is mounted.
    root
        The root folder of the machine.
    known
        What this machine can be set to.

    Returns
    -------
    Outcome
        A refused file changes nothing but the note of its errors beside it.

    Raises
    ------
    OSError
        If something cannot be read or written.
    """
    source = boot / INPUT
    text = read(source)
    if isinstance(text, str) and text.encode().startswith(MARK):
        disk.erase(source, MARK)
        return Outcome((), f"{INPUT} had been applied before the power went; what was left of it is removed.")
    parsed = [text] if isinstance(text, Problem) else parse(text, known)
    if isinstance(parsed, list):
        told = refusal(parsed)
        disk.write(boot / ERRORS, told.encode(), None)
        return Outcome(tuple(parsed), told)
    assert isinstance(text, str)
    for where in (STATE, WIRELESS):
        disk.sweep(_under(root, where))
    for effect in plan(parsed):
        _do(effect, root)
    marker = {"input_sha256": hashlib.sha256(text.encode()).hexdigest(), "set": parsed.named()}
    disk.write(_under(root, MARKER), (json.dumps(marker, indent=2) + "\n").encode(), 0o600)
    told = note(parsed)
    disk.write(boot / NOTE, told.encode(), None)
    disk.remove(boot / ERRORS)
    disk.erase(source, MARK)
    return Outcome((), told)


def present(root: Path) -> set[str]:
    """List what was provisioned: the paths directly in the state folder."""
    where = _under(root, STATE)
    return {f"{STATE}/{each.name}" for each in where.iterdir()} if where.is_dir() else set()


def refusal(problems: list[Problem]) -> str:
    """Tell a person why a file was refused."""
    many = f"{len(problems)} things in it are" if len(problems) > 1 else "something in it is"
    lines = [f"{INPUT} was refused and nothing was changed: {many} not right.", ""]
    lines += [f"  - {each}" for each in problems]
    lines += [
        "",
        f"Correct {INPUT} on this partition and start the machine again. It still holds what you wrote,",
    ]
    lines += ["secrets included: keep the card or stick to yourself until then.", ""]
    return "\n".join(lines)


def note(provision: Provision) -> str:
    """Tell a person what was applied, without secrets, and what the removal of the file is worth."""
    return "\n".join(
        [
            f"{INPUT} was applied and removed. It set: {', '.join(provision.named())}.",
            "",
            "It was overwritten before it was removed, but flash storage (a card, a stick, an SSD) writes to other",
            "cells than those that are overwritten and may keep the old ones, where a laboratory can find them. They",
            "hold hashes, not passwords, but the hash of a wireless passphrase is enough to join that network. Do not",
            "give the storage away; if it is lost, change the passwords and the wireless passphrase.",
            "",
        ]
    )


def _do(effect: Effect, root: Path) -> None:
    match effect:
        case Folder(path, mode):
            disk.folder(_under(root, path), mode)
        case Write(path, content, mode):
            disk.write(_under(root, path), content, mode)
        case Link(path, target):
            disk.link(_under(root, path), target)
        case Keep(where, suffix, name):
            disk.keep_only(_under(root, where), suffix, name)


def _under(root: Path, path: str) -> Path:
    return root / os.path.relpath(path, "/")

"""Describing a system: from its folder and the store paths of its closure to a document.

A NixOS system is a folder of links: `kernel`, `initrd`, `etc`, `systemd`, ... Whether /etc is built by a script or is
the image of an overlay (`system.etc.overlay`), the system's `etc` leads to the same folder of links, one for each file,
with `FILE.mode`, `FILE.uid` and `FILE.gid` beside those that are copies; the image is made of them.
"""

from __future__ import annotations

import json
import os
import re
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.update import identity, storenames, unitfile
from nixel.update.document import Document, bounded
from nixel.update.refusal import Refusal
from nixel.update.system import resolve
from nixel.update.tree import Kind, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nixel.update.tree import Place
    from nixel.update.unitfile import Unit

# What only a restart replaces, as links of the system's folder.
PARTS = ("kernel", "kernel-modules", "initrd", "dtbs", "firmware")
_UNITS = "systemd/system"
_MODES = (".mode", ".uid", ".gid")
_MOST_UNIT = 256 * 1024
# A larger file is told by its store path instead of by its content, and so is a folder of more files.
_MOST_FILE = 1024 * 1024
_MOST_FOLDER = 100
_MODULES = re.compile(r"[0-9]+\.[0-9].*")
_UNIT = re.compile(r".+\.(?:service|socket|timer|target|mount|automount|swap|path|slice|scope|device)")
_INSTANCE = re.compile(r"([^@]+@)[^@]+(\.[a-z]+)")


def describe(system: Path, closure: Mapping[str, int | None], root: Path = Path("/")) -> dict[str, Any]:
    """Describe a system.

    Parameters
    ----------
    system
        Its folder, as this process finds it.
    closure
        From each store path of its closure to its size in bytes; `None` where that is not known.
    root
        The root folder of the machine whose store holds it.

    Returns
    -------
    dict
        Plain data of at most 1 MiB of JSON; `document.parse` reads it.

    Raises
    ------
    Refusal
        If it is no system in that store.
    """
    tree = Tree(root)
    top = locate(system, root)
    kernel = tree.find(f"{top}/kernel").path
    document = Document(
        path=top,
        identity=_identity(tree, top),
        nixos=(tree.text(f"{top}/nixos-version") or "").strip(),
        systemd=_version(tree.find(f"{top}/systemd").path),
        kernel=_modules(tree, top) or _version(kernel),
        interface=(tree.text(f"{top}/init-interface-version") or "").strip(),
        inhibitors=_inhibitors(tree.text(f"{top}/switch-inhibitors")),
        parts=_parts(tree, top),
        parameters=tuple((tree.text(f"{top}/kernel-params") or "").split()),
        packages=storenames.programs(closure),
        paths={
            storenames.identifier(path): -1 if size is None else size
            for path, size in sorted(closure.items())
        },
        units=_units(tree, f"{top}/etc/{_UNITS}"),
        mounts=_mounts(tree.text(f"{top}/etc/fstab", _MOST_FILE) or ""),
        etc=_etc(tree, f"{top}/etc"),
        left_out={},
    )
    return bounded(document)


def locate(system: Path, root: Path = Path("/")) -> str:
    """Tell which system a path leads to.

    Parameters
    ----------
    system
        A folder or a link to one, as this process finds it.
    root
        The root folder of the machine whose store holds it.

    Returns
    -------
    str
        Its store path.

    Raises
    ------
    Refusal
        If it is no system in that store.
    """
    todo = "Name the folder of a NixOS system, as /run/current-system, or its store path."
    absolute = Path(os.path.abspath(system))  # noqa: PTH100 (links stay: they are the machine's, not this process's)
    if not absolute.is_relative_to(root.absolute()):
        raise Refusal(f"{system} is not below {root}.", todo)
    found = resolve(root, f"/{absolute.relative_to(root.absolute())}")
    if found is None:
        raise Refusal(f"{system} is missing or leads nowhere.", todo)
    if not found.startswith(storenames.STORE) or "/" in found.removeprefix(storenames.STORE):
        raise Refusal(f"{system} leads to {found}, which is no store path.", todo)
    if Tree(root).find(f"{found}/etc").kind is not Kind.FOLDER:
        raise Refusal(f"{system} ({found}) has no etc, which every NixOS system has.", todo)
    return found


def _identity(tree: Tree, top: str) -> identity.Identity | None:
    text = tree.text(f"{top}/{identity.FILE}")
    if text is None:
        return None
    try:
        return identity.parse(json.loads(text), f"{top}/{identity.FILE}")
    except ValueError as error:
        raise Refusal(f"{top}/{identity.FILE} is no JSON ({error}).", "Make the system again.") from error


def _version(path: str) -> str:
    try:
        found = storenames.program(path)
    except ValueError:
        return ""
    return found[1] if found else ""


def _modules(tree: Tree, top: str) -> str:
    """The kernel's own name for its version, which its modules' folder has."""
    place = tree.find(f"{top}/kernel-modules/lib/modules")
    names = tree.names(place.path) if place.kind is Kind.FOLDER else []
    return next((name for name in names if _MODULES.fullmatch(name)), "")


def _inhibitors(text: str | None) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _parts(tree: Tree, top: str) -> dict[str, str]:
    found = {}
    for part in PARTS:
        place = tree.find(f"{top}/{part}")
        if place.kind in (Kind.FILE, Kind.FOLDER):
            found[part] = blake2b(place.path.encode(), digest_size=8).hexdigest()
    return found


def _mounts(fstab: str) -> dict[str, list[str]]:
    found = {}
    for line in fstab.splitlines():
        words = line.split()
        if "#" not in line and len(words) >= 3 and words[2] != "swap":
            found[words[1]] = [words[0], words[2], words[3] if len(words) > 3 else ""]
    return found


# --- units ---


def _units(tree: Tree, folder: str) -> dict[str, Unit]:
    place = tree.find(folder)
    if place.kind is not Kind.FOLDER:
        return {}
    here = place.path
    files: dict[str, Place] = {}
    folders: dict[str, list[str]] = {}
    for name in tree.names(here):
        each = tree.find(f"{here}/{name}")
        if each.kind is Kind.FILE and _UNIT.fullmatch(name):
            files[name] = each
        elif each.kind is Kind.FOLDER:
            folders[name] = tree.names(each.path)
    # A second name for a unit that has its own is no unit of its own.
    real = {name: each.path.rpartition("/")[2] for name, each in files.items()}
    files = {name: each for name, each in files.items() if real[name] == name or real[name] not in real}
    pulled = [name for name in folders if name.endswith((".wants", ".requires", ".upholds"))]
    wanted = {unit for name in pulled for unit in folders[name]}
    names = set(files) | {name.removesuffix(".d") for name in folders if name.endswith(".d")} | wanted
    found = {}
    for name in sorted(names):
        base = name
        if base not in files:
            instance = _INSTANCE.fullmatch(name)
            base = instance[1] + instance[2] if instance else name
        if base not in files:
            continue
        texts = [_text(tree, files[base])]
        for owner in dict.fromkeys((base, name)):
            texts += _drop_ins(tree, f"{here}/{owner}.d", folders.get(f"{owner}.d", ()))
        needs = folders.get(f"{name}.requires", ())
        found[name] = unitfile.unit(name, unitfile.parse(texts), needs, wanted=name in wanted)
    return found


def _drop_ins(tree: Tree, folder: str, names: Iterable[str]) -> Iterator[str]:
    for name in sorted(names):
        if name.endswith(".conf"):
            place = tree.find(f"{folder}/{name}")
            if place.kind is Kind.FILE:
                yield _text(tree, place)


def _text(tree: Tree, place: Place) -> str:
    return tree.read(place.path, _MOST_UNIT).decode("utf-8", "replace")


# --- /etc ---


def _etc(tree: Tree, folder: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    place = tree.find(folder)
    if place.kind is Kind.FOLDER:
        _walk(tree, place.path, "", found)
    return dict(sorted(found.items()))


def _walk(tree: Tree, folder: str, below: str, found: dict[str, list[str]]) -> None:
    names = tree.names(folder)
    there = set(names)
    for name in names:
        stem, dot, _ = name.rpartition(".")
        if dot and stem in there and f".{name[len(stem) + 1 :]}" in _MODES:
            continue
        path = f"{below}{name}"
        if path == _UNITS:
            continue
        place = tree.find(f"{folder}/{name}")
        modes = [
            tree.text(f"{folder}/{name}{each}", 100) or "" for each in _MODES if f"{name}{each}" in there
        ]
        if place.kind is not Kind.FOLDER:
            found[path] = _digests(tree, place, "".join(modes))
        elif place.path == f"{folder}/{name}" or _small(tree, place.path):
            _walk(tree, place.path, f"{path}/", found)
        else:
            found[f"{path}/"] = _twice(place.path)


def _small(tree: Tree, folder: str) -> bool:
    """Whether a folder that is a package's, not the system's own, is small enough to be looked through."""
    count = 0
    for _, folders, files in os.walk(tree.at(folder)):
        count += len(folders) + len(files)
        if count > _MOST_FOLDER:
            return False
    return True


def _digests(tree: Tree, place: Place, modes: str) -> list[str]:
    if place.kind is not Kind.FILE:
        return _twice(f"{place.kind.value} {place.path}")
    content = tree.read(place.path, _MOST_FILE + 1)
    if len(content) > _MOST_FILE:
        return _twice(place.path + modes)
    text = content.decode("utf-8", "surrogateescape") + modes
    return _twice(text)


def _twice(text: str) -> list[str]:
    plain = storenames.without_hashes(text) if storenames.STORE in text else text
    return [
        blake2b(each.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest() for each in (text, plain)
    ]

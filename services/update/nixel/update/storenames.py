"""Which program, and which version of it, a store path's name says.

Nix splits a name at its first dash that is followed by something other than a letter: what stands before is the
program, what follows its version (`builtins.parseDrvName`). The name of a path also carries its output (`-dev`,
`-man`); that is dropped as `nix store diff-closures` drops it, lower-case words at the end, but only after a version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

STORE = "/nix/store/"
# Nix's base 32 has no e, o, t and u.
_PATH = re.compile(r"/nix/store/([0-9abcdfghijklmnpqrsvwxyz]{32})-([0-9A-Za-z+._?=-]+)")
_OUTPUTS = re.compile(r"(.*?)(?:-(?!(?:alpha|beta|pre|rc|unstable|dirty|git)(?:-|$))[a-z]+)+")
_WORD_VERSION = re.compile(r"[0-9]")
# Files and units are no programs, although a number may stand in their names.
_FILES = (
    ".service .socket .timer .target .mount .slice .path .conf .sh .bash .json .toml .yaml .xml .rules .patch .drv .gz"
    " .xz .bz2 .zst .zip .tgz .whl .py .pl .c .nix .txt .pem .crt .img .iso .ini .cfg .pam .desktop"
)
_SUFFIXES = tuple(_FILES.split())
_OURS_BY_OTHER_MEANS = ("nixos-system-", "initrd-", "unit-", "etc-")
# 65 bits of the hash, enough to tell a machine's paths apart.
_ID = 13


def identifier(path: str) -> str:
    """Shorten a store path to what tells it from the others of a closure.

    Parameters
    ----------
    path
        A store path, or a path below one.

    Returns
    -------
    str
        The first 65 bits of its hash, as 13 characters.

    Raises
    ------
    ValueError
        If it is no store path.
    """
    return _match(path)[1][:_ID]


def program(path: str) -> tuple[str, str] | None:
    """Tell the program and the version in a store path.

    Parameters
    ----------
    path
        A store path.

    Returns
    -------
    tuple of str, or None
        Name and version; `None` for what has no version, or is a file, a unit or a part that is told of otherwise.

    Raises
    ------
    ValueError
        If it is no store path.
    """
    found = _match(path)[2]
    if found.endswith(_SUFFIXES) or found.startswith(_OURS_BY_OTHER_MEANS):
        return None
    name, version = split(found)
    if not _WORD_VERSION.search(version):
        return None
    outputs = _OUTPUTS.fullmatch(version)
    return name, outputs[1] if outputs and outputs[1] else version


def split(name: str) -> tuple[str, str]:
    """Split a name as Nix does.

    Parameters
    ----------
    name
        A store path's name, or a derivation's.

    Returns
    -------
    tuple of str
        Name and version; the version is empty if there is none.
    """
    for index in range(len(name) - 1):
        following = name[index + 1]
        if name[index] == "-" and not (following.isascii() and following.isalpha()):
            return name[:index], name[index + 1 :]
    return name, ""


def programs(paths: Iterable[str]) -> dict[str, list[str]]:
    """Tell the programs of a closure.

    Parameters
    ----------
    paths
        Its store paths.

    Returns
    -------
    dict
        From each name to its versions, sorted.

    Raises
    ------
    ValueError
        If one is no store path.
    """
    found: dict[str, set[str]] = {}
    for path in paths:
        each = program(path)
        if each is not None:
            found.setdefault(each[0], set()).add(each[1])
    return {name: sorted(found[name]) for name in sorted(found)}


def without_hashes(text: str) -> str:
    """Name programs instead of store paths, so that two texts are alike if they differ in nothing else.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        The same, each store path without its hash and its version.
    """
    return _PATH.sub(lambda match: STORE + split(match[2])[0], text)


def _match(path: str) -> re.Match[str]:
    match = _PATH.match(path)
    if match is None:
        raise ValueError(f"{path!r} is no store path: {STORE}, 32 characters and a name were expected")
    return match

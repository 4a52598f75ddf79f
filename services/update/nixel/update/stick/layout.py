"""Where everything stands on a stick, and what it says to whoever opens it."""

from __future__ import annotations

CACHE = "cache"
NARS = "cache/nar"
HOSTS = "hosts"
# Nix makes these in a cache that lacks them, and so could not read one that is mounted read-only.
EMPTY = ("cache/log", "cache/realisations", "cache/build-trace-v2")
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"

# Neither text ever changes: the manifests that are on a stick pin them for every host.
CACHE_INFO_TEXT = b"StoreDir: /nix/store\n"
README_TEXT = b"""\
This stick brings systems to nixel machines.

Plug it into the machine, or mount it there and type

    nixel-update install FOLDER

with this folder. The machine shows what would change, and asks before it changes anything.

Change nothing here: every file is signed for, and the machine refuses a stick on which one differs.
To write it again, ask whoever made it.
"""


def manifest(host: str) -> str:
    """Where a host's manifest stands.

    Parameters
    ----------
    host
        Its name.

    Returns
    -------
    str
        Below the stick's folder.
    """
    return f"{HOSTS}/{host}/{MANIFEST}"


def signature(host: str) -> str:
    """Where the signature of a host's manifest stands.

    Parameters
    ----------
    host
        Its name.

    Returns
    -------
    str
        Below the stick's folder.
    """
    return f"{HOSTS}/{host}/{SIGNATURE}"

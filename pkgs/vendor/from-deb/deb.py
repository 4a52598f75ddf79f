"""What the steps of from-deb.nix share: the declarations, where files were and are, and how a step refuses."""

import json
import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

ATTRIBUTES = json.loads(Path(os.environ["NIX_ATTRS_JSON_FILE"]).read_text())
DECLARED = ATTRIBUTES["debFile"]
OUT = Path(ATTRIBUTES["outputs"]["out"])
# Written by the first step for the later ones: old place to new place, of every file and folder of the .deb.
PLACES = Path(os.environ["NIX_BUILD_TOP"]) / "places.json"
OPENED_FOLDERS = Path(os.environ["NIX_BUILD_TOP"]) / "opened-folders"

# Folders of /usr/share and /usr/lib that every package fills; their names in a file say nothing of this one.
COMMON = {
    "applications", "bash-completion", "cmake", "dbus-1", "doc", "fonts", "icons", "info", "lintian", "locale", "man",
    "metainfo", "mime", "pixmaps", "pkgconfig", "polkit-1", "systemd", "udev",
}  # fmt: skip
MULTIARCH = re.compile(r"[a-z0-9_]+-linux-gnu[a-z0-9]*")
ELF = b"\x7fELF"


def refuse(problems: list[str]) -> None:
    """End the build with every problem at once."""
    if problems:
        print(f"\n{DECLARED['pname']}: this .deb cannot be packaged as declared.", file=sys.stderr)
        for problem in problems:
            print(f"\n  {problem}", file=sys.stderr)
        print("\n  docs/vendor.md says how each of these is set right.\n", file=sys.stderr)
        sys.exit(1)


def files() -> list[Path]:
    """Every regular file of the package, once."""
    return [path for path in sorted(OUT.rglob("*")) if path.is_file() and not path.is_symlink()]


def short(path: Path) -> str:
    """A file of the package as a declaration names it."""
    return str(path.relative_to(OUT))


def is_elf(path: Path) -> bool:
    """Whether the file is a program or library."""
    with path.open("rb") as stream:
        return stream.read(4) == ELF


def new_place(old: str) -> Path:
    """Where a path of the .deb is in the package: /usr, /usr/local and the architecture's folder fall away."""
    parts = list(PurePosixPath(old).parts[1:])
    if parts[:1] == ["usr"]:
        parts = parts[2:] if parts[1:2] == ["local"] else parts[1:]
    if parts and parts[0] in ("lib64", "lib"):
        parts = ["lib", *(parts[2:] if len(parts) > 1 and MULTIARCH.fullmatch(parts[1]) else parts[1:])]
    if parts[:1] == ["sbin"]:
        parts = ["bin", *parts[1:]]
    return OUT.joinpath(*parts)


def is_own(old: str) -> bool:
    """Whether a folder of the .deb is the vendor's alone, so that its name in a file means this package's."""
    parts = PurePosixPath(old).parts[1:]
    if parts[:2] == ("usr", "local"):
        return True
    if parts[:1] == ("opt",):
        return len(parts) > 1
    return len(parts) > 2 and parts[0] == "usr" and not (COMMON & {*parts} or MULTIARCH.fullmatch(parts[-1]))


def mentions(places: dict[str, Any]) -> re.Pattern[bytes]:
    """A pattern that finds any of these paths as a whole, the longest first."""
    longest_first = sorted(places, key=len, reverse=True)
    # Neither a longer name nor a path that only ends like ours: /usr/local/library, /srv/usr/local.
    return re.compile(
        rb"(?<![A-Za-z0-9_.@+-])(?:"
        + b"|".join(re.escape(path.encode()) for path in longest_first)
        + rb")(?![A-Za-z0-9_@+-])"
    )

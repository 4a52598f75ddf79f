"""The command line of `nixel-support`."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.update.support.bundle import collect, pack, write_new
from nixel.update.support.machine import ThisMachine
from nixel.update.support.sources import SAFETY_EVENTS, sources

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIGURATION = "etc/nixel/support.toml"
# Where the imaging service keeps its data unless the configuration says otherwise.
DATA = "/var/lib/nixel-imaging"


class SupportError(Exception):
    """What the person at the keyboard can set right."""


def parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Returns
    -------
    argparse.ArgumentParser
        Of nixel-support.
    """
    made = argparse.ArgumentParser(prog="nixel-support", description="Help from afar.")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    bundle = commands.add_parser(
        "bundle",
        help="put journal, safety events, versions and hardware into one file; no images, no secrets",
    )
    bundle.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new file, NAME.tar.xz")
    bundle.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="look at the machine under DIR"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run nixel-support.

    Parameters
    ----------
    argv
        The arguments; those of the process if `None`.

    Returns
    -------
    int
        0, or 2 with one paragraph on stderr.
    """
    arguments = parser().parse_args(argv)
    try:
        print(_bundle(arguments.root, arguments.out))
    except SupportError as error:
        print(f"nixel-support: {error}", file=sys.stderr)
        return 2
    return 0


def _bundle(root: Path, out: Path) -> str:
    if out.exists() or out.is_symlink():
        raise SupportError(f"{out} is there already and is not overwritten. Name a new file.")
    if not out.name.endswith(".tar.xz"):
        raise SupportError(
            f"{out} would be a tar archive compressed with xz. Name a file that ends in .tar.xz."
        )
    if not out.parent.is_dir():
        raise SupportError(f"{out.parent} is not a folder. Name a file in a folder that is there.")
    events, data = _configuration(root)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    files, manifest = collect(ThisMachine(root, data), sources(events), now.isoformat())
    try:
        write_new(out, pack(files, manifest, int(now.timestamp())))
    except OSError as error:
        raise SupportError(f"{out} cannot be written: {error.strerror}. Name a file elsewhere.") from error
    lines = [
        f"{out} holds {len(files)} files. No images are in it, and what looked like a secret is removed."
    ]
    lines += [f"  not taken: {each['what']}: {each['why']}" for each in manifest["not_taken"]]
    lines.append("Look through it before you hand it on: a journal can name people.")
    return "\n".join(lines)


def _configuration(root: Path) -> tuple[str, tuple[str, ...]]:
    """Read where the safety events and the instrument's data are."""
    file = root / CONFIGURATION
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = {}
    except (OSError, ValueError) as error:
        raise SupportError(
            f"/{CONFIGURATION} cannot be read: {error}. The system writes it: update it."
        ) from error
    events, data = found.get("safety-events", SAFETY_EVENTS), found.get("data", [DATA])
    paths = [events, *data] if isinstance(data, list) else [None]
    if not all(isinstance(each, str) and each.startswith("/") for each in paths):
        raise SupportError(f"/{CONFIGURATION}: safety-events is an absolute path, data a list of them.")
    return events, tuple(data)


if __name__ == "__main__":
    sys.exit(main())

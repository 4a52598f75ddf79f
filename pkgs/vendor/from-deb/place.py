"""First step: move the .deb's files to where a Nix package has them, and set right the paths that they name.

A text may grow, so a path in it becomes its new place. A program may not; but an absolute path by which it opens one of
its own libraries can be cut to the library's name, which is then looked for like any needed library.
"""

import json
import os
import posixpath
import re
import shutil
from pathlib import Path

import deb


def contents(root: Path) -> dict[str, Path]:
    """Old place to entry, of everything that the .deb has; parents before children."""
    return {"/" + str(path.relative_to(root)): path for path in sorted(root.rglob("*"))}


def place(entries: dict[str, Path]) -> tuple[dict[str, Path], list[str]]:
    """Copy the files; returns old place to new place of the vendor's own, and the problems."""
    places: dict[str, Path] = {}
    taken: dict[Path, str] = {}
    problems: list[str] = []
    links: list[tuple[str, Path, Path]] = []
    for old, entry in entries.items():
        new = deb.new_place(old)
        if entry.is_symlink():
            links.append((old, entry, new))
        elif entry.is_dir():
            new.mkdir(parents=True, exist_ok=True)
            if deb.is_own(old):
                places[old] = new
            continue
        elif new in taken:
            problems.append(
                f"{old} and {taken[new]} would both become {deb.short(new)}: their .deb needs its own expression."
            )
        else:
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(entry, new)
            new.chmod(0o755 if os.access(entry, os.X_OK) else 0o644)
        taken[new] = old
        places[old] = new
    for old, entry, new in links:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(old), entry.readlink()))
        if target not in entries:
            problems.append(
                f"{old} is a link to {target}, which the .deb does not have: another package's file?"
            )
        elif deb.new_place(target) != new:
            new.parent.mkdir(parents=True, exist_ok=True)
            new.symlink_to(deb.new_place(target))
    return places, problems


def correct_text(path: Path, data: bytes, places: dict[str, Path]) -> None:
    """A text's paths become the new places."""
    corrected = deb.mentions(places).sub(lambda match: str(places[match[0].decode()]).encode(), data)
    if corrected != data:
        path.write_bytes(corrected)
        print(f"from-deb: {deb.short(path)}: paths corrected")


def correct_elf(path: Path, data: bytes, libraries: dict[str, Path]) -> set[str]:
    """The paths by which a program opens its own libraries become their names; returns the folders to look in."""
    folders = set()
    for old, new in libraries.items():
        whole = old.encode() + b"\0"
        name = posixpath.basename(old).encode()
        data, count = re.subn(rb"(?<=\0)" + re.escape(whole), name.ljust(len(whole), b"\0"), data)
        if count:
            print(f"from-deb: {deb.short(path)}: opens {name.decode()} by its name, not as {old}")
            folders.add(str(new.parent))
    if folders:
        path.write_bytes(data)
    return folders


def link_programs() -> list[str]:
    """Bring the declared programs into bin/; returns the problems."""
    problems = []
    for program in deb.DECLARED["programs"]:
        if not (deb.OUT / program).is_file():
            problems.append(f"programs: there is no {program} in the package.")
            continue
        link = deb.OUT / "bin" / Path(program).name
        link.parent.mkdir(exist_ok=True)
        if not link.exists():
            link.symlink_to(deb.OUT / program)
    return problems


def main() -> None:
    """Place, correct, link, and note what the later steps need."""
    places, problems = place(contents(Path.cwd()))
    deb.refuse(problems)
    libraries = {old: new for old, new in places.items() if new.is_file() and deb.is_elf(new)}
    folders = set()
    for path in deb.files():
        data = path.read_bytes()
        if data.startswith(deb.ELF):
            folders |= correct_elf(path, data, libraries)
        elif b"\0" not in data and places:
            correct_text(path, data, places)
    deb.refuse(link_programs())
    deb.PLACES.write_text(json.dumps({old: str(new) for old, new in places.items()}))
    deb.OPENED_FOLDERS.write_text("".join(f"{folder}\n" for folder in sorted(folders)))


main()

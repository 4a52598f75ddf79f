"""What this machine has: the loader's cache and folders, the closure in the Nix store, libraries below a folder."""

import contextlib
import os
import re
import struct
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from posixpath import dirname, join, normpath

from nixel.acquisition.doctor.elf import Elf, ElfError, is_elf, read_elf
from nixel.acquisition.doctor.loader import Search

CACHE = Path("/etc/ld.so.cache")
RUNNING_SYSTEM = Path("/run/current-system")
STORE = "/nix/store/"
# Debian's names of folders, by architecture.
MULTIARCH = {
    "x86_64": "x86_64-linux-gnu",
    "aarch64": "aarch64-linux-gnu",
    "i386": "i386-linux-gnu",
    "arm": "arm-linux-gnueabihf",
    "riscv64": "riscv64-linux-gnu",
}
LIBRARY = re.compile(r"\.so(\.[0-9A-Za-z_.]+)?$")
# A folder that somebody names may be the root of a disk.
MOST_FILES = 20_000
# As many as the kernel follows.
MOST_LINKS = 40


def read_cache(data: bytes) -> dict[str, list[str]]:
    """Name of a library to its files, of an ld.so.cache (glibc's format since 2.32, glibc-ld.so.cache1.1).

    What is no such cache, or is cut off, has what can be read of it.
    """
    start = data.find(b"glibc-ld.so.cache1.1")
    found: dict[str, list[str]] = {}
    if start < 0 or len(data) < start + 48:
        return found
    (count,) = struct.unpack_from("=I", data, start + 20)
    # Offsets count from the beginning of this part; entries are flags, name, file, system version, capabilities.
    part = data[start:]
    for index in range(min(count, (len(part) - 48) // 24)):
        _, key, value, _, capabilities = struct.unpack_from("=IIIIQ", part, 48 + index * 24)
        # Variants for newer processors stand beside the plain one.
        if capabilities:
            continue
        name, path = (
            part[offset : max(part.find(b"\0", offset), offset)].decode(errors="replace")
            for offset in (key, value)
        )
        if name and path:
            found.setdefault(name, []).append(path)
    return found


def this_search(elf: Elf, interpreter: str | None, environment: Mapping[str, str]) -> Search:
    """The loader's search on this machine, for files of one architecture.

    Parameters
    ----------
    elf
        A file of that architecture.
    interpreter
        The loader, where it is known; in the Nix store it looks beside itself, and there is no cache.
    environment
        The environment's variables.
    """
    multiarch = MULTIARCH.get(elf.machine.architecture)
    folders = [f"/lib/{multiarch}", f"/usr/lib/{multiarch}"] if multiarch else []
    wide = "lib64" if elf.machine.bits == 64 else "lib"
    folders += [f"/{wide}", f"/usr/{wide}", "/lib", "/usr/lib"]
    cache = {}
    if interpreter is not None and interpreter.startswith(STORE):
        folders = [str(Path(interpreter).parent)]
    else:
        with contextlib.suppress(OSError):
            cache = read_cache(CACHE.read_bytes())
    return Search(
        environment=tuple(filter(None, re.split("[:;]", environment.get("LD_LIBRARY_PATH", "")))),
        cache=cache,
        folders=tuple(dict.fromkeys(folders)),
        library_folder=f"lib/{multiarch}" if multiarch and Path(f"/lib/{multiarch}").is_dir() else wide,
        platform=elf.machine.architecture,
    )


class Files:
    """Programs and libraries by their place, each read once; those of a .deb as if it were installed.

    Parameters
    ----------
    unpacked
        Place to file, of what is not installed.
    links
        Place to target, of the .deb's symbolic links.
    """

    def __init__(
        self, unpacked: Mapping[str, Path] | None = None, links: Mapping[str, str] | None = None
    ) -> None:
        self._unpacked = unpacked or {}
        self._links = links or {}
        self._read: dict[str, Elf | None] = {}

    def open(self, place: str) -> Elf | None:
        """The program or library at a place; None if there is none that can be read."""
        place = self.resolve(place)
        if place not in self._read:
            path = self._unpacked.get(place, Path(place))
            try:
                self._read[place] = read_elf(path, place) if is_elf(path) else None
            except (ElfError, OSError):
                self._read[place] = None
        return self._read[place]

    def resolve(self, place: str) -> str:
        """A place with the .deb's links followed, of files and of folders."""
        place = normpath(place)
        for _ in range(MOST_LINKS):
            parents = [str(parent) for parent in PurePosixPath(place).parents]
            linked = next((each for each in (*reversed(parents), place) if each in self._links), None)
            if linked is None:
                break
            target = normpath(join(dirname(linked), self._links[linked]))
            place = normpath(target + place[len(linked) :])
        return place


def closure(start: Iterable[Path], environment: Mapping[str, str]) -> list[Path]:
    """The store paths that files in the Nix store need, all the way down, as Nix knows them.

    Without Nix's own program there are none: references stand in its database alone.
    """
    roots = [path for path in start if str(path).startswith(STORE)]
    if not roots:
        return []
    tops = sorted({STORE + str(path)[len(STORE) :].split("/")[0] for path in roots})
    try:
        said = subprocess.run(
            ["nix-store", "--query", "--requisites", *tops],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=dict(environment),
        )
    except (OSError, subprocess.TimeoutExpired):
        return [Path(top) for top in tops]
    if said.returncode:
        return [Path(top) for top in tops]
    return [Path(line) for line in said.stdout.splitlines() if line.startswith(STORE)]


def libraries_in(folder: Path, *, deep: bool) -> Iterator[Path]:
    """The libraries in a folder, or also in those below it; folders that cannot be read are passed over."""
    seen = 0
    if not deep:
        with contextlib.suppress(OSError):
            yield from sorted(path for path in folder.iterdir() if LIBRARY.search(path.name))
        return
    for parent, below, names in os.walk(folder):
        below.sort()
        for name in sorted(names):
            seen += 1
            if seen > MOST_FILES:
                return
            if LIBRARY.search(name):
                yield Path(parent, name)


def system_libraries(search: Search) -> Iterator[Path]:
    """The libraries of the machine, as the loader knows them."""
    for paths in search.cache.values():
        yield from map(Path, paths)
    for folder in (*search.environment, *search.folders, "/usr/local/lib", f"{RUNNING_SYSTEM}/sw/lib"):
        yield from libraries_in(Path(folder), deep=False)

"""Where the loader looks for a needed library, and which libraries it loads with a file (glibc, elf/dl-load.c)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import dirname, join, normpath

from nixel.acquisition.doctor.elf import Elf, Machine
from nixel.acquisition.doctor.tables import Wanted

TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))")

# A place to the program or library there, if there is one.
Open = Callable[[str], Elf | None]


@dataclass(frozen=True)
class Search:
    """What of the search is the machine's, not the file's.

    Attributes
    ----------
    environment
        The folders of LD_LIBRARY_PATH.
    cache
        Name of a library to its files, as ldconfig found them.
    folders
        Where the loader looks last.
    library_folder
        What $LIB stands for.
    """

    environment: tuple[str, ...] = ()
    cache: Mapping[str, Sequence[str]] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    library_folder: str = "lib"
    platform: str = "x86_64"


@dataclass(frozen=True)
class Missing:
    """A needed library that is not found."""

    name: str
    # The file that needs it, and which file needs that, up to the one that is examined.
    needed_by: tuple[Elf, ...]
    # Files of that name for another machine, which the loader passes over.
    passed_over: tuple[Elf, ...] = ()


@dataclass(frozen=True)
class Scope:
    """What is loaded with a file, in the order in which symbols are looked for, and what is not there."""

    loaded: tuple[Elf, ...]
    missing: tuple[Missing, ...]

    def named(self, name: str) -> Elf | None:
        """The loaded file that a needed library's name stands for."""
        return next((elf for elf in self.loaded if name in (elf.soname, elf.name)), None)

    def provider(self, wanted: Wanted) -> Elf | None:
        """The first file that defines a symbol."""
        return next((elf for elf in self.loaded if elf.defines(wanted)), None)


def expand(entry: str, origin: str, search: Search) -> str:
    """An entry of a search path with $ORIGIN, $LIB and $PLATFORM replaced."""
    meanings = {"ORIGIN": origin, "LIB": search.library_folder, "PLATFORM": search.platform}
    return TOKEN.sub(lambda match: meanings[match[1] or match[2]], entry)


def entries(path: str | None) -> list[str]:
    """The entries of an RPATH or RUNPATH."""
    return [] if path is None else path.split(":")


def folders(elf: Elf, ancestors: Sequence[Elf], search: Search) -> list[str]:
    """Where the loader looks for what a file needs, but for the cache: until there, and after."""

    def written(of: Elf, path: str | None) -> list[str]:
        return [normpath(expand(entry, dirname(of.place), search) or ".") for entry in entries(path)]

    before: list[str] = []
    # A file with a RUNPATH is looked for by that alone; else its RPATH counts, and those of all that led to it.
    if elf.runpath is None:
        for each in (elf, *ancestors):
            if each.runpath is None:
                before += written(each, each.rpath)
    return [*before, *search.environment, *written(elf, elf.runpath)]


def find(
    name: str, elf: Elf, ancestors: Sequence[Elf], machine: Machine, search: Search, opened: Open
) -> tuple[Elf | None, tuple[Elf, ...]]:
    """The library of a name that a file needs, and those that were passed over as another machine's."""
    if "/" in name:
        places = [expand(name, dirname(elf.place), search)]
    else:
        places = [
            *(join(folder, name) for folder in folders(elf, ancestors, search)),
            *search.cache.get(name, ()),
            *(join(folder, name) for folder in search.folders),
        ]
    passed_over: dict[str, Elf] = {}
    for place in places:
        found = opened(place)
        if found is None:
            continue
        if found.machine == machine:
            return found, ()
        passed_over.setdefault(found.place, found)
    return None, tuple(passed_over.values())


def load(start: Sequence[Elf], search: Search, opened: Open, supplied: Open = lambda _: None) -> Scope:
    """All that the loader loads with some files, breadth first, and what of that is missing.

    Parameters
    ----------
    start
        The files; the host program first, if there is one.
    search
        The machine's folders.
    opened
        Reads the file at a place.
    supplied
        What stands in for a library that the loader would not find, by its name; it is still missing, but what it
        defines is taken into account.
    """
    loaded: dict[str, Elf] = {}
    known: set[str] = set()
    missing: dict[str, Missing] = {}
    waiting: list[tuple[Elf, tuple[Elf, ...]]] = [(elf, ()) for elf in start]
    while waiting:
        elf, ancestors = waiting.pop(0)
        if elf.place in loaded:
            continue
        loaded[elf.place] = elf
        known |= {elf.name} | ({elf.soname} if elf.soname else set())
        for name in elf.needed:
            if name in known or name in missing:
                continue
            found, passed_over = find(name, elf, ancestors, start[-1].machine, search, opened)
            if found is None:
                missing[name] = Missing(name, (elf, *ancestors), passed_over)
                found = supplied(name)
            if found is not None:
                known.add(name)
                waiting.append((found, (elf, *ancestors)))
    return Scope(tuple(loaded.values()), tuple(missing.values()))

"""Which libraries define the symbols that a file lacks: all within reach are asked, and the likeliest chosen."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydemumble

from nixel.acquisition.doctor.elf import Machine
from nixel.acquisition.doctor.packages import LIBC, attribute, guess
from nixel.acquisition.doctor.tables import TableError, Tables, Wanted, open_tables

# Demangling goes deeper with each level of a name, and a hostile name has as many as it likes.
LONGEST_MANGLED = 2000
# e_machine, of those that a file can be for.
MACHINES = {3: "EM_386", 40: "EM_ARM", 62: "EM_X86_64", 183: "EM_AARCH64", 243: "EM_RISCV"}


def readable(symbol: str) -> str:
    """A C++ or Rust symbol as a person writes it; another as it is."""
    if not symbol.startswith(("_Z", "_R")) or len(symbol) > LONGEST_MANGLED:
        return symbol
    return pydemumble.demangle(symbol) or symbol


@dataclass(frozen=True)
class Provider:
    """A library that defines symbols.

    Attributes
    ----------
    place
        Its file.
    soname
        The name by which it is needed.
    where
        "package", "folder", "closure" or "system": from near to far.
    """

    place: str
    soname: str
    where: str

    @property
    def stem(self) -> str:
        """Its name without lib, .so and version."""
        return re.sub(r"^lib|\.so.*$", "", self.soname)


@dataclass(frozen=True)
class Library:
    """A file to ask; `place` is where it is said to be."""

    path: Path
    place: str
    where: str


def search(
    wanted: Sequence[Wanted], libraries: Iterable[Library], machine: Machine, apart: Path | None = None
) -> dict[Wanted, list[Provider]]:
    """The providers of each symbol, in the order of the libraries; `apart` is the file that lacks them."""
    found: dict[Wanted, list[Provider]] = {each: [] for each in wanted}
    seen: set[tuple[int, int]] = set()
    if apart is not None:
        seen.add(_identity(apart))
    for library in libraries:
        try:
            identity = _identity(library.path)
            if identity in seen:
                continue
            seen.add(identity)
            tables = open_tables(library.path)
            if not _same(tables, machine):
                continue
            provider = None
            for each in wanted:
                # A version belongs to the library that was there when the file was linked.
                if tables.defines(Wanted(each.name)) or (each.version and tables.defines(each)):
                    provider = provider or Provider(
                        library.place, tables.soname or Path(library.place).name, library.where
                    )
                    found[each].append(provider)
        except (OSError, TableError):
            continue
    return found


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _same(tables: Tables, machine: Machine) -> bool:
    return tables.bits == machine.bits and MACHINES.get(tables.machine, tables.machine) == machine.name


def _speaks_of(symbol: str, provider: Provider) -> bool:
    """Whether a symbol's name or namespace names the library."""
    likely = guess(symbol)
    if likely is not None and likely == provider.stem:
        return True
    stem = re.sub(r"[^a-z]", "", provider.stem.lower())
    return len(stem) > 2 and re.sub(r"[^a-z]", "", symbol.lower()).startswith(stem)


def choose(found: dict[Wanted, list[Provider]]) -> list[tuple[Provider, list[Wanted]]]:
    """The fewest libraries that have all of the symbols that any has, and what each is for.

    Of several, the one that the symbols' names speak of, the one that has the most of them, the nearest, a known one.
    """
    left = {wanted: providers for wanted, providers in found.items() if providers}
    chosen = []
    order = ("package", "folder", "closure", "system")
    while left:
        of: dict[Provider, list[Wanted]] = {}
        for wanted, providers in left.items():
            for provider in providers:
                of.setdefault(provider, []).append(wanted)

        def merit(provider: Provider, of: dict[Provider, list[Wanted]] = of) -> tuple[object, ...]:
            spoken = sum(_speaks_of(readable(wanted.name), provider) for wanted in of[provider])
            known = attribute(provider.soname, provider.place) is not None or bool(
                LIBC.match(provider.soname)
            )
            near = -order.index(provider.where)
            return spoken, len(of[provider]), near > -3, known, near, -len(provider.place), provider.place

        best = max(of, key=merit)
        chosen.append((best, of[best]))
        for wanted in of[best]:
            del left[wanted]
    return chosen

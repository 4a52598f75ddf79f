"""Second step: add the needs that the vendor forgot, then see that every needed library and every symbol is there.

Nothing is run: what the loader would find is read from the files, so that a package for another machine is checked too.
"""

import fnmatch
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import deb
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection


class Elf:
    """What the loader reads of a program or library: what it needs, what it defines, what it leaves to others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.needed: list[str] = []
        self.defined: set[str] = set()
        self.undefined: set[str] = set()
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            self.machine = elf["e_machine"], elf.elfclass
            self.dynamic = False
            for section in elf.iter_sections():
                if isinstance(section, DynamicSection):
                    self.dynamic = True
                    self.needed = [tag.needed for tag in section.iter_tags("DT_NEEDED")]
                elif isinstance(section, SymbolTableSection) and section.name == ".dynsym":
                    self._read(section)

    def _read(self, symbols: SymbolTableSection) -> None:
        for symbol in symbols.iter_symbols():
            if not symbol.name or symbol["st_info"]["bind"] == "STB_LOCAL":
                continue
            if symbol["st_shndx"] != "SHN_UNDEF":
                self.defined.add(symbol.name)
            elif symbol["st_info"]["bind"] != "STB_WEAK":
                self.undefined.add(symbol.name)


@cache
def read(path: Path) -> Elf:
    """A program or library, read once."""
    return Elf(path)


def search_folders() -> list[Path]:
    """Where a needed library is looked for: the package itself, what it declares, the C library."""
    own = sorted({path.parent for path in deb.OUT.rglob("*.so*")})
    support = Path(os.environ["NIX_BINTOOLS"]) / "nix-support"
    libc = Path((support / "orig-libc").read_text().strip()) / "lib"
    return [*own, *map(Path, deb.DECLARED["libraryFolders"]), libc]


def find(name: str, machine: tuple[str, int]) -> Path | None:
    """The file that a needed library is, or None."""
    for folder in search_folders():
        path = folder / name
        if path.is_file() and deb.is_elf(path) and read(path).machine == machine:
            return path
    return None


def may(what: str, patterns: list[str]) -> bool:
    """Whether one of the patterns allows it."""
    return any(fnmatch.fnmatchcase(what, pattern) for pattern in patterns)


def readable(symbol: str) -> str:
    """A C++ symbol as a person writes it."""
    if not symbol.startswith("_Z") or not shutil.which("c++filt"):
        return symbol
    plain = subprocess.run(["c++filt", symbol], capture_output=True, text=True, check=False).stdout.strip()
    return f"{plain} ({symbol})"


def add_needs() -> list[str]:
    """Write the declared needs into the files; returns the problems."""
    problems = []
    for name, libraries in deb.DECLARED["alsoNeeds"].items():
        path = deb.OUT / name
        if not path.is_file() or path.is_symlink() or not deb.is_elf(path):
            problems.append(
                f'alsoNeeds."{name}": the package has no program or library of that name (a link is none).'
            )
            continue
        for library in libraries:
            subprocess.run(["patchelf", "--add-needed", library, str(path)], check=True)
    return problems


def whole(elf: Elf) -> tuple[list[Elf], list[str]]:
    """A file with all that it needs, and the names of what only the machine that runs it has."""
    found: dict[Path, Elf] = {}
    missing: list[str] = []
    waiting = [elf]
    while waiting:
        current = waiting.pop(0)
        if current.path in found:
            continue
        found[current.path] = current
        for name in current.needed:
            path = find(name, elf.machine)
            if path:
                waiting.append(read(path))
            elif name not in missing and may(name, deb.DECLARED["mayStayMissing"]):
                missing.append(name)
    return list(found.values()), missing


def provider(symbol: str, elf: Elf) -> str | None:
    """The name of a library within reach that defines the symbol, or None."""
    for folder in search_folders():
        for path in sorted(folder.glob("*.so*")):
            if path.is_file() and deb.is_elf(path):
                candidate = read(path)
                if candidate.machine == elf.machine and symbol in candidate.defined and candidate is not elf:
                    return path.name
    return None


def missing_libraries(elf: Elf) -> Iterator[str]:
    """What is said of libraries that are nowhere."""
    for name in elf.needed:
        if find(name, elf.machine) or may(name, deb.DECLARED["mayStayMissing"]):
            continue
        yield (
            f"{deb.short(elf.path)} needs {name}, which neither the package nor its `libraries` have.\n"
            f"    Add the package that has it to `libraries` (nix-locate --top-level --whole-name lib/{name}\n"
            f'    finds it), or, if it comes with the machine\'s hardware: mayStayMissing = [ "{name}" ];'
        )


def missing_symbols(elf: Elf) -> Iterator[str]:
    """What is said of symbols that no needed library defines."""
    everything, missing = whole(elf)
    defined = set().union(*(each.defined for each in everything))
    left = sorted(
        symbol for symbol in elf.undefined - defined if not may(symbol, deb.DECLARED["symbolsFromHost"])
    )
    if left and missing:
        # Whose they are shows only on a machine that has those libraries.
        print(f"from-deb: {deb.short(elf.path)}: left to {', '.join(missing)}: {', '.join(left)}")
        return
    for symbol in left:
        message = f"{deb.short(elf.path)} uses {readable(symbol)}, which none of the libraries that it needs defines.\n"
        library = provider(symbol, elf)
        if library:
            yield message + f'    {library} does: alsoNeeds."{deb.short(elf.path)}" = [ "{library}" ];'
        else:
            yield message + (
                "    Nor does any in `libraries`: add the package that does, and name its library in\n"
                f'    `alsoNeeds`; or, if the program that loads this file brings it: symbolsFromHost = [ "{symbol}" ];'
            )


def main() -> None:
    """Add, then check."""
    deb.refuse(add_needs())
    elves = [read(path) for path in deb.files() if deb.is_elf(path)]
    support = Path(os.environ["NIX_BINTOOLS"]) / "nix-support"
    loader = read(Path((support / "dynamic-linker").read_text().strip()))
    # What is for another machine is left alone, as autoPatchelf leaves it.
    ours = [elf for elf in elves if elf.dynamic and elf.machine == loader.machine]
    if elves and not ours:
        kinds = ", ".join(sorted({elf.machine[0] for elf in elves}))
        deb.refuse(
            [f"Everything in it is for another machine ({kinds}; this is {loader.machine[0]}): another .deb?"]
        )
    deb.refuse([problem for elf in ours for problem in missing_libraries(elf)])
    deb.refuse([problem for elf in ours for problem in missing_symbols(elf)])


main()

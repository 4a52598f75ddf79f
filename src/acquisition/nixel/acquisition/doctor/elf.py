"""A program or library as the loader sees it, read with pyelftools."""

import errno
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.descriptions import describe_e_machine
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from nixel.acquisition.doctor.tables import TableError, Tables, VersionNeed, Wanted, open_tables

# What pyelftools raises of a damaged file, by experience.
DAMAGED = (
    *(ELFError, ConstructError, TableError, struct.error),
    *(AssertionError, AttributeError, EOFError, LookupError, OverflowError, TypeError, ValueError),
)
# Debian's and nixpkgs' names, for what pyelftools describes at length.
ARCHITECTURES = {
    ("EM_386", 32): "i386",
    ("EM_X86_64", 64): "x86_64",
    ("EM_X86_64", 32): "x32",
    ("EM_ARM", 32): "arm",
    ("EM_AARCH64", 64): "aarch64",
    ("EM_RISCV", 64): "riscv64",
}


class ElfError(ValueError):
    """A file that is not, or no longer, an ELF file; says what was expected and found."""


@dataclass(frozen=True)
class Machine:
    """For which machine a file is."""

    name: str
    bits: int
    little_endian: bool

    def __str__(self) -> str:
        return f"{ARCHITECTURES.get((self.name, self.bits), describe_e_machine(self.name))}, {self.bits} bits"

    @property
    def architecture(self) -> str:
        """The short name, or pyelftools' own where there is none."""
        return ARCHITECTURES.get((self.name, self.bits), self.name)


@dataclass(frozen=True)
class Elf:
    """A program or library.

    Attributes
    ----------
    path
        The file to read.
    place
        Where it is, to the loader and to the reader; another than `path` if it comes out of a .deb.
    kind
        "library", "program" or, where nothing is left to the loader, "static program".
    needed
        The libraries that it needs, in order.
    rpath, runpath
        As written; None where there is none.
    wanted
        The symbols that it leaves to others, weak ones apart.
    loaded
        Offset and length of the parts of the file that are loaded.
    """

    path: Path
    place: str
    machine: Machine
    kind: str
    interpreter: str | None
    soname: str | None
    needed: tuple[str, ...]
    rpath: str | None
    runpath: str | None
    wanted: tuple[Wanted, ...]
    version_needs: tuple[VersionNeed, ...]
    loaded: tuple[tuple[int, int], ...]
    executable_stack: bool
    tables: Tables = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.place).name

    def defines(self, wanted: Wanted) -> bool:
        """Whether the loader would take this file's definition."""
        try:
            return self.tables.defines(wanted)
        except TableError as error:
            raise ElfError(f"{self.place}: {error}") from error


def is_elf(path: Path) -> bool:
    """Whether a regular file begins as an ELF file does."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(4) == b"\x7fELF"
    except OSError:
        return False


def read_elf(path: Path, place: str | None = None) -> Elf:
    """Read a program or library.

    Parameters
    ----------
    path
        The file.
    place
        Where it is said to be, if not there.

    Raises
    ------
    ElfError
        If it is no program or library, or is damaged.
    OSError
        If it cannot be read.
    """
    place = place if place is not None else str(path)
    with path.open("rb") as stream:
        _check_magic(place, stream)
        try:
            return _read(ELFFile(stream), path, place)
        except (*DAMAGED, OSError) as error:
            # An offset beyond all files makes the system itself refuse: invalid argument.
            if isinstance(error, ElfError) or (isinstance(error, OSError) and error.errno != errno.EINVAL):
                raise
            size = path.stat().st_size
            raise ElfError(
                f"{place}: expected a whole ELF file, found one of {size} B that is damaged or cut off "
                f"({error or type(error).__name__}). Copy or download it again and compare the checksums."
            ) from error


def _check_magic(place: str, stream: IO[bytes]) -> None:
    start = stream.read(64)
    stream.seek(0)
    if start.startswith(b"\x7fELF"):
        return
    what, remedy = "no ELF file", "Name the library or program itself"
    if not start:
        what, remedy = "an empty file", "Copy or download it again"
    elif start.startswith(b"!<arch>\n"):
        what, remedy = (
            "a static library (an archive of object files)",
            "It is linked, not loaded: name the program",
        )
    elif start.startswith(b"version https://git-lfs"):
        what, remedy = "a pointer of Git LFS in place of the file", "Fetch it: git lfs pull"
    elif start.startswith(b"MZ"):
        what, remedy = "a program or DLL for Windows", "Ask the vendor for the one for Linux"
    elif start[:4] in (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"):
        what, remedy = "a program or library for macOS", "Ask the vendor for the one for Linux"
    elif start.startswith((b"/* GNU ld", b"INPUT", b"GROUP")):
        what, remedy = "a script for the linker", "Name the library that stands in it"
    elif start.startswith(b"#!"):
        what, remedy = "a script", "Name the program that it starts"
    raise ElfError(f"{place}: expected an ELF library or program, or a .deb; found {what}. {remedy}.")


def _read(elf: ELFFile, path: Path, place: str) -> Elf:
    if elf["e_type"] == "ET_REL":
        raise ElfError(
            f"{place}: expected a library or program, found an object file, which is not linked yet. "
            "Name what the linker made of it."
        )
    if elf["e_type"] not in ("ET_DYN", "ET_EXEC"):
        raise ElfError(f"{place}: expected a library or program, found an ELF file of type {elf['e_type']}.")
    dynamic, interpreter, executable_stack = None, None, False
    loaded: list[tuple[int, int]] = []
    for segment in elf.iter_segments():
        kind = segment["p_type"]
        if isinstance(segment, InterpSegment):
            interpreter = segment.get_interp_name()
        elif kind == "PT_DYNAMIC":
            dynamic = segment
        elif kind == "PT_LOAD":
            loaded.append((segment["p_offset"], segment["p_filesz"]))
        elif kind == "PT_GNU_STACK":
            executable_stack = bool(segment["p_flags"] & 1)
    if any(start + length > elf.stream_len for start, length in loaded):
        end = max(start + length for start, length in loaded)
        raise ElfError(
            f"{place}: expected a file of at least {end} B, as its program headers say, found {elf.stream_len} B: "
            "it is cut off. Copy or download it again and compare the checksums."
        )
    needed: list[str] = []
    found: dict[str, str] = {}
    if isinstance(dynamic, DynamicSegment):
        for tag in dynamic.iter_tags():
            name = tag["d_tag"]
            if name not in ("DT_NEEDED", "DT_RPATH", "DT_RUNPATH", "DT_SONAME"):
                continue
            text: str = getattr(tag, name[3:].lower())
            if name == "DT_NEEDED":
                needed.append(text)
            else:
                found.setdefault(name, text)
    tables = open_tables(path)
    return Elf(
        path=path,
        place=place,
        machine=Machine(str(elf["e_machine"]), elf.elfclass, elf.little_endian),
        kind=_kind(elf, found.get("DT_SONAME"), interpreter, needed),
        interpreter=interpreter,
        soname=found.get("DT_SONAME"),
        needed=tuple(needed),
        rpath=found.get("DT_RPATH"),
        runpath=found.get("DT_RUNPATH"),
        wanted=tuple(tables.wanted()) if dynamic is not None else (),
        version_needs=tuple(tables.version_needs) if dynamic is not None else (),
        loaded=tuple(loaded),
        executable_stack=executable_stack,
        tables=tables,
    )


def _kind(elf: ELFFile, soname: str | None, interpreter: str | None, needed: list[str]) -> str:
    shared = elf["e_type"] == "ET_DYN"
    # The C library is both: it can be started to say its version.
    if shared and (soname or (not interpreter and (needed or not elf["e_entry"]))):
        return "library"
    return "program" if interpreter or needed else "static program"

"""The tables by which the loader finds symbols: hash table, symbols, versions, relocations.

pyelftools reads the rest (`elf`), a few milliseconds a file. To ask a whole system for a symbol means to open a
thousand libraries and more, so that these tables, and no others, are read here straight from the mapped file: 0.3 ms
each.

References
----------
System V ABI, chapter 5 (dynamic linking); "Symbol Versioning", Linux Standard Base Core,
part 10; glibc, elf/dl-lookup.c.
"""

import mmap
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PT_LOAD, PT_DYNAMIC = 1, 2
DT_PLTRELSZ, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ = 2, 4, 5, 6, 7, 8
DT_SONAME, DT_REL, DT_RELSZ, DT_PLTREL, DT_JMPREL = 14, 17, 18, 20, 23
DT_GNU_HASH, DT_VERSYM, DT_VERDEF, DT_VERNEED = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFE
SHN_UNDEF, SHN_ABS = 0, 0xFFF1
STB_LOCAL, STB_WEAK, STT_TLS = 0, 2, 6
# NOTYPE, OBJECT, FUNC, COMMON, TLS, GNU_IFUNC: what the loader takes for a definition.
DEFINING_TYPES = {0, 1, 2, 5, 6, 10}
HIDDEN_VERSION = 0x8000
LONGEST_NAME = LONGEST_CHAIN = 65536


class TableError(ValueError):
    """A file whose tables are not what they should be."""


@dataclass(frozen=True)
class Wanted:
    """A symbol that a file leaves to others."""

    name: str
    # The version that it asks for and the library that is to have it, where it says so.
    version: str | None = None
    library: str | None = None
    # Whether the loader may put off the search until the function is first called.
    lazy: bool = False


@dataclass(frozen=True)
class VersionNeed:
    """A version that a file asks of a library; a weak one may be missing."""

    library: str
    version: str
    weak: bool


def gnu_hash(name: bytes) -> int:
    """The hash of the DT_GNU_HASH table."""
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def sysv_hash(name: bytes) -> int:
    """The hash of the DT_HASH table and of version names."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high
    return value & 0xFFFFFFFF


class Tables:
    """What the loader reads of a mapped ELF file; the file may be stripped of everything else.

    Parameters
    ----------
    data
        The file.

    Raises
    ------
    TableError
        If it is no ELF file or its tables lie outside of it. So may every method.
    """

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        if len(data) < 52 or data[:4] != b"\x7fELF" or data[4] not in (1, 2) or data[5] not in (1, 2):
            raise TableError("no ELF file")
        self.bits = 32 * data[4]
        self._order = "<" if data[5] == 1 else ">"
        self.kind, self.machine = self._unpack("HH", 16)
        wide = self.bits == 64
        (offset,) = self._unpack("Q" if wide else "I", 32 if wide else 28)
        size, count = self._unpack("HH", 54 if wide else 42)
        self._loads: list[tuple[int, int, int]] = []
        self.tags: dict[int, int] = {}
        dynamic = None
        for index in range(count):
            if wide:
                kind, _, start, address, _, length = self._unpack("IIQQQQ", offset + index * size)
            else:
                kind, start, address, _, length = self._unpack("IIIII", offset + index * size)
            if kind == PT_LOAD:
                self._loads.append((address, start, length))
            elif kind == PT_DYNAMIC:
                dynamic = start, length
        if dynamic is not None:
            self._read_tags(*dynamic)

    def _unpack(self, form: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self._order + form, self._data, offset)
        except (struct.error, OverflowError) as error:
            raise TableError(
                f"a table at {offset:#x} lies outside of the file ({len(self._data)} B)"
            ) from error

    def _read_tags(self, start: int, length: int) -> None:
        form, step = ("QQ", 16) if self.bits == 64 else ("II", 8)
        for offset in range(start, start + min(length, len(self._data)), step):
            tag, value = self._unpack(form, offset)
            if tag == 0:
                return
            self.tags.setdefault(tag, value)

    def _at(self, tag: int) -> int | None:
        """Where in the file the table of a tag is."""
        address = self.tags.get(tag)
        if address is None:
            return None
        for first, start, length in self._loads:
            if first <= address < first + length:
                return address - first + start
        raise TableError(f"a table at address {address:#x} is in no loaded part of the file")

    @cached_property
    def _names(self) -> int:
        offset = self._at(DT_STRTAB)
        if offset is None:
            raise TableError("it has no table of names (DT_STRTAB)")
        return offset

    @cached_property
    def _symbols(self) -> int:
        offset = self._at(DT_SYMTAB)
        if offset is None:
            raise TableError("it has no table of symbols (DT_SYMTAB)")
        return offset

    def _name(self, offset: int) -> bytes:
        start = self._names + offset
        end = self._data.find(b"\0", start, start + LONGEST_NAME)
        if end < 0:
            raise TableError(f"a name at {start:#x} has no end")
        return self._data[start:end]

    @cached_property
    def soname(self) -> str | None:
        """The name by which others need it."""
        offset = self.tags.get(DT_SONAME)
        return None if offset is None else self._name(offset).decode(errors="replace")

    def _symbol(self, index: int) -> tuple[int, int, int, int, int]:
        """Name's offset, binding, type, section and value of a symbol."""
        if self.bits == 64:
            name, info, _, section, value = self._unpack("IBBHQ", self._symbols + index * 24)
        else:
            name, value, _, info, _, section = self._unpack("IIIBBH", self._symbols + index * 16)
        return name, info >> 4, info & 15, section, value

    def _hashed(self, name: bytes) -> Iterator[int]:
        """Indices of symbols that may have the name."""
        if (table := self._at(DT_GNU_HASH)) is not None:
            value = gnu_hash(name)
            buckets, first, words, shift = self._unpack("IIII", table)
            width = self.bits // 8
            if not buckets or not words:
                return
            (word,) = self._unpack(
                "Q" if width == 8 else "I", table + 16 + (value // self.bits) % words * width
            )
            if not (word >> value % self.bits) & (word >> (value >> shift) % self.bits) & 1:
                return
            chains = table + 16 + words * width
            (index,) = self._unpack("I", chains + value % buckets * 4)
            chains += buckets * 4
            if index < first:
                return
            for each in range(index, index + LONGEST_CHAIN):
                (entry,) = self._unpack("I", chains + (each - first) * 4)
                if entry | 1 == value | 1:
                    yield each
                if entry & 1:
                    return
        elif (table := self._at(DT_HASH)) is not None:
            buckets, count = self._unpack("II", table)
            if not buckets:
                return
            (index,) = self._unpack("I", table + 8 + sysv_hash(name) % buckets * 4)
            # A chain that is longer than the table goes in a circle.
            for _ in range(count):
                if not index:
                    return
                yield index
                (index,) = self._unpack("I", table + 8 + (buckets + index) * 4)

    def _definitions(self, name: bytes) -> Iterator[int]:
        for index in self._hashed(name):
            offset, binding, kind, section, value = self._symbol(index)
            if section == SHN_UNDEF or binding == STB_LOCAL or kind not in DEFINING_TYPES:
                continue
            if value == 0 and section != SHN_ABS and kind != STT_TLS:
                continue
            if self._name(offset) == name:
                yield index

    def defines(self, wanted: Wanted) -> bool:
        """Whether the loader takes this file's definition for the wanted symbol, as glibc's do_lookup_x decides."""
        versions = self._at(DT_VERSYM)
        unhidden = 0
        for index in self._definitions(wanted.name.encode(errors="surrogateescape")):
            if versions is None:
                return True
            (entry,) = self._unpack("H", versions + index * 2)
            number = entry & ~HIDDEN_VERSION
            if wanted.version is not None:
                # An unversioned definition serves a versioned use.
                if self.versions.get(number) == wanted.version or (number < 2 and entry == number):
                    return True
            elif number < 3:
                return True
            elif entry == number:
                unhidden += 1
        return unhidden == 1

    @cached_property
    def versions(self) -> dict[int, str]:
        """Number to name of the versions that it defines; the first is the file's own name and is left out."""
        found: dict[int, str] = {}
        offset = self._at(DT_VERDEF)
        if offset is None:
            return found
        for _ in range(HIDDEN_VERSION):
            _, flags, number, _, _, names, step = self._unpack("HHHHIII", offset)
            (name,) = self._unpack("I", offset + names)
            # VER_FLG_BASE
            if not flags & 1:
                found[number] = self._name(name).decode(errors="replace")
            if not step:
                break
            offset += step
        return found

    @cached_property
    def _needs(self) -> dict[int, VersionNeed]:
        found: dict[int, VersionNeed] = {}
        offset = self._at(DT_VERNEED)
        if offset is None:
            return found
        for _ in range(HIDDEN_VERSION):
            _, count, file, entry, step = self._unpack("HHIII", offset)
            library = self._name(file).decode(errors="replace")
            entry += offset
            for _ in range(min(count, 4096)):
                _, flags, number, name, further = self._unpack("IHHII", entry)
                # VER_FLG_WEAK
                found[number] = VersionNeed(
                    library, self._name(name).decode(errors="replace"), bool(flags & 2)
                )
                if not further:
                    break
                entry += further
            # Numbers are of 15 bits: more entries than that are no table.
            if not step or not count or len(found) >= HIDDEN_VERSION:
                break
            offset += step
        return found

    @property
    def version_needs(self) -> Iterable[VersionNeed]:
        """The versions that it asks of the libraries that it needs."""
        return self._needs.values()

    def _relocations(self, tag: int, size: int, *, addend: bool) -> set[int]:
        """Indices of the symbols that a table of relocations names."""
        start = self._at(tag)
        if start is None:
            return set()
        length = self.tags.get(size, 0)
        if start + length > len(self._data):
            raise TableError(f"its relocations at {start:#x} lie outside of the file")
        form, shift = ("QQq", 32) if self.bits == 64 else ("IIi", 8)
        layout = struct.Struct(self._order + (form if addend else form[:2]))
        table = self._data[start : start + length - length % layout.size]
        return {entry[1] >> shift for entry in layout.iter_unpack(table)} - {0}

    def wanted(self) -> list[Wanted]:
        """The symbols that the loader must find elsewhere, by name: relocated, undefined, not weak."""
        now = self._relocations(DT_RELA, DT_RELASZ, addend=True)
        now |= self._relocations(DT_REL, DT_RELSZ, addend=False)
        # DT_PLTREL says of which kind the procedure linkage table's are.
        later = self._relocations(DT_JMPREL, DT_PLTRELSZ, addend=self.tags.get(DT_PLTREL) == DT_RELA)
        versions = self._at(DT_VERSYM)
        found = []
        for index in now | later:
            name, binding, _, section, _ = self._symbol(index)
            if section != SHN_UNDEF or binding in (STB_LOCAL, STB_WEAK):
                continue
            need = None
            if versions is not None:
                need = self._needs.get(self._unpack("H", versions + index * 2)[0] & ~HIDDEN_VERSION)
            found.append(
                Wanted(
                    self._name(name).decode(errors="surrogateescape"),
                    need.version if need else None,
                    need.library if need else None,
                    index not in now,
                )
            )
        return sorted(found, key=lambda each: each.name)


def open_tables(path: Path) -> Tables:
    """The tables of a file on disk.

    Raises
    ------
    TableError
        If it is no ELF file.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as stream:
        try:
            return Tables(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError as error:
            if isinstance(error, TableError):
                raise
            raise TableError("an empty file") from error

"""What is in a .deb, read without trusting it: nothing is run, no name in it names a file of this machine.

An ar archive of `debian-binary`, `control.tar.*` and `data.tar.*` (deb(5)). Programs and libraries are unpacked under
numbers into a folder of our own; links are remembered, not made. There are limits to everything.

python-debian, which reads the same, hands Zstandard to another program and takes whole archives into memory.
"""

import bz2
import lzma
import re
import shutil
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import join, normpath
from typing import IO, Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"!<arch>\n"
PIECE = 1 << 20
# What a careful reader has to hold at once: a header of the archive, a text of it; xz -9 needs 65 MiB.
LONGEST_TEXT = 1 << 20
MOST_MEMORY = 256 << 20
MOST_ENTRIES = 200_000
DEFAULT_LIMIT = 4 << 30
SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")


class DebError(ValueError):
    """A .deb that is none, is damaged, or asks for more than it may."""


@dataclass
class Deb:
    """What is in a .deb.

    Attributes
    ----------
    control
        The fields of its control file.
    scripts
        Name to text of the maintainer's scripts.
    elves
        Place where a program or library would be installed to the file that it was unpacked to.
    links
        Place to target of the symbolic links.
    files, folders
        Places of all else.
    texts
        Place to text, of udev rules and the loader's configuration.
    strange
        What no honest package has, one sentence each.
    """

    control: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    elves: dict[str, Path] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)


def is_deb(path: Path) -> bool:
    """Whether a file begins as a .deb does."""
    with path.open("rb") as stream:
        return stream.read(21) == MAGIC + b"debian-binary"


def read_deb(path: Path, folder: Path, limit: int = DEFAULT_LIMIT) -> Deb:
    """Read a .deb; its programs and libraries are unpacked into a folder.

    Parameters
    ----------
    path
        The .deb.
    folder
        An empty folder.
    limit
        How much it may unpack to, in bytes; half of the disk's free space at most.

    Raises
    ------
    DebError
        If it is damaged, cut off, no .deb, or more than the limit.
    OSError
        If it cannot be read, or the folder not be written.
    """
    deb = Deb()
    limit = min(limit, shutil.disk_usage(folder).free // 2)
    seen = set()
    try:
        with path.open("rb") as stream:
            for name, part in _members(stream, path.stat().st_size):
                kind, _, packing = name.partition(".tar")
                if kind in ("control", "data") and kind in seen:
                    raise DebError(f"it has two members {kind}.tar")
                seen.add(kind)
                if kind == "control":
                    _read_control(_Forward(_unpacked(part, packing), 16 * LONGEST_TEXT), deb)
                elif kind == "data":
                    _read_data(_Forward(_unpacked(part, packing), limit), deb, folder)
    except (
        DebError,
        tarfile.TarError,
        lzma.LZMAError,
        zlib.error,
        zstd.ZstdError,
        EOFError,
        ValueError,
    ) as error:
        raise DebError(
            f"{path}: expected a whole .deb, found one that cannot be read: {error}. Nothing of it was "
            "kept. Download it again, compare the checksum, and ask the vendor if it stays so."
        ) from error
    if lacking := {"control", "data"} - seen:
        none = " and no ".join(f"{name}.tar" for name in sorted(lacking))
        raise DebError(
            f"{path}: expected a .deb with debian-binary, control.tar and data.tar, found no {none} in it: it is cut "
            "off, or another archive. Download it again and compare the checksum."
        )
    return deb


class _Part:
    """A member of the archive, as a file to read."""

    def __init__(self, stream: IO[bytes], name: str, size: int) -> None:
        self._stream, self._name, self.left = stream, name, size

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, self.left))
        if not data and self.left and size:
            raise DebError(f"{self._name} ends {self.left} B before its end: the file is cut off")
        self.left -= len(data)
        return data


def _members(stream: IO[bytes], size: int) -> Iterator[tuple[str, _Part]]:
    """Name and contents of the members of an ar archive; each is to be read before the next."""
    if stream.read(8) != MAGIC:
        raise DebError("it does not begin as an ar archive does")
    offset = 8
    while offset < size:
        stream.seek(offset)
        header = stream.read(60)
        if len(header) < 60 or header[58:] != b"`\n" or not re.fullmatch(rb"\d{1,10} *", header[48:58]):
            raise DebError(f"at byte {offset} there is no header of a member: it is damaged or cut off")
        name = header[:16].decode("ascii", errors="replace").rstrip().rstrip("/")
        length = int(header[48:58])
        if offset + 60 + length > size:
            raise DebError(
                f"{name} should have {length} B and only {size - offset - 60} B are left: the file is cut off"
            )
        yield name, _Part(stream, name, length)
        offset += 60 + length + length % 2


def _decompressor(packing: str) -> Callable[[], Any] | None:
    kinds: dict[str, Callable[[], Any] | None] = {
        "": None,
        ".gz": lambda: _Gzip(),
        ".bz2": bz2.BZ2Decompressor,
        ".xz": lambda: lzma.LZMADecompressor(memlimit=MOST_MEMORY),
        ".lzma": lambda: lzma.LZMADecompressor(memlimit=MOST_MEMORY),
        ".zst": zstd.ZstdDecompressor,
    }
    if packing not in kinds:
        raise DebError(f"it is packed in a way that no .deb is: .tar{packing}")
    return kinds[packing]


class _Gzip:
    """zlib's decompressor with the manners of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _unpacked(part: _Part, packing: str) -> Iterator[bytes]:
    """The contents of a packed member, piece by piece, never more than a piece at once."""
    make = _decompressor(packing)
    if make is None:
        while piece := part.read(PIECE):
            yield piece
        return
    data = b""
    while True:
        data = data or part.read(PIECE)
        if not data:
            return
        # Several packed streams may follow one another.
        inner = make()
        while not inner.eof:
            if not data and inner.needs_input:
                data = part.read(PIECE)
            piece = inner.decompress(data, PIECE)
            if piece:
                yield piece
            elif not data and inner.needs_input and not inner.eof:
                raise DebError("its packed contents end in the middle")
            data = b""
        data = inner.unused_data
        if not data.strip(b"\0") and not part.left:
            return


class _Forward:
    """Pieces as the file that tarfile wants: read forwards, each reading and the whole of limited length."""

    def __init__(self, pieces: Iterator[bytes], limit: int) -> None:
        self._pieces, self._limit = pieces, limit
        self._buffer = b""
        self._position = 0
        self._produced = 0

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= PIECE:
            raise DebError(f"a header of its archive claims {size} B")
        while len(self._buffer) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._produced += len(piece)
            if self._produced > self._limit:
                raise DebError(f"it unpacks to more than {self._limit} B, which it may not")
            self._buffer += piece
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        self._position += len(data)
        return data

    def seek(self, position: int) -> None:
        if position < self._position:
            raise DebError("its archive goes backwards")
        while self._position < position:
            if not self.read(min(PIECE, position - self._position)):
                raise DebError("its archive ends in the middle of a file")


def _entries(source: _Forward) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """The entries of an archive; each is to be read before the next."""
    # Not as a pipe ("r|"), in which tarfile itself would read a header of any length.
    archive = tarfile.TarFile(fileobj=source, mode="r", errorlevel=2)  # type: ignore[arg-type]
    for count in range(MOST_ENTRIES + 1):
        entry = archive.next()
        if entry is None:
            # The checksum stands at the end.
            while source.read(PIECE):
                pass
            return
        if count == MOST_ENTRIES:
            raise DebError(f"it has more than {MOST_ENTRIES} files")
        archive.members.clear()  # type: ignore[attr-defined]
        yield entry, archive


def _contents(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Iterator[bytes]:
    if entry.issparse():
        raise DebError(f"{entry.name} is a sparse file, which no .deb has")
    stream = archive.extractfile(entry)
    left = entry.size
    while stream is not None and left:
        piece = stream.read(min(left, PIECE))
        if not piece:
            raise DebError(f"{entry.name} ends {left} B before its end")
        left -= len(piece)
        yield piece


def _text(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> str:
    if entry.size > LONGEST_TEXT:
        raise DebError(f"{entry.name} has {entry.size} B, and a text of its kind at most {LONGEST_TEXT}")
    return b"".join(_contents(archive, entry)).decode(errors="replace")


def _read_control(source: _Forward, deb: Deb) -> None:
    for entry, archive in _entries(source):
        name = normpath(entry.name)
        if not entry.isreg():
            continue
        if name == "control":
            # Lines that begin with a blank go on with the one before.
            for key, value in re.findall(
                r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", _text(archive, entry), re.MULTILINE
            ):
                deb.control[key] = value
        elif name in SCRIPTS:
            deb.scripts[name] = _text(archive, entry)


def _read_data(source: _Forward, deb: Deb, folder: Path) -> None:
    for entry, archive in _entries(source):
        place = normpath(join("/", entry.name))
        if ".." in entry.name.split("/"):
            deb.strange.append(f"It has a file {entry.name}, whose name leads out of the package.")
            continue
        if entry.isdir():
            deb.folders.add(place)
        elif entry.issym():
            deb.links[place] = entry.linkname
        elif entry.islnk():
            target = normpath(join("/", entry.linkname))
            deb.files.add(place)
            if target in deb.elves:
                deb.elves[place] = deb.elves[target]
        elif entry.isreg():
            _read_file(entry, archive, place, deb, folder)
        else:
            deb.strange.append(f"It has {place}, which is neither file, folder nor link.")


def _read_file(entry: tarfile.TarInfo, archive: tarfile.TarFile, place: str, deb: Deb, folder: Path) -> None:
    deb.files.add(place)
    if re.search(r"/udev/rules\.d/[^/]*\.rules$|^/etc/ld\.so\.conf\.d/[^/]*\.conf$", place):
        deb.texts[place] = _text(archive, entry)
        return
    pieces = _contents(archive, entry)
    first = next(pieces, b"")
    if first.startswith(b"\x7fELF"):
        unpacked = folder / f"{entry.offset_data}.elf"
        with unpacked.open("xb") as stream:
            stream.write(first)
            for piece in pieces:
                stream.write(piece)
        deb.elves[place] = unpacked

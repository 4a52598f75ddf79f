"""What stands in an HDF5 file under the names of MDF, found without trusting the file.

Only the groups that MDF names are looked into, and links to elsewhere are not followed: no cycle, no other file and no
object that nobody asked for is ever visited. A value is taken into memory only where it is small, whatever its shape
claims.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from nixel.acquisition.formats.mdf_fields import DATA, FIELDS, GROUPS, is_user_defined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "DAMAGE",
    "Contents",
    "Node",
    "StoredType",
    "contents_of",
    "contents_of_fields",
    "find",
    "mapped_array",
]

# What the library raises, in one place or another, where bytes of a file are not what it took them for.
DAMAGE = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    ArithmeticError,
    MemoryError,
    SystemError,
)

LARGEST_VALUE = 2**26  # bytes
_MOST_NAMES = 1000  # in one group: MDF has 14 in its fullest
# What deflate makes of nothing but zeros; no file's numbers can be more than so many times its size.
_GREATEST_RATIO = 1032


@dataclass(frozen=True)
class StoredType:
    """How a dataset's values are stored.

    Parameters
    ----------
    family : str
        ``"text"``, ``"integer"`` (signed), ``"real"``, ``"complex"`` (a compound {r, i}) or ``"other"``.
    bits : int
        Of a number, or of either part of a complex one.
    name : str
        As a person calls it.
    of : str
        ``"integer"`` or ``"real"``: the parts of a complex number.
    big_endian : bool
    """

    family: str
    bits: int
    name: str
    of: str = ""
    big_endian: bool = False


@dataclass(frozen=True)
class Node:
    """One dataset.

    Parameters
    ----------
    path : str
    shape : tuple of int
    type : StoredType
    value : array or None
        Texts as an array of `str`. None where it was not read: measured data, what is too large, what is damaged.
    array : array-like
        The dataset itself, to be read in parts; an array where there is no file.
    contiguous : bool
        Whether the numbers lie in the file as they are in memory.
    """

    path: str
    shape: tuple[int, ...]
    type: StoredType
    value: NDArray[Any] | None
    array: Any
    contiguous: bool = True

    @property
    def single(self) -> Any:  # noqa: ANN401 (text or number)
        """The only value of it, or None."""
        return self.value.ravel()[0] if self.value is not None and self.value.size == 1 else None


@dataclass
class Contents:
    """What was found.

    Parameters
    ----------
    nodes : dict of str to Node
        Datasets under the names of MDF.
    groups : set of str
        Groups of MDF.
    strange : list of str
        Paths that MDF does not know and that do not begin with an underscore.
    user_defined : list of str
        Paths that begin with an underscore; not looked into.
    troubles : list of tuple of str
        (path, expected, found, remedy) of what could not be taken as it is.
    assumed : dict of str to (int, str)
        Flags that are missing, and what stands in for them and why; of files from before version 2.1.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    groups: set[str] = field(default_factory=lambda: {"/"})
    strange: list[str] = field(default_factory=list)
    user_defined: list[str] = field(default_factory=list)
    troubles: list[tuple[str, str, str, str]] = field(default_factory=list)
    assumed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def number(self, path: str) -> int | None:
        """A whole number that a file says, or None."""
        node = self.nodes.get(path)
        # Of any type of number, because what is stored otherwise than it should be is still what the file says.
        if node is None or node.single is None or node.value is None or node.value.dtype.kind not in "iufb":
            return None
        number = float(node.single)
        return int(node.single) if number.is_integer() else None

    def flag(self, name: str) -> bool:
        """Whether a flag of the measurement is set, or assumed to be; not where it is missing otherwise."""
        path = f"/measurement/{name}"
        return bool(self.assumed[path][0] if path in self.assumed else self.number(path))

    def shape(self, path: str) -> tuple[int, ...] | None:
        """The shape of a dataset, or None where there is none."""
        node = self.nodes.get(path)
        return None if node is None else node.shape


def stored_type(dtype: np.dtype[Any]) -> StoredType:
    """Say how numbers of a NumPy type, or texts, are stored."""
    if h5py.check_string_dtype(dtype) is not None or dtype.kind in "OU":
        return StoredType("text", 8, "text")
    big = dtype.byteorder == ">"
    if dtype.names == ("r", "i") and dtype["r"] == dtype["i"]:
        part = stored_type(dtype["r"])
        if part.family in ("integer", "real"):
            name = f"compound {{r, i}} of two {part.name}"
            return StoredType("complex", part.bits, name, part.family, part.big_endian)
    if dtype.names is not None:
        return StoredType("other", 0, f"compound {{{', '.join(dtype.names[:8])}}}")
    if h5py.check_enum_dtype(dtype) is not None:
        return StoredType("other", 0, "enumeration")
    bits = dtype.itemsize * 8
    if dtype.kind == "c":
        return StoredType("complex", bits // 2, f"compound {{r, i}} of two float{bits // 2}", "real", big)
    family = {"i": "integer", "f": "real"}.get(dtype.kind, "other")
    return StoredType(family, bits, dtype.newbyteorder("=").name, big_endian=big)


def contents_of(file: h5py.File) -> Contents:
    """Look through a file.

    Parameters
    ----------
    file
        Open for reading.

    Returns
    -------
    Contents
    """
    contents = Contents()
    size = file.id.get_filesize()
    for path in GROUPS:
        group = file if path == "/" else _step(contents, file, path)
        if not isinstance(group, h5py.Group):
            continue
        contents.groups.add(path)
        try:
            names = _names(group)
        except DAMAGE as error:  # whatever a damaged group makes the library say
            contents.troubles.append(
                (path, "a group that can be listed", f"damage ({error})", "Take a whole copy.")
            )
            continue
        if len(group) > _MOST_NAMES:
            found = f"{len(group)}, of which the first {_MOST_NAMES} were looked at"
            contents.troubles.append((path, "a handful of names", found, "Remove what is no part of MDF."))
        for name in names:
            _look(contents, group, f"{path.rstrip('/')}/{name}", size)
    _assume_flags(contents, file)
    return contents


# Flags that files of version 2.0 have under another name: before its release, or as its specification misspells it.
_OLD_FLAGS = {
    "/measurement/isFastFrameAxis": "/measurement/isTransposed",
    "/measurement/isFramePermutation": "/measurement/isFramePermution",
}


def _assume_flags(contents: Contents, file: h5py.File) -> None:
    if "/measurement" not in contents.groups:
        return
    for path, other in _OLD_FLAGS.items():
        said = find(file, other)
        if path in contents.nodes or any(path == trouble[0] for trouble in contents.troubles):
            continue
        if isinstance(said, h5py.Dataset) and said.shape == () and said.dtype.kind in "iufb":
            contents.assumed[path] = (int(said[()] != 0), f"as {other} says")
        elif path == "/measurement/isFastFrameAxis" and (data := contents.shape(DATA)):
            # The axis of the frames is as long as the mask of those of the empty bore.
            mask = contents.shape("/measurement/isBackgroundFrame")
            frames = mask[0] if mask else contents.number("/acquisition/numFrames")
            if frames is not None and data[0] != frames and data[-1] == frames:
                contents.assumed[path] = (1, f"as the data has {frames} frames along its last dimension")


def _names(group: h5py.Group) -> list[str]:
    names: list[str] = []
    for name in group:
        names.append(name)
        if len(names) == _MOST_NAMES:
            break
    return names


def _step(contents: Contents, file: h5py.File, path: str) -> Any:  # noqa: ANN401 (an object of h5py)
    """Give the group at a path, by hard links alone."""
    node: Any = file
    for part in path.strip("/").split("/"):
        node = _child(node, part)
        if node is None:
            return None
    if not isinstance(node, h5py.Group):
        contents.troubles.append((path, "a group", "a dataset", "Make it a group with the fields of MDF."))
    return node


def _child(group: Any, name: str) -> Any:  # noqa: ANN401
    if not isinstance(group, h5py.Group):
        return None
    try:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            return None
        return group[name]
    except DAMAGE:  # a damaged object is as good as none here; _look says that there is damage
        return None


def find(file: h5py.File, path: str) -> Any:  # noqa: ANN401 (a group or dataset of h5py, or None)
    """Give what stands at a path of a file, by hard links alone, or None."""
    node: Any = file
    for part in path.strip("/").split("/"):
        node = _child(node, part)
    return node


def _look(contents: Contents, group: h5py.Group, path: str, size: int) -> None:
    name = path.rpartition("/")[2]
    if is_user_defined(path):
        contents.user_defined.append(path)
        return
    if path not in FIELDS and path not in GROUPS:
        contents.strange.append(path)
        return
    try:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            kind = "a link to another file" if isinstance(link, h5py.ExternalLink) else "a symbolic link"
            remedy = "It was not followed. Put the object itself there."
            contents.troubles.append((path, "an object of this file", kind, remedy))
            return
        if path in GROUPS:
            return
        node = group[name]
        if not isinstance(node, h5py.Dataset):
            contents.troubles.append(
                (path, "a dataset", "a group or a type", "Store the value itself there.")
            )
            return
        found = _node(contents, path, node, size)
    except DAMAGE as error:  # whatever a damaged object makes the library say
        contents.troubles.append(
            (path, "a dataset that can be read", f"damage ({error})", "Take a whole copy.")
        )
        return
    if found is not None:
        contents.nodes[path] = found


def _node(contents: Contents, path: str, dataset: h5py.Dataset, size: int) -> Node | None:
    plist = dataset.id.get_create_plist()
    if plist.get_external_count() or dataset.is_virtual:
        remedy = "It was not read. Put the numbers into this file."
        contents.troubles.append((path, "numbers in this file", "numbers kept in another file", remedy))
        return None
    if dataset.shape is None:
        contents.troubles.append(
            (path, "a value", "an empty dataset", "Store the value, or leave the field out.")
        )
        return None
    contiguous = plist.get_layout() == h5py.h5d.CONTIGUOUS and plist.get_nfilters() == 0
    amount, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    offset = dataset.id.get_offset() if contiguous else None
    beyond = offset is not None and offset + amount > size
    # Numbers that were never written are no damage as long as they would fit into memory.
    if beyond or amount > max(LARGEST_VALUE, _GREATEST_RATIO * stored):
        found = f"{amount} bytes claimed, {stored} stored, in a file of {size}"
        contents.troubles.append((path, "as many bytes as its shape needs", found, "Take a whole copy."))
        return None
    value = None
    kind = stored_type(dataset.dtype)
    chunk = int(np.prod(dataset.chunks, dtype=float)) * dataset.dtype.itemsize if dataset.chunks else 0
    if not path.endswith("/data") and amount <= LARGEST_VALUE and chunk <= LARGEST_VALUE:
        # h5py's own name for texts: what is not UTF-8 comes as what Unicode keeps for the undecodable.
        value = dataset.asstr(errors="surrogateescape")[()] if kind.family == "text" else dataset[()]
        value = np.asarray(value, dtype=object if kind.family == "text" else None)
    return Node(path, dataset.shape, kind, value, dataset, contiguous)


def contents_of_fields(fields: Mapping[str, Any]) -> Contents:
    """Say what a file made of these fields would hold.

    Parameters
    ----------
    fields
        By path: texts, numbers and arrays.

    Returns
    -------
    Contents
    """
    contents = Contents()
    for path, given in fields.items():
        if is_user_defined(path):
            contents.user_defined.append(path)
            continue
        if path not in FIELDS:
            contents.strange.append(path)
            continue
        parts = path.split("/")
        contents.groups.update("/".join(parts[:count]) for count in range(2, len(parts)))
        value = np.asarray(given, dtype=object if isinstance(given, str) else None)
        whole = None if path.endswith("/data") else value
        contents.nodes[path] = Node(path, value.shape, stored_type(value.dtype), whole, value)
    return contents


def mapped_array(path: str | Path, data: Any) -> NDArray[Any] | None:  # noqa: ANN401 (a dataset of h5py or the like)
    """A dataset's numbers as they lie in the file, or None where they do not lie there side by side."""
    offset = data.id.get_offset() if isinstance(data, h5py.Dataset) and data.chunks is None else None
    # What a file claims to hold beyond its end is not mapped.
    if offset is None or offset + data.id.get_storage_size() > Path(path).stat().st_size:
        return None
    return np.memmap(path, data.dtype, "r", offset, data.shape)

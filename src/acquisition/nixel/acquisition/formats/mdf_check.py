"""Whether a file is MDF 2.1: every rule of the specification and of the reference implementation's consistency check.

All that is wrong is found at once. Rules on presence, types and shapes follow from the table of fields; rules on values
are in `nixel.acquisition.formats.mdf_rules`.

References
----------
Knopp et al., MDF: Magnetic Particle Imaging Data Format, arXiv:1602.06072, version 2.1.0; `checkConsistency` of
MPIFiles.jl, the reference implementation that the specification names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from nixel.acquisition.formats.mdf_contents import Contents, Node, StoredType, contents_of
from nixel.acquisition.formats.mdf_fields import DATA, FIELDS, GROUPS, OF_THE_REFERENCE, Field, Kind
from nixel.acquisition.formats.mdf_model import MdfError
from nixel.acquisition.formats.mdf_report import Report
from nixel.acquisition.formats.mdf_rules import VERSION, check_values
from nixel.acquisition.formats.mdf_sizes import Sizes, sizes_of

if TYPE_CHECKING:
    import os

__all__ = ["check_contents", "check_mdf"]

# What files of scanners from before 2.1 lack or store otherwise, and readers have learnt to take.
_OLD_LACKS = {
    "/acquisition/numPeriodsPerFrame": "As many as the data has are assumed.",
    "/measurement/isFastFrameAxis": "0 is assumed.",
    "/measurement/isSparsityTransformed": "0 is assumed.",
}
_OLD_SCALARS = (
    "/acquisition/drivefield/waveform",
    *(
        f"/tracer/{name}"
        for name in ("batch", "concentration", "injectionTime", "name", "solute", "vendor", "volume")
    ),
)
# As files from before the release of 2.0 have them: diagonals, and no partitions of a period.
_OLD_DIAGONALS = ("/acquisition/gradient", "/acquisition/offsetField")


def check_mdf(path: str | os.PathLike[str]) -> Report:
    """Check a file.

    Parameters
    ----------
    path

    Returns
    -------
    Report

    Raises
    ------
    MdfError
        There is no such file, or it is not HDF5, or nothing in it is MDF's.
    """
    path = Path(path)
    if not path.is_file():
        raise MdfError(f"{path}: there is no such file; check the name and the folder")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise MdfError(
            f"{path}: expected an HDF5 file that is whole, found otherwise ({error}). Take a whole copy from where it "
            "was written"
        ) from error
    with file:
        contents = contents_of(file)
        if not contents.nodes and not contents.troubles:
            raise MdfError(
                f"{path}: expected the groups and fields of MDF 2, found an HDF5 file without any of them"
            )
        return check_contents(contents)


def check_contents(contents: Contents) -> Report:
    """Check what a file holds, or would hold.

    Parameters
    ----------
    contents

    Returns
    -------
    Report
    """
    report = Report()
    for trouble in contents.troubles:
        report.error(*trouble)
    version = _version(contents)
    if version is not None and version[0] < 2:
        remedy = "Convert it with MPIFiles.jl (saveasMDF), which reads version 1."
        report.error("/version", "2.0.0 or later", _text(contents.nodes["/version"]), remedy)
        return report
    old = version is not None and version < (2, 1)
    if old:
        what = "MDF 2.1; what older files lack is assumed, and said here"
        report.warn(
            "/version", what, _text(contents.nodes["/version"]), "Nothing, if the assumptions are right."
        )
    if version is not None and version > (2, 1):
        report.warn(
            "/version", "2.1.0", _text(contents.nodes["/version"]), "It was checked as if it were 2.1.0."
        )
    _check_names(contents, report)
    _check_presence(contents, report, old=old)
    sizes = sizes_of(contents)
    report.sizes = {letter: sizes.numbers[letter] for letter in sorted(sizes.numbers)}
    for field in FIELDS.values():
        node = contents.nodes.get(field.path)
        if node is not None:
            _check_type(field, node, report)
            _check_shape(field, node, contents, sizes, report, old=old)
    check_values(contents, sizes, report)
    return report


def _text(node: Node) -> str:
    return repr(str(node.single)) if node.single is not None else "otherwise"


def _version(contents: Contents) -> tuple[int, ...] | None:
    node = contents.nodes.get("/version")
    text = node.single if node is not None and node.type.family == "text" else None
    if not isinstance(text, str) or VERSION.fullmatch(text) is None:
        return None
    return tuple(int(part) for part in text.split(".")[:2])


def _check_names(contents: Contents, report: Report) -> None:
    for path in contents.strange:
        if path.startswith(OF_THE_REFERENCE):
            expected = "a name of the specification, or one that begins with an underscore"
            remedy = "The reference implementation uses it; other readers pass it over."
            report.warn(path, expected, "a name of the reference implementation's own", remedy)
            continue
        parent, _, name = path.rpartition("/")
        lower = {known.lower(): known for known in (*FIELDS, *GROUPS)}
        meant = lower.get(path.lower())
        remedy = (
            f"Call it {meant}."
            if meant
            else f"Call it {parent}/_{name}, if it is your own; correct it if misspelt."
        )
        report.error(path, "a name of MDF, or one that begins with an underscore", "another", remedy)


def _check_presence(contents: Contents, report: Report, *, old: bool) -> None:
    for group, needed in GROUPS.items():
        if group in contents.groups or not needed:
            continue
        names = ", ".join(
            field.name for field in FIELDS.values() if field.group == group and field.needed is True
        )
        report.error(group, f"the group, with {names}", "none", "Write it; it is mandatory.")
    troubled = {path for path, *_ in contents.troubles}
    for field in FIELDS.values():
        if field.path in contents.nodes or field.path in troubled or field.group not in contents.groups:
            continue
        if old and field.path in contents.assumed:
            value, why = contents.assumed[field.path]
            report.warn(field.path, str(field.kind), "no such field", f"{value} is assumed, {why}.")
        elif old and field.path in _OLD_LACKS:
            report.warn(field.path, str(field.kind), "no such field", _OLD_LACKS[field.path])
        elif field.needed is True:
            report.error(field.path, _told(field), "no such field", "Write it; it is mandatory.")
        elif isinstance(field.needed, str) and contents.flag(field.needed):
            remedy = f"Write it, or set {field.needed} to 0."
            report.error(field.path, f"{_told(field)}, because {field.needed} is 1", "no such field", remedy)
    if "/calibration" in contents.groups and "/measurement" not in contents.groups:
        expected = "the calibration's data, which the group /calibration does not hold"
        report.error("/measurement", expected, "no such group", "Write it, or leave out /calibration.")
    if not contents.groups & {"/measurement", "/reconstruction"}:
        expected = "the group /measurement or /reconstruction"
        report.warn("/", expected, "neither", "Write the data, if there is any.")


def _told(field: Field) -> str:
    unit = f" in {field.unit}" if field.unit else ""
    return f"{field.kind}{unit}"


def _fits(kind: Kind, stored: StoredType) -> bool:
    if kind.is_text:
        return stored.family == "text"
    if kind is Kind.COMPLEX128:
        return stored.family == "complex" and (stored.of, stored.bits) == ("real", 64)
    if kind is Kind.NUMBER:
        family = stored.of if stored.family == "complex" else stored.family
        return stored.bits in {"real": (32, 64), "integer": (8, 16, 32, 64)}.get(family, ())
    if kind is Kind.FLOAT64:
        return (stored.family, stored.bits) == ("real", 64)
    bits = {Kind.INT64: (64,), Kind.FLAG: (8,), Kind.INTEGER: (8, 16, 32, 64)}[kind]
    return stored.family == "integer" and stored.bits in bits


def _check_type(field: Field, node: Node, report: Report) -> None:
    if not _fits(field.kind, node.type):
        report.error(field.path, _told(field), node.type.name, f"Store it as {field.kind}.")
    elif node.type.big_endian:
        remedy = "Store it as little-endian; the specification asks for it where there is a choice."
        report.warn(field.path, "little-endian numbers", "big-endian ones", remedy)
    if field.path == DATA and not node.contiguous:
        remedy = "Store it contiguous and without filters, so that the reference implementation can map it."
        report.warn(field.path, "numbers in one piece", "chunks or filters", remedy)


def _check_shape(
    field: Field, node: Node, contents: Contents, sizes: Sizes, report: Report, *, old: bool
) -> None:
    axes = sizes.shape(field, contents)
    expected = sizes.expected(axes)
    agrees = len(expected) == len(node.shape) and all(
        size in (None, found) for size, found in zip(expected, node.shape, strict=True)
    )
    if agrees:
        return
    found = "a single value" if node.shape == () else f"dimensions {' x '.join(map(str, node.shape))}"
    if not axes and node.array.size == 1:
        remedy = "Store it without dimensions; the reference implementation expects that."
        report.warn(field.path, "a single value", found, remedy)
    elif old and node.shape == () and field.path in _OLD_SCALARS:
        report.warn(field.path, sizes.told(axes), found, "It is assumed for all of them.")
    elif old and field.path in _OLD_DIAGONALS and node.shape == (sizes.numbers.get("J", 1), 3):
        what = "the diagonal of each period" if field.path.endswith("gradient") else "each period's"
        report.warn(field.path, sizes.told(axes), found, f"It is taken as {what}.")
    else:
        report.error(
            field.path, sizes.told(axes), found, "Store it so, or correct the number that disagrees."
        )

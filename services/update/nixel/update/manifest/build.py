"""A manifest of a system from what a store knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nixel.update.manifest.model import MOST_PATHS, Entry, Manifest
from nixel.update.manifest.parse import HOST, parse
from nixel.update.manifest.verify import complete
from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nixel.update.identity import Identity
    from nixel.update.manifest.model import File, Info


def build(
    system: str,
    identity: Identity,
    closure: Mapping[str, Info],
    *,
    made: int,
    made_by: str,
    description: Mapping[str, Any],
    note: str = "",
    since: str | None = None,
    present: frozenset[str] = frozenset(),
    files: Sequence[File] = (),
    stored: Mapping[str, tuple[File, File]] | None = None,
) -> Manifest:
    """Make the manifest of a system.

    Parameters
    ----------
    system
        The store path of its toplevel.
    identity
        Whose it is.
    closure
        What the store knows of everything that it needs, itself among it.
    made
        When, in s since 1970.
    made_by
        By which program.
    description
        What it brings.
    note
        What its maker says about it.
    since
        A system that the machine has, and whose paths are left out.
    present
        Those of its paths.
    files
        The other files of the stick.
    stored
        Each path's narinfo and archive on a stick; `None` if they come another way.

    Returns
    -------
    Manifest
        Complete.

    Raises
    ------
    Refusal
        If such a system would be refused: it is content-addressed, or is for no host that can be named.
    """
    if not HOST.fullmatch(identity.host):
        raise Refusal(
            f"{system} is for the host {identity.host!r}, which is no host's name.",
            "Name the host otherwise.",
        )
    if len(closure) > MOST_PATHS:
        raise Refusal(
            f"{system} needs {len(closure)} paths; at most {MOST_PATHS} are taken.", "Make it smaller."
        )
    made_of = Manifest(
        product=identity.product,
        host=identity.host,
        made=made,
        made_by=made_by,
        note=note,
        system=system,
        identity=identity,
        since=since,
        files=tuple(sorted(files, key=lambda each: each.name)),
        paths=tuple(_entry(closure[path], path in present, stored) for path in sorted(closure)),
        description=description,
    )
    parse(made_of.encode(), f"The manifest of {system}")  # what no machine would read is not written either
    complete(made_of)
    return made_of


def _entry(info: Info, present: bool, stored: Mapping[str, tuple[File, File]] | None) -> Entry:
    narinfo, nar = (None, None) if present or stored is None else stored[info.path]
    return Entry(info.path, info.nar_hash, info.nar_size, info.references, info.ca, present, narinfo, nar)

"""What must hold of a manifest before anything that it lists is touched; all of it follows from the manifest alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nixel.update import keys
from nixel.update.failure import Failure
from nixel.update.manifest.model import PREFIX
from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nixel.update.identity import Identity
    from nixel.update.keys import PublicKey
    from nixel.update.manifest.model import Entry, Info, Manifest

_AGAIN = "Have it written again."
_SHOWN = 3


def authentic(content: bytes, signature: bytes, trusted: Sequence[PublicKey], where: str) -> str:
    """Check who signed a manifest.

    Parameters
    ----------
    content
        The manifest's bytes.
    signature
        Those of its signature's file: one line.
    trusted
        The keys of which one must have signed.
    where
        Where the manifest was found, for the message.

    Returns
    -------
    str
        The name of the key.

    Raises
    ------
    Refusal
        If none did.
    """
    text = signature.decode("ascii", "replace")
    if not text.endswith("\n") or "\n" in text[:-1] or not text.isascii():
        raise Refusal(f"The signature of {where} is not one line of text.", _AGAIN)
    name = text.partition(":")[0][:80]
    known = sorted({key.name for key in trusted})
    if name not in known:
        raise Refusal(
            f"{where} is signed by {name!r}, and this machine trusts {', '.join(known) or 'no key'}.",
            "Have it signed by a key that this machine trusts.",
        )
    if not keys.verify(trusted, text[:-1], PREFIX + content):
        raise Refusal(
            f"{where} is not what {name!r} signed: it, its signature or the key is another, or it is damaged.",
            f"Do not use it. {_AGAIN}",
        )
    return name


def fits(manifest: Manifest, running: Identity, *, allow_older: bool = False) -> None:
    """Check that a system is for this machine, and is not older than what it runs.

    Parameters
    ----------
    manifest
        Of the system on offer.
    running
        Whose system the machine runs.
    allow_older
        Whether somebody asked for an older one in so many words.

    Raises
    ------
    Refusal
        If it is not.
    """
    for word, offered, own in (
        ("product", manifest.product, running.product),
        ("machine", manifest.host, running.host),
    ):
        if offered != own:
            raise Refusal(
                f"This is a system for the {word} {offered!r}, and this {word} is {own!r}.",
                "Use the one that was made for this machine.",
            )
    if manifest.identity.date < running.date and not allow_older:
        raise Refusal(
            f"The system on offer ({manifest.identity.version}, of {_day(manifest.identity.date)}) is older than "
            f"the running one ({running.version}, of {_day(running.date)}).",
            "If the older one is wanted, say so: --allow-older.",
        )


def complete(manifest: Manifest) -> None:
    """Check that a manifest lists exactly what its system needs, and that a signature alone vouches for the system.

    Parameters
    ----------
    manifest
        The manifest.

    Raises
    ------
    Refusal
        If it contradicts itself.
    """
    whose = manifest.identity
    if (manifest.product, manifest.host) != (whose.product, whose.host):
        raise Refusal(
            f"The manifest is for {manifest.product} {manifest.host}, and its system says that it is for "
            f"{whose.product} {whose.host}.",
            _AGAIN,
        )
    entries = {each.path: each for each in manifest.paths}
    if manifest.system not in entries:
        raise Refusal(f"The manifest does not list its own system, {manifest.system}.", _AGAIN)
    # Nix accepts a content-addressed path without any signature; a system must be somebody's.
    if entries[manifest.system].ca is not None:
        raise Refusal(
            f"The system {manifest.system} is content-addressed: anyone could have made it, signed or not.",
            "Have the system's own build written, as `nix build` makes it.",
        )
    if entries[manifest.system].present:
        raise Refusal(f"The manifest leaves out the system itself, {manifest.system}.", _AGAIN)
    if manifest.since is None and any(each.present for each in manifest.paths):
        raise Refusal("The manifest leaves out paths and does not say since which system.", _AGAIN)
    needed, todo = {manifest.system}, [manifest.system]
    while todo:
        new = set(entries[todo.pop()].references) - needed
        missing = sorted(new - set(entries))
        if missing:
            raise Refusal(f"The manifest does not list {some(missing)}, which its system needs.", _AGAIN)
        needed |= new
        todo += new
    superfluous = sorted(set(entries) - needed)
    if superfluous:
        raise Refusal(f"The manifest lists {some(superfluous)}, which its system does not need.", _AGAIN)


def arrived(manifest: Manifest, known: Mapping[str, Info | None]) -> None:
    """Check, after the copy, that the machine's store has exactly what the manifest lists.

    Nix checks each path's content against what the stick says of it then; this compares that with what was checked
    before.

    Parameters
    ----------
    manifest
        The manifest.
    known
        What the store knows of its paths.

    Raises
    ------
    Failure
        If a path is missing or is another.
    """
    lacking, other = differing(manifest.paths, known)
    if lacking or other:
        what = f"lacks {some(lacking)}" if lacking else f"has another {some(other)} than the manifest lists"
        todo = "Have it sent or written again; if it stays so, have the machine's disk looked at."
        raise Failure(f"After the copy this machine's store {what}.", todo)


def differing(entries: Iterable[Entry], known: Mapping[str, Info | None]) -> tuple[list[str], list[str]]:
    """Compare what a store has with what it should have.

    Parameters
    ----------
    entries
        What it should have.
    known
        What it knows.

    Returns
    -------
    tuple of two lists of str
        The paths that it lacks, and those whose content is another.
    """
    lacking, other = [], []
    for each in entries:
        info = known.get(each.path)
        if info is None:
            lacking.append(each.path)
        elif info.nar_hash != each.nar_hash:
            other.append(each.path)
    return lacking, other


def some(names: Sequence[str]) -> str:
    """Name the first few of many.

    Parameters
    ----------
    names
        At least one.

    Returns
    -------
    str
        For a sentence.
    """
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _day(date: int) -> str:
    try:
        return datetime.fromtimestamp(date, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return f"{date} s after 1970"

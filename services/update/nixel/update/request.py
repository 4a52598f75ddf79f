"""What was asked for, kept on the disk for the unit that carries it out: who wants which system, and from where."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nixel.update import disk
from nixel.update.refusal import Refusal
from nixel.update.transaction.model import ID, Kind, Source, Via

FOLDER, CONFIRMED = "requests", "confirm"
REQUEST, MANIFEST, SIGNATURE = "request.json", "manifest.json", "manifest.sig"
_STAY_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Request:
    """One wish.

    Attributes
    ----------
    id
        The name of the transaction that it becomes.
    kind
        What is asked for.
    source
        Where the system comes from, and who asked.
    system
        Its store path.
    stick
        The stick's folder; `None` if the system does not come from one.
    asks_confirmation
        Whether somebody comes back over the network to confirm.
    """

    id: str
    kind: Kind
    source: Source
    system: str
    stick: str | None
    asks_confirmation: bool


def name() -> str:
    """Make a name for a transaction.

    Returns
    -------
    str
        The time, for a person, and enough chance that no two are the same.
    """
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + "-" + secrets.token_hex(3)


def who() -> str:
    """Tell who asks.

    Returns
    -------
    str
        The account that became root, if one did; with the address that it came from over ssh.
    """
    user = os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    address = _address()
    return f"{user} from {address}" if address else f"{user} at {socket.gethostname()}"


def _address() -> str:
    """Where the ssh connection comes from that this runs in; sudo hides it from us, but not from those above it."""
    process = os.getpid()
    with suppress(OSError, ValueError):  # whose environment is not for us to see, or gone
        while process > 1:
            place = Path(f"/proc/{process}")
            for each in (place / "environ").read_bytes().split(b"\0"):
                name, _, value = each.partition(b"=")
                if name == b"SSH_CONNECTION" and value:
                    return value.split()[0].decode("ascii")
            process = int((place / "stat").read_text().rpartition(")")[2].split()[1])
    return ""


def save(state: Path, request: Request, manifest: bytes = b"", signature: bytes = b"") -> None:
    """Keep a request; what was never begun in a week's time goes.

    Parameters
    ----------
    state
        The folder of updates.
    request
        What is asked for.
    manifest, signature
        What the system consists of, as signed; empty for one that is in the store already.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    above = state / FOLDER
    disk.folder(above, 0o755)
    for old in above.iterdir():
        if old.stat().st_mtime < time.time() - _STAY_S:
            shutil.rmtree(old, ignore_errors=True)
    folder = above / request.id
    disk.folder(folder, 0o755)
    if manifest:
        disk.write(folder / MANIFEST, manifest, 0o644)
        disk.write(folder / SIGNATURE, signature, 0o644)
    content = {
        "kind": request.kind,
        "via": request.source.via,
        "label": request.source.label,
        "who": request.source.who,
        "system": request.system,
        "stick": request.stick,
        "asks_confirmation": request.asks_confirmation,
    }
    disk.write(folder / REQUEST, json.dumps(content, indent=1).encode() + b"\n", 0o644)


def load(state: Path, identifier: str) -> Request:
    """Read a request.

    Parameters
    ----------
    state
        The folder of updates.
    identifier
        Its name.

    Returns
    -------
    Request
        As it was saved.

    Raises
    ------
    Refusal
        If there is none of that name.
    """
    if not ID.fullmatch(identifier):
        raise Refusal(f"{identifier!r} is no name of an update.", "Take the one that `receive` printed.")
    place = folder(state, identifier) / REQUEST
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        return Request(
            identifier,
            Kind(found["kind"]),
            Source(Via(found["via"]), found["label"], found["who"]),
            found["system"],
            found["stick"],
            found["asks_confirmation"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(
            f"There is no update {identifier} on this machine ({place}: {error}).",
            "Begin again: ./deploy.sh push over ssh, or nixel-update install at the machine.",
        ) from error


def folder(state: Path, identifier: str) -> Path:
    """Tell where a request is kept.

    Parameters
    ----------
    state
        The folder of updates.
    identifier
        Its name.

    Returns
    -------
    Path
        Its folder.
    """
    return state / FOLDER / identifier


def confirmation(state: Path, identifier: str) -> Path:
    """Tell where it is noted who confirmed a transaction.

    Parameters
    ----------
    state
        The folder of updates.
    identifier
        Its name.

    Returns
    -------
    Path
        The file, there or not.
    """
    return state / CONFIRMED / identifier


def drop(state: Path, identifier: str) -> None:
    """Forget a request, and that it was confirmed.

    Parameters
    ----------
    state
        The folder of updates.
    identifier
        Its name.
    """
    shutil.rmtree(folder(state, identifier), ignore_errors=True)
    with suppress(OSError):
        confirmation(state, identifier).unlink(missing_ok=True)

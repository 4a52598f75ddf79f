"""Put a bundle together: what was taken, without secrets, and a manifest of what was not taken and why."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import tarfile
from typing import TYPE_CHECKING, Any

from nixel.update.support.machine import NotTakenError
from nixel.update.support.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nixel.update.support.machine import Machine
    from nixel.update.support.sources import Source

MANIFEST = "manifest.json"
FOLDER = "nixel-support"


def collect(
    machine: Machine, wanted: Sequence[Source], made: str
) -> tuple[list[tuple[str, bytes]], dict[str, Any]]:
    """Take what can be taken.

    Parameters
    ----------
    machine
        Of which.
    wanted
        From `sources`.
    made
        When, for the manifest.

    Returns
    -------
    list of tuple
        Name and content of each file, without secrets, in the order wanted.
    dict
        The manifest.
    """
    files: list[tuple[str, bytes]] = []
    taken: list[dict[str, Any]] = []
    missing: list[dict[str, str]] = []
    for source in wanted:
        try:
            text, removed = redact(source.take(machine))
        except NotTakenError as error:
            missing.append({"file": source.name, "what": source.what, "why": str(error)})
            continue
        content = text.encode()
        if len(content) > source.most:  # a note can be longer than the secret that it stands for
            content = content[-source.most :].partition(b"\n")[2]
        files.append((source.name, content))
        sha = hashlib.sha256(content).hexdigest()
        entry = {"file": source.name, "what": source.what, "bytes": len(content), "sha256": sha}
        taken.append({**entry, "removed": removed})
    about = "What this machine says of itself. No images, no datasets; what looked like a secret is removed."
    return files, {"about": about, "made": made, "taken": taken, "not_taken": missing}


def pack(files: Sequence[tuple[str, bytes]], manifest: dict[str, Any], seconds: int) -> bytes:
    """Pack a bundle; the same content at the same time gives the same bytes.

    Parameters
    ----------
    files
        Name and content.
    manifest
        From `collect`.
    seconds
        When, since 1970.

    Returns
    -------
    bytes
        A tar archive, compressed with xz.
    """
    plain = io.BytesIO()
    first = (MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in (first, *files):
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), seconds, 0o644
            archive.addfile(entry, io.BytesIO(content))
    return lzma.compress(plain.getvalue(), preset=6)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, whole or not at all.

    Parameters
    ----------
    path
        Where.
    content
        What.

    Raises
    ------
    FileExistsError
        If it is there; it is not touched.
    OSError
        If it cannot be written.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise

"""Keys in Nix's own form, and signatures by them: one key signs a system's paths and the manifest that lists them.

Nix writes an Ed25519 key as `name:base64`: 32 bytes of a public key, 64 of a secret one (its seed, then the public
key). The `openssl` program signs and checks (RFC 8032); what it is given passes through anonymous memory, so that no
secret ever stands on a disk.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

# What precedes the 32 raw bytes in DER (RFC 8410).
_SECRET_DER = bytes.fromhex("302e020100300506032b657004220420")
_PUBLIC_DER = bytes.fromhex("302a300506032b6570032100")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SEED, _PUBLIC, _SIGNATURE = 32, 32, 64
_MOST_BYTES = 4096
_WITHIN = 60.0
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What checks a signature: its name and 32 bytes."""

    name: str
    raw: bytes

    def __str__(self) -> str:
        return f"{self.name}:{base64.b64encode(self.raw).decode()}"


@dataclass(frozen=True, slots=True)
class SecretKey:
    """What signs; its seed (32 bytes) is never shown."""

    seed: bytes = field(repr=False)
    public: PublicKey


def parse_public(text: str) -> PublicKey:
    """Read a public key.

    Parameters
    ----------
    text
        `name:base64`.

    Returns
    -------
    PublicKey
        That key.

    Raises
    ------
    Refusal
        If it is none, or is a secret one.
    """
    name, raw = _decode(text) or ("", b"")
    if len(raw) == _SEED + _PUBLIC:
        raise Refusal(
            f"{name}:… is a secret key, and a public one was expected.",
            "Give what `nix key convert-secret-to-public` makes of it, and keep the secret one to yourself.",
        )
    if len(raw) != _PUBLIC:
        raise Refusal(
            f"{text[:80]!r} is no public key; name:base64 was expected.", "Give a key as Nix makes it."
        )
    return PublicKey(name, raw)


def read_secret(path: Path) -> SecretKey:
    """Read a secret key from its file.

    Parameters
    ----------
    path
        A file that nobody but its owner may read, holding what `nix key generate-secret` made.

    Returns
    -------
    SecretKey
        That key.

    Raises
    ------
    Refusal
        If it cannot be read, others may read it, or it is no secret key; or if openssl is missing.
    """
    make = f"Make one: (umask 077; nix key generate-secret --key-name NAME-1 > {path})"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as stream:  # noqa: PTH123 (a handle, not a path)
            about = os.fstat(handle)
            content = stream.read(_MOST_BYTES + 1) if stat.S_ISREG(about.st_mode) else b""
    except OSError as error:
        raise Refusal(f"The key {path} cannot be read: {error.strerror}.", make) from error
    found = _decode(content.decode("ascii", "replace").removesuffix("\n"))
    if found is not None and len(found[1]) == _PUBLIC:
        raise Refusal(
            f"{path} holds a public key, and a secret one is needed to sign.", "Name the secret key's file."
        )
    if found is None or len(found[1]) != _SEED + _PUBLIC:
        raise Refusal(f"{path} holds no secret key of Nix's kind (name:base64).", make)
    if about.st_mode & _OTHERS:
        raise Refusal(
            f"Others than its owner may read the secret key {path} (mode {stat.S_IMODE(about.st_mode):04o}); "
            "who has it can make systems that your machines trust.",
            f"If nobody has read it: chmod 600 {path}. Otherwise make a new one and trust that instead.",
        )
    name, raw = found
    key = SecretKey(raw[:_SEED], PublicKey(name, raw[_SEED:]))
    if not verify([key.public], sign(key, b"trial"), b"trial"):
        raise Refusal(
            f"The secret key {path} is damaged: its two halves do not belong together.",
            "Fetch it again from where it is kept.",
        )
    return key


def sign(key: SecretKey, content: bytes) -> str:
    """Sign bytes.

    Parameters
    ----------
    key
        By which key.
    content
        What; at least one byte.

    Returns
    -------
    str
        `name:base64` of the 64 bytes, as in Nix.

    Raises
    ------
    Refusal
        If openssl is missing or fails.
    """
    with ExitStack() as stack:
        secret = _in_memory(stack, _SECRET_DER + key.seed)
        done = _openssl("-sign", "-inkey", _path(secret), "-in", _path(_in_memory(stack, content)))
    if done.returncode != 0 or len(done.stdout) != _SIGNATURE:
        raise _broken(done)
    return f"{key.public.name}:{base64.b64encode(done.stdout).decode()}"


def verify(keys: Iterable[PublicKey], signature: str, content: bytes) -> bool:
    """Check a signature.

    Parameters
    ----------
    keys
        The trusted ones; only one of the signature's name is tried.
    signature
        `name:base64`, in its one canonical spelling.
    content
        What was signed; at least one byte.

    Returns
    -------
    bool
        Whether one of the keys signed exactly this.

    Raises
    ------
    Refusal
        If openssl is missing or fails in another way than by finding the signature wrong.
    """
    name, raw = _decode(signature) or ("", b"")
    if len(raw) != _SIGNATURE:
        return False
    return any(_verify(key, raw, content) for key in keys if key.name == name)


def signed_by(keys: Sequence[PublicKey], signatures: Iterable[str], content: bytes) -> str | None:
    """Tell which trusted key signed.

    Parameters
    ----------
    keys
        The trusted ones.
    signatures
        Those that were found.
    content
        What was signed.

    Returns
    -------
    str or None
        The name of the first one that did; `None` if none did.
    """
    return next((each.partition(":")[0] for each in signatures if verify(keys, each, content)), None)


def _decode(text: str) -> tuple[str, bytes] | None:
    """Name and bytes; nothing unless the text is the only one that says so."""
    name, _, code = text.partition(":")
    try:
        raw = base64.b64decode(code, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Base64 has spare bits at its end: other texts for the same bytes are no key and no signature here.
    if not _NAME.fullmatch(name) or base64.b64encode(raw).decode() != code:
        return None
    return name, raw


def _verify(key: PublicKey, raw: bytes, content: bytes) -> bool:
    with ExitStack() as stack:
        public, signature, what = (
            _path(_in_memory(stack, each)) for each in (_PUBLIC_DER + key.raw, raw, content)
        )
        done = _openssl("-verify", "-pubin", "-inkey", public, "-sigfile", signature, "-in", what)
    if done.returncode == 0 and b"Verified Successfully" in done.stdout:
        return True
    # A key whose bytes are no point of the curve, and a signature that is no pair of point and number, are wrong too.
    if done.returncode == 1 and b"Verification Failure" in done.stdout + done.stderr:
        return False
    raise _broken(done)


def _in_memory(stack: ExitStack, content: bytes) -> int:
    """An anonymous file; openssl must know the size of what it signs in one go, so a pipe will not do."""
    handle = os.memfd_create("nixel-update", os.MFD_CLOEXEC)
    stack.callback(os.close, handle)
    with open(handle, "wb", closefd=False) as stream:
        stream.write(content)
    return handle


def _path(handle: int) -> str:
    return f"/proc/{os.getpid()}/fd/{handle}"


def _openssl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["openssl", "pkeyutl", "-rawin", "-keyform", "DER", *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=_WITHIN,
        )
    except FileNotFoundError as error:
        raise Refusal(
            "There is no openssl here, which signs and checks systems.", "Install openssl."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise Refusal(f"openssl did not answer within {_WITHIN:.0f} s.", "Try again.") from error


def _broken(done: subprocess.CompletedProcess[bytes]) -> Refusal:
    said = done.stderr.decode("utf-8", "replace").strip()[-500:]
    return Refusal(
        f"openssl failed with status {done.returncode}: {said}", "Check `openssl version`: 3.0 or newer."
    )

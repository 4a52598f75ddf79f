"""SHA-256 as Nix writes it: `sha256:` and 52 digits of its own base 32, or one of the other spellings that it has."""

from __future__ import annotations

import base64
import binascii

DIGITS = "0123456789abcdfghijklmnpqrsvwxyz"
_BYTES = 32
_LENGTH = 52


def base32(raw: bytes) -> str:
    """Write bytes in Nix's base 32: least significant digit last.

    Parameters
    ----------
    raw
        Any bytes.

    Returns
    -------
    str
        Digits, 8 bits in 5 each, rounded up.
    """
    number = int.from_bytes(raw, "little")
    length = (len(raw) * 8 + 4) // 5
    return "".join(DIGITS[number >> 5 * place & 31] for place in reversed(range(length)))


def canonical(raw: bytes) -> str:
    """Write a SHA-256 as narinfos and manifests do.

    Parameters
    ----------
    raw
        32 bytes.

    Returns
    -------
    str
        `sha256:` and 52 digits.
    """
    return f"sha256:{base32(raw)}"


def parse(text: str) -> bytes:
    """Read a SHA-256 in any of Nix's spellings.

    Parameters
    ----------
    text
        `sha256-` and base 64, or `sha256:` and base 16, 32 or 64.

    Returns
    -------
    bytes
        32 of them.

    Raises
    ------
    ValueError
        If it is none.
    """
    kind, code = text[:7], text[7:]
    raw = None
    if kind == "sha256:" and len(code) == 2 * _BYTES:
        raw = bytes.fromhex(code)
    elif kind == "sha256:" and len(code) == _LENGTH:
        raw = _from_base32(code)
    elif kind in ("sha256:", "sha256-"):
        try:
            raw = base64.b64decode(code, validate=True)
        except binascii.Error as error:
            raise ValueError(str(error)) from error
    if raw is None or len(raw) != _BYTES:
        raise ValueError(f"{text[:100]!r} is no SHA-256")
    return raw


def _from_base32(code: str) -> bytes | None:
    number = 0
    for digit in code:
        place = DIGITS.find(digit)
        if place < 0:
            return None
        number = number << 5 | place
    # 52 digits hold 260 bits; the upper four of a SHA-256's are zero.
    return number.to_bytes(_BYTES, "little") if number < 1 << 8 * _BYTES else None

"""SHA-256 from Python's own implementation, where it has one.

`hashlib` prefers OpenSSL's, whose library takes 5 MiB of the memory that the daemon keeps locked.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256
else:
    for _name in (
        "_sha2",
        "_sha256",
        "hashlib",
    ):  # of Python 3.12 and later, of 3.11, of one that has neither
        try:
            sha256 = importlib.import_module(_name).sha256
            break
        except ImportError:
            continue

__all__ = ["sha256"]

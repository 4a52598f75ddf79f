"""How this program was called, for calling it again."""

from __future__ import annotations

import shutil
import sys


def argv0() -> tuple[str, ...]:
    """Say how to call this program.

    Returns
    -------
    tuple of str
        The installed command, or the interpreter with the module.
    """
    own = sys.argv[0]
    found = own if own.startswith("/") and own.endswith("nixel-update") else shutil.which("nixel-update")
    return (found,) if found else (sys.executable, "-m", "nixel.update")

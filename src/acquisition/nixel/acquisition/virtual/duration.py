"""Times on a command line, written as instrument files write them."""

from __future__ import annotations

import argparse
import re

__all__ = ["seconds"]

_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?) (ms|s)")


def seconds(text: str) -> float:
    """Read a time, as an argument's `type`.

    Parameters
    ----------
    text : str
        Such as "50 ms".

    Returns
    -------
    float
        The time [s].

    Raises
    ------
    argparse.ArgumentTypeError
        It is no time.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        msg = f"expected a time such as '50 ms' or '0.2 s', found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return float(found[1]) * {"ms": 1e-3, "s": 1.0}[found[2]]

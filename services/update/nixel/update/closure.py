"""The store paths that a system needs, with their sizes, as this machine's Nix knows them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

_WITHIN = 120


def closure(system: str, store: Sequence[str] = ()) -> dict[str, int | None]:
    """Ask Nix for a closure.

    Parameters
    ----------
    system
        A store path.
    store
        Nix's options that name the store; its own if empty.

    Returns
    -------
    dict
        From each store path to its size in bytes.

    Raises
    ------
    Refusal
        If Nix cannot tell.
    """
    command = ["nix", "--extra-experimental-features", "nix-command", *store]
    command += ["path-info", "--recursive", "--size", system]
    todo = "Name a system that is in this machine's store."
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN, check=False)
    except OSError as error:
        raise Refusal(
            f"nix cannot be started ({error.strerror}).", "Run it on a machine with Nix."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise Refusal(
            f"nix did not say within {_WITHIN} s what {system} needs.", "See what else Nix is busy with."
        ) from error
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise Refusal(f"nix cannot tell what {system} needs: {why}.", todo)
    found = parse(done.stdout)
    if system not in found:
        raise Refusal(f"nix named {len(found)} store paths that {system} needs, but not itself.", todo)
    return found


def parse(text: str) -> dict[str, int | None]:
    """Read what `nix path-info --size` says.

    Parameters
    ----------
    text
        A store path and its size on each line.

    Returns
    -------
    dict
        From each store path to its size in bytes; `None` where there is none.
    """
    found: dict[str, int | None] = {}
    for line in text.splitlines():
        path, _, number = line.strip().partition("\t")
        path, number = path.strip(), number.strip()
        if path:
            found[path] = int(number) if number.isdecimal() else None
    return found

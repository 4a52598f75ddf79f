"""The store paths that a system needs, with their sizes, as this machine's Nix knows them."""

from __future__ import annotations

from nixel.update.failure import Failure
from nixel.update.nix import Nix
from nixel.update.refusal import Refusal


def closure(system: str, store: str | None = None) -> dict[str, int | None]:
    """Ask Nix for a closure.

    Parameters
    ----------
    system
        A store path.
    store
        Which store, as Nix's `--store` has it; its own choice if `None`.

    Returns
    -------
    dict
        From each store path to its size in bytes.

    Raises
    ------
    Refusal
        If Nix cannot tell.
    """
    try:
        return {path: info.nar_size for path, info in Nix(store=store).closure(system).items()}
    except Failure as error:
        said = f" Nix said: {error.said}." if error.said else ""
        raise Refusal(
            f"It cannot be told what {system} needs. {error.what}{said}",
            error.todo or "Name a system that is in this machine's store.",
        ) from error

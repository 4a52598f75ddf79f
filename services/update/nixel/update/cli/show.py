"""What a person is shown before saying yes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.update import words
from nixel.update.active import active_units
from nixel.update.closure import closure
from nixel.update.describe import describe
from nixel.update.difference import difference

if TYPE_CHECKING:
    from nixel.update.difference import Difference
    from nixel.update.here import Here
    from nixel.update.manifest.model import Manifest
    from nixel.update.transaction.model import Side


def offer(machine: Here, manifest: Manifest, *, everything: bool) -> str:
    """Show what an offer would change.

    Parameters
    ----------
    machine
        This machine.
    manifest
        Of the system on offer.
    everything
        Whether lists are whole.

    Returns
    -------
    str
        Lines for a person.
    """
    lines = [f"This machine is {machine.identity.host}."]
    if manifest.note:
        lines.append(f"A note from its maker: {manifest.note}")
    lines += ["", *words.sentences(_difference(machine, manifest.description), everything)]
    return "\n".join(lines)


def as_json(machine: Here, manifest: Manifest) -> dict[str, Any]:
    """Describe an offer as plain data.

    Parameters
    ----------
    machine
        This machine.
    manifest
        Of the system on offer.

    Returns
    -------
    dict
        Fit for JSON.
    """
    return {
        "host": machine.identity.host,
        "running": machine.running.path,
        "offered": manifest.system,
        "identity": manifest.identity.as_json(),
        "made": manifest.made,
        "made_by": manifest.made_by,
        "note": manifest.note,
        "difference": words.as_json(_difference(machine, manifest.description)),
    }


def stored(machine: Here, system: Side, *, everything: bool) -> str:
    """Show what a system that is in the store would change.

    Parameters
    ----------
    machine
        This machine.
    system
        Which one.
    everything
        Whether lists are whole.

    Returns
    -------
    str
        Lines for a person.
    """
    described = describe(Path(system.path), closure(system.path))
    lines = [f"This machine is {machine.identity.host}.", ""]
    return "\n".join(lines + words.sentences(_difference(machine, described), everything))


def _difference(machine: Here, described: object) -> Difference:
    running = describe(Path(machine.running.path), closure(machine.running.path))
    return difference(running, described, active_units())

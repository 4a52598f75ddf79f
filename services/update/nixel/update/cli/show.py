"""What a person is shown before saying yes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.update import words
from nixel.update.active import active_units
from nixel.update.closure import closure
from nixel.update.describe import describe
from nixel.update.difference import difference
from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    from nixel.update.difference import Difference
    from nixel.update.here import Here
    from nixel.update.manifest.model import Manifest
    from nixel.update.transaction.model import Side


def can_be_tried(machine: Here, described: object) -> None:
    """Refuse a system that this machine cannot switch to while it runs, and so cannot try.

    Parameters
    ----------
    machine
        This machine.
    described
        What the system is made of.

    Raises
    ------
    Refusal
        If NixOS's own switch would refuse it.
    """
    because = _difference(machine, described).untried
    if because:
        raise Refusal(
            f"This machine cannot change to that system while it runs: {'; '.join(because)}.",
            "Have a system made that leaves this as it is, or install that one with a new disk or card.",
        )


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
    return _text(lines, _difference(machine, manifest.description), everything)


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
    return _text([f"This machine is {machine.identity.host}."], _difference(machine, described), everything)


def _text(lines: list[str], found: Difference, everything: bool) -> str:
    return "\n".join([*lines, "", *words.fitted(words.sentences(found, everything))])


def _difference(machine: Here, described: object) -> Difference:
    running = describe(Path(machine.running.path), closure(machine.running.path))
    return difference(running, described, active_units())

"""What keeps outputs off, in words: what is broken before what cannot be known because of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nixel.safety.core.model import DEVICE_KIND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nixel.safety.core.model import Verdict


def wrong(verdicts: Iterable[Verdict]) -> list[str]:
    """Say what is wrong.

    A device that is lost leaves many interlocks without a reading. It comes first then, and they are named together:
    thirty times the same would hide it.

    Parameters
    ----------
    verdicts
        Of a tick.

    Returns
    -------
    list of str
        Nothing if everything permits outputs.
    """
    unhealthy = [verdict for verdict in verdicts if not verdict.permits]
    devices = [verdict.message for verdict in unhealthy if verdict.kind == DEVICE_KIND]
    unread = [verdict.name for verdict in unhealthy if verdict.gap]
    if not devices or not unread:
        return [verdict.message for verdict in unhealthy]
    read = [verdict.message for verdict in unhealthy if not (verdict.kind == DEVICE_KIND or verdict.gap)]
    return [*devices, *read, not_read(unread)]


def not_read(names: list[str]) -> str:
    """Say together what is not read: of more than four the first three, and how many more.

    A unit that is unplugged leaves a scanner without twenty-four readings. Their names would hide what is to be done.

    Parameters
    ----------
    names
        Of interlocks, at least one.

    Returns
    -------
    str
        Half a sentence.
    """
    told = ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    return f"nothing fresh is read for {told}"

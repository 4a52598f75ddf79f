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
    return [*devices, *read, f"nothing fresh is read for {', '.join(unread)}"]

"""In which order devices are opened: each after those that it needs."""

from __future__ import annotations

import graphlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["opening_order"]


def opening_order(needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the names so that each comes after those that it needs, else in the order given.

    Parameters
    ----------
    needs : mapping of str to sequence of str
        Of each name, the names that come before it; all are keys.

    Raises
    ------
    ValueError
        Some need each other in a circle; the message names them.
    """
    sorter = graphlib.TopologicalSorter(needs)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        raise ValueError(
            f"devices: found a circle, {circle}; expected devices that open one after another"
        ) from None
    place = {name: number for number, name in enumerate(needs)}
    order: list[str] = []
    while sorter.is_active():
        # What has become possible comes in the file's order, so that a file says what happens.
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        order.extend(ready)
        sorter.done(*ready)
    return tuple(order)

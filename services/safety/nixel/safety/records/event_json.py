"""Events as JSON: how the log, the socket and the black box write them."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nixel.safety.core.model import Event


def as_json(wall: float, event: Event) -> dict[str, Any]:
    """Write an event as what JSON knows.

    Parameters
    ----------
    wall
        When it happened [s since 1970, UTC].
    event
        The event.

    Returns
    -------
    dict
        Its time, monotonic time, kind, text and details.
    """
    return {
        "time": stamp(wall),
        "monotonic": round(event.time, 6),
        "kind": event.kind,
        "text": event.text,
        "details": {key: finite(value) for key, value in event.details.items()},
    }


def record(wall: float, event: Event) -> str:
    """Write an event as JSON, on one line.

    Parameters
    ----------
    wall
        When it happened [s since 1970, UTC].
    event
        The event.

    Returns
    -------
    str
        Without a newline, and not sealed.
    """
    # A file name that is no UTF-8 must not stop the log.
    return json.dumps(as_json(wall, event), ensure_ascii=False).encode(errors="replace").decode()


def stamp(wall: float) -> str:
    """Write a time as ISO 8601 in UTC with milliseconds.

    Parameters
    ----------
    wall
        Seconds since 1970, UTC.

    Returns
    -------
    str
        Such as "2026-01-31T12:00:00.000Z".
    """
    moment = dt.datetime.fromtimestamp(wall, tz=dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def finite(value: str | float | bool | None) -> str | float | bool | None:
    """Give `None` for a NaN or an infinity, which JSON has no words for, and anything else as it is.

    Parameters
    ----------
    value
        What is to become JSON.

    Returns
    -------
    str, float, bool or None
        Fit for JSON.
    """
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value

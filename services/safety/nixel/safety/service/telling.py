"""What the socket's History answers: the log's last events, from memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nixel.safety.service.protocol import INVALID_PARAMETER, CallError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.safety.records.events import Past
    from nixel.safety.service.protocol import Call

USUAL, MOST = 50, 200  # events
MOST_BYTES = 48 * 1024  # of JSON; a client that does not read keeps no more of ours

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def history(call: Call, past: Callable[[str, int, int], Past]) -> dict[str, Any]:
    """Answer a call of History.

    Parameters
    ----------
    call
        What was asked.
    past
        Of the event log.

    Returns
    -------
    dict
        The parameters of the answer.

    Raises
    ------
    CallError
        If a parameter is of the wrong kind.
    """
    since, limit = call.parameters.get("since"), call.parameters.get("limit")
    if since is not None and not (isinstance(since, str) and _TIME.fullmatch(since)):
        raise CallError(INVALID_PARAMETER, parameter="since")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MOST):
        raise CallError(INVALID_PARAMETER, parameter="limit")
    found = past(since or "", limit or USUAL, MOST_BYTES)
    return {
        "events": list(found.events),
        "earlier": found.earlier,
        "latest": found.latest or None,
        "lost": found.lost,
        "problem": found.problem or None,
    }

"""What the replies of a surveillance unit say: readings of its channels and its relay, and whether it watches us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nixel.safety.core.model import Reading

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_CYCLE = 0.05  # s; a slower unit notices too late that its watchdog is not fed
_FLAGS: Final[Mapping[str, bool]] = {"0": False, "1": True}


class LinkError(Exception):
    """The unit does not answer, or not as it must; the text is a sentence without its path."""


def readings(kind: str, text: str, asked: float) -> dict[str, Reading]:
    """Take what the unit has measured from a reply.

    Parameters
    ----------
    kind, text
        The reply, before and after its colon; not that to ``GET:STATUS``.
    asked
        When that was asked for [s].

    Returns
    -------
    dict
        By source; a field that makes no sense has the value `None`.

    Raises
    ------
    LinkError
        If the unit is too slow to watch us.
    """
    if kind == "ANALOG":
        return {f"analog:{n}": Reading(_number(field), asked) for n, field in enumerate(text.split(";"))}
    if kind == "DIGITAL":
        return {f"digital:{n}": Reading(_FLAGS.get(field), asked) for n, field in enumerate(text.split(";"))}
    _check_cycle(text)
    return {}


def relay(text: str, asked: float) -> tuple[dict[str, Reading], bool]:
    """Take what the unit says of its relay.

    Parameters
    ----------
    text
        Of a reply to ``GET:STATUS``, after its colon.
    asked
        When that was asked for [s].

    Returns
    -------
    readings : dict
        Whether it is on; `None` if that makes no sense.
    failed : bool
        Whether the unit has switched off by itself.

    Raises
    ------
    LinkError
        If nothing would drop the relay.
    """
    status = dict(field.partition("=")[::2] for field in text.split(";"))
    on, watchdog = (_FLAGS.get(status.get(name, "")) for name in ("AC", "WD"))
    if on and not (watchdog and status.get("SV") != "0"):
        off = "surveillance" if watchdog else "watchdog"
        msg = f"has its relay on but its {off} off, so nothing would drop the relay if we stopped"
        raise LinkError(msg)
    return {"readback:ac": Reading(on, asked)}, status.get("FAIL") == "1"


def _check_cycle(text: str) -> None:
    microseconds = _number(text)
    if microseconds is None or not 0.0 <= microseconds * 1e-6 <= LONGEST_CYCLE:
        most = f"at most {LONGEST_CYCLE * 1e3:.0f} ms lets it watch us"
        msg = f"says that a round of its own takes {text[:20]!r} microseconds; {most}"
        raise LinkError(msg)


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None

"""Whose system a system is: the file `nixel/system.json` that every system of ours carries.

It is part of the system, so that nobody can change it without changing the system's store path. The host is the
configuration's name, not the name that provisioning gave the machine: what fits one machine of a kind fits the others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    from pathlib import Path

FILE = "nixel/system.json"
FORMAT = 1
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose system it is and which one.

    Attributes
    ----------
    product
        Which line of instruments; `nixel` unless a maker calls it otherwise.
    host
        For which machine it was made: the name of its configuration.
    version
        What it calls itself, for a person.
    revision
        The revision of its source; empty if that was not recorded.
    date
        When its source was committed, in s since 1970 (UTC). A system is older than another by this, not by when it
        was built: building an old source again makes it no newer.
    """

    product: str
    host: str
    version: str
    revision: str
    date: int

    def as_json(self) -> dict[str, Any]:
        """Describe it as plain data, as in the file.

        Returns
        -------
        dict
            Fit for JSON.
        """
        return {
            "format": FORMAT,
            "product": self.product,
            "host": self.host,
            "version": self.version,
            "revision": self.revision,
            "date": self.date,
        }


def parse(found: object, where: str) -> Identity:
    """Read an identity from plain data.

    Parameters
    ----------
    found
        What the file or a manifest holds.
    where
        Where it was found, for the message.

    Returns
    -------
    Identity
        Of that system.

    Raises
    ------
    Refusal
        If it is no identity that this program understands.
    """
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        kind = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise Refusal(
            f"{where} is of format {kind}, and {FORMAT} is the one known here.",
            "Update with a nixel-update that is as new as the system.",
        )
    words = {}
    for key in ("product", "host", "version", "revision"):
        value = found.get(key)
        if not isinstance(value, str) or (not value and key in ("product", "host")):
            raise Refusal(f"{where}: {key} is {value!r}, and text was expected.", "Make the system again.")
        words[key] = value
    date = found.get("date")
    if not isinstance(date, int) or isinstance(date, bool) or date < 0:
        raise Refusal(
            f"{where}: date is {date!r}, and seconds since 1970 were expected.", "Make the system again."
        )
    return Identity(**words, date=date)


def read(system: Path) -> Identity:
    """Read the identity of a system.

    Parameters
    ----------
    system
        The system's folder (its store path, as this process finds it).

    Returns
    -------
    Identity
        Of that system.

    Raises
    ------
    Refusal
        If it carries none, or one that this program does not understand.
    """
    place = system / FILE
    try:
        with place.open("rb") as stream:
            text = stream.read(_MOST_BYTES)
        found = json.loads(text)
    except OSError as error:
        raise Refusal(
            f"{place} cannot be read ({error.strerror}), so it cannot be told for which machine that system is.",
            "Make it with nixel.update.enable = true.",
        ) from error
    except ValueError as error:
        raise Refusal(f"{place} is no JSON ({error}).", "Make the system again.") from error
    return parse(found, str(place))

"""The document that describes a system: plain data, bounded, enough to say what changes from one system to another.

It travels in a manifest, so that the machine can say what an update changes before anything of it is copied.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from nixel.update import identity, unitfile
from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    from nixel.update.identity import Identity
    from nixel.update.unitfile import Unit

FORMAT = 1
MOST_BYTES = 1024 * 1024
TABLES = ("packages", "paths", "units", "etc")
_LATER = "Use a nixel-update that is as new as the system, or describe the system again."


@dataclass(frozen=True, slots=True)
class Document:
    """What a system consists of.

    Attributes
    ----------
    path
        Its store path.
    identity
        Whose system it is; `None` if it does not say.
    nixos, systemd, kernel
        Versions; empty if unknown.
    interface
        Of the program that systemd starts as the first; a system with another one can only be started, not switched to.
    inhibitors
        Further facts that must be equal for a switch without a restart (NixOS's `system.switch.inhibitors`).
    parts
        Of the kernel, its modules, the initial RAM disk, device trees and firmware: which ones, by identifier.
    parameters
        The kernel's, in their order.
    packages
        From each program's name to its versions.
    paths
        From the identifier of each store path of the closure to its size in bytes, -1 if that is not known.
    units
        systemd's, by name.
    mounts
        From each mount point of /etc/fstab to its device, type and options.
    etc
        From each file's path below /etc to two digests: of its content, and of its content without the hashes and
        versions of store paths.
    left_out
        How many entries of a table were left out to keep the document small.
    """

    path: str
    identity: Identity | None
    nixos: str
    systemd: str
    kernel: str
    interface: str
    inhibitors: dict[str, str]
    parts: dict[str, str]
    parameters: tuple[str, ...]
    packages: dict[str, list[str]]
    paths: dict[str, int]
    units: dict[str, Unit]
    mounts: dict[str, list[str]]
    etc: dict[str, list[str]]
    left_out: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Describe it as plain data.

        Returns
        -------
        dict
            Fit for JSON.
        """
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        found["format"] = FORMAT
        found["identity"] = self.identity and self.identity.as_json()
        found["parameters"] = list(self.parameters)
        found["units"] = {name: unit.as_json() for name, unit in self.units.items()}
        return found


def bounded(document: Document, most: int = MOST_BYTES) -> dict[str, Any]:
    """Describe a document as plain data of a bounded size.

    Parameters
    ----------
    document
        Which one.
    most
        How many bytes of JSON it may have; its largest tables are cut, and it says so.

    Returns
    -------
    dict
        Fit for JSON.
    """
    found = document.as_json()
    sizes = {name: len(json.dumps(found[name])) for name in TABLES}
    rest = len(json.dumps({**found, **dict.fromkeys(TABLES)})) + 200
    while rest + sum(sizes.values()) > most and any(len(found[name]) for name in TABLES):
        name = max(sizes, key=lambda each: sizes[each])
        keys = sorted(found[name])
        keep = keys[: len(keys) // 2]
        found["left_out"] = {
            **found["left_out"],
            name: found["left_out"].get(name, 0) + len(keys) - len(keep),
        }
        found[name] = {key: found[name][key] for key in keep}
        sizes[name] = len(json.dumps(found[name]))
    return found


def parse(found: object, where: str) -> Document:
    """Read a document from plain data.

    Parameters
    ----------
    found
        What a manifest or `describe` holds.
    where
        Where it was found, for the message.

    Returns
    -------
    Document
        The document.

    Raises
    ------
    Refusal
        If it is of another format, or a value is of another kind than expected.
    """
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        kind = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise Refusal(
            f"{where}: the description is of format {kind!r:.40}, and {FORMAT} is the one known here.", _LATER
        )
    # What a later nixel-update may add to the description of a newer system is no reason to refuse that system.
    given = {key: found[key] for key in _KINDS if key in found}
    missing = [key for key in _KINDS if key not in found]
    if missing:
        raise Refusal(f"{where}: the description lacks {', '.join(missing)}.", _LATER)
    for key, (fits, expected) in _KINDS.items():
        if not fits(given[key]):
            raise Refusal(f"{where}: the description's {key} is not {expected}.", _LATER)
    try:
        units = {name: unitfile.from_json(each) for name, each in given["units"].items()}
    except (ValueError, TypeError) as error:
        raise Refusal(f"{where}: the description's units: {error}.", _LATER) from error
    whose = given["identity"] and identity.parse(given["identity"], f"{where}: the description's identity")
    parameters = tuple(given["parameters"])
    return Document(**{**given, "identity": whose or None, "units": units, "parameters": parameters})


def _text(found: object) -> bool:
    return isinstance(found, str)


def _texts(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(each, str) for each in found)


def _named_texts(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(each, str) for each in (*found, *found.values()))


def _named_lists(found: object) -> bool:
    return isinstance(found, dict) and all(_texts(each) for each in found.values())


def _named_numbers(found: object) -> bool:
    return isinstance(found, dict) and all(
        isinstance(each, int) and not isinstance(each, bool) for each in found.values()
    )


_KINDS = {
    "path": (_text, "text"),
    "identity": (lambda found: found is None or isinstance(found, dict), "an object or null"),
    "nixos": (_text, "text"),
    "systemd": (_text, "text"),
    "kernel": (_text, "text"),
    "interface": (_text, "text"),
    "inhibitors": (_named_texts, "an object of texts"),
    "parts": (_named_texts, "an object of texts"),
    "parameters": (_texts, "a list of texts"),
    "packages": (_named_lists, "an object of lists of texts"),
    "paths": (_named_numbers, "an object of numbers"),
    "units": (lambda found: isinstance(found, dict), "an object"),
    "mounts": (
        lambda found: _named_lists(found) and all(len(each) == 3 for each in found.values()),
        "an object of device, type and options",
    ),
    "etc": (
        lambda found: _named_lists(found) and all(len(each) == 2 for each in found.values()),
        "an object of two digests each",
    ),
    "left_out": (_named_numbers, "an object of numbers"),
}

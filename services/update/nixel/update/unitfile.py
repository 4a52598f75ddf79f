"""A systemd unit as NixOS reads it when it switches: its sections with their drop-ins, and what a change of it means.

The rules are those of nixpkgs' switch-to-configuration-ng (`parse_systemd_ini`, `compare_units`,
`handle_modified_unit`). A unit is compared by its settings: another store path in one of them is another setting. What
only matters for reloading (`X-Reload-Triggers`, `ExecReload`, a mount's `Options`) is kept apart, and what matters for
neither (a description, who is told of a failure) is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

Settings = dict[str, dict[str, list[str]]]

# Settings of [Unit] that a running unit need not be restarted for.
IGNORED = frozenset(
    (
        "X-Reload-Triggers",
        "Description",
        "Documentation",
        "OnFailure",
        "OnSuccess",
        "OnFailureJobMode",
        "IgnoreOnIsolate",
        "StopWhenUnneeded",
        "RefuseManualStart",
        "RefuseManualStop",
        "AllowIsolate",
        "CollectMode",
        "SourcePath",
    )
)
_TRUE = frozenset(("1", "yes", "true", "on"))
_MOST_DESCRIPTION = 80
_MOST_NAMES = 40


class WhenChanged(Enum):
    """What a switch does with a running unit whose settings changed."""

    RESTART = "restart"
    STOP_START = "stop-start"
    RELOAD = "reload"
    LEAVE = "leave"
    APPLY = "apply"


@dataclass(frozen=True, slots=True)
class Unit:
    """What is kept of a unit.

    Attributes
    ----------
    description
        Its own, for a person; at most 80 characters.
    digest
        Of the settings whose change needs a restart.
    reload
        Of the settings whose change needs a reload, one digest each.
    when_changed
        What is done with it then.
    stays_when_removed
        Whether it goes on running if the new system has it no more.
    socket_starts_it
        Whether a socket of its own, if there is one, starts it again when it is used.
    sockets
        Sockets that it names as its own.
    follows
        Units whose stop or restart stops or restarts this one too.
    wanted
        Whether the system starts it by itself (and not on somebody's demand alone).
    startable
        Whether it may be started by name.
    """

    description: str
    digest: str
    reload: dict[str, str]
    when_changed: WhenChanged
    stays_when_removed: bool
    socket_starts_it: bool
    sockets: tuple[str, ...]
    follows: tuple[str, ...]
    wanted: bool
    startable: bool

    def as_json(self) -> dict[str, Any]:
        """Describe it as plain data; what is as with most units is left out."""
        found: dict[str, Any] = {"digest": self.digest, "when_changed": self.when_changed.value}
        if self.description:
            found["description"] = self.description
        if self.reload:
            found["reload"] = self.reload
        if self.sockets:
            found["sockets"] = list(self.sockets)
        if self.follows:
            found["follows"] = list(self.follows)
        for key, usual in _USUAL.items():
            if getattr(self, key) is not usual:
                found[key] = not usual
        return found


_USUAL = {"stays_when_removed": False, "socket_starts_it": True, "wanted": False, "startable": True}


def from_json(found: object) -> Unit:
    """Read a unit from plain data.

    Parameters
    ----------
    found
        As `Unit.as_json` makes it.

    Returns
    -------
    Unit
        The unit.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not isinstance(found, dict):
        raise ValueError(f"a unit is {found!r:.80}, and an object was expected")
    given = {"description": "", "reload": {}, "sockets": [], "follows": [], **_USUAL, **found}
    texts = [given["description"], given.get("digest"), *given["sockets"], *given["follows"]]
    if (
        not isinstance(given["reload"], dict)
        or not all(isinstance(text, str) for text in (*texts, *given["reload"], *given["reload"].values()))
        or not all(isinstance(given[key], bool) for key in _USUAL)
    ):
        raise ValueError(f"a unit is {found!r:.200}, which has a value of another kind than expected")
    return Unit(
        description=given["description"],
        digest=given["digest"],
        reload=given["reload"],
        when_changed=WhenChanged(given.get("when_changed")),
        sockets=tuple(given["sockets"]),
        follows=tuple(given["follows"]),
        **{key: given[key] for key in _USUAL},
    )


def parse(texts: Iterable[str]) -> Settings:
    """Read a unit file and its drop-ins.

    Parameters
    ----------
    texts
        The unit's text, then its drop-ins' in their order.

    Returns
    -------
    dict
        From section to setting to its values; `[Install]` is left out, as what it says has been done already. An empty
        value takes back what was said before it.
    """
    found: Settings = {}
    for text in texts:
        section: dict[str, list[str]] | None = None
        for line in text.replace("\\\n", " ").splitlines():
            line = line.strip()
            if not line or line[0] in "#;":
                continue
            if line[0] == "[" and line[-1] == "]":
                name = line[1:-1]
                section = None if name == "Install" else found.setdefault(name, {})
            elif section is not None:
                key, _, value = line.partition("=")
                values = section.setdefault(key.strip(), [])
                if value.strip():
                    values.append(value.strip())
                else:
                    values.clear()
    return found


def unit(name: str, settings: Settings, needs: Iterable[str] = (), *, wanted: bool) -> Unit:
    """Keep of a unit what a switch to or from it depends on.

    Parameters
    ----------
    name
        The unit's name.
    settings
        From `parse`.
    needs
        What it requires by links in its `.requires` folder.
    wanted
        Whether the system starts it by itself.

    Returns
    -------
    Unit
        Digests have 64 bits.
    """
    about = settings.get("Unit", {})
    own = settings.get("Service", {})
    reload = {
        key: _digest(section[key])
        for section, key in ((about, "X-Reload-Triggers"), (own, "ExecReload"))
        if key in section
    }
    options = settings.get("Mount", {}).get("Options")
    if options is not None:
        reload["Options"] = _digest(options)
    follows = {
        each
        for key in ("Requires", "BindsTo", "PartOf")
        for value in about.get(key, ())
        for each in value.split()
    }
    return Unit(
        description=" ".join(about.get("Description", ())[-1:])[:_MOST_DESCRIPTION],
        digest=_digest(_core(settings)),
        reload=reload,
        when_changed=_when_changed(name, settings),
        stays_when_removed=not _is(about, "X-StopOnRemoval", True),
        socket_starts_it=not _is(own, "X-NotSocketActivated", False),
        sockets=tuple(" ".join(own.get("Sockets", ())).split()[:_MOST_NAMES]),
        follows=tuple(sorted(follows | set(needs))[:_MOST_NAMES]),
        wanted=wanted,
        startable=not (_is(about, "RefuseManualStart", False) or _is(about, "X-OnlyManualStart", False)),
    )


def _core(settings: Settings) -> list[Any]:
    """The settings whose change needs a restart."""
    found: list[Any] = []
    for section in sorted(settings):
        left: dict[str, Any] = dict(settings[section])
        before = len(left)
        if section == "Unit":
            left = {key: values for key, values in left.items() if key not in IGNORED}
        elif section == "Service":
            left.pop("ExecReload", None)
        elif section == "Mount" and "Options" in left:
            left["Options"] = "there"  # its coming or going needs a restart, another value a reload
        # A [Unit] without anything of weight is as good as none, and so is a [Service] that could only be reloaded.
        if left or not (section == "Unit" or (section == "Service" and before)):
            found.append([section, sorted(left.items())])
    return found


def _when_changed(name: str, settings: Settings) -> WhenChanged:
    about = settings.get("Unit", {})
    own = settings.get("Service", {})
    special = name in ("sysinit.target", "basic.target", "multi-user.target", "graphical.target")
    if special or name.endswith((".path", ".slice", ".target")):
        return WhenChanged.APPLY  # systemd takes it over when it reads its units again
    if name.endswith(".mount"):
        return WhenChanged.RELOAD if name in ("-.mount", "nix.mount") else WhenChanged.RESTART
    if name.endswith(".socket"):
        return WhenChanged.LEAVE
    if _is(own, "X-ReloadIfChanged", False):
        return WhenChanged.RELOAD
    if (
        not _is(own, "X-RestartIfChanged", True)
        or _is(about, "RefuseManualStop", False)
        or _is(about, "X-OnlyManualStart", False)
    ):
        return WhenChanged.LEAVE
    if not _is(own, "X-StopIfChanged", True) or not name.endswith(".service"):
        return WhenChanged.RESTART
    return WhenChanged.STOP_START


def _is(section: dict[str, list[str]], key: str, usual: bool) -> bool:
    values = section.get(key)
    return values[-1] in _TRUE if values else usual


def _digest(found: object) -> str:
    return blake2b(json.dumps(found).encode(), digest_size=8).hexdigest()

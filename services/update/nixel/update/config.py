"""The settings of nixel-update on a machine: `/etc/nixel/update.toml`, written by the NixOS module `nixel.update`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nixel.update.refusal import Refusal

FILE = Path("/etc/nixel/update.toml")
_KEY = re.compile(r"[A-Za-z0-9._-]+:[A-Za-z0-9+/]{43}=")


@dataclass(frozen=True, slots=True)
class Config:
    """What the machine's own system says about its updates.

    Attributes
    ----------
    trusted_keys
        Public keys in Nix's form, `name:base64`; a system that none of them signed is not installed. With
        none of them nobody is trusted, and everything that an update does not need still works.
    state
        Folder that keeps the transaction and the history.
    profile
        The profile whose newest generation the next start brings.
    keep_generations
        How many generations stay, the running one and the boot default always among them.
    switch_within
        How long a switch may take, in s.
    check_within
        How long the health check may take as a whole, in s.
    confirm_within
        How long a deployer has to come back after a switch over the network, in s.
    """

    trusted_keys: tuple[str, ...]
    state: Path
    profile: Path
    keep_generations: int
    switch_within: float
    check_within: float
    confirm_within: float


_DEFAULTS: dict[str, Any] = {
    "trusted-keys": None,
    "state": "/var/lib/nixel-update",
    "profile": "/nix/var/nix/profiles/system",
    "keep-generations": 5,
    "switch-within": 600,
    "check-within": 300,
    "confirm-within": 120,
}


def parse(found: dict[str, Any], where: str) -> Config:
    """Read the settings from plain data.

    Parameters
    ----------
    found
        What the file holds.
    where
        Its name, for the message.

    Returns
    -------
    Config
        The settings.

    Raises
    ------
    Refusal
        On an unknown key, a value of another kind, or no word on the trusted keys.
    """

    def wrong(key: str, expected: str) -> Refusal:
        return Refusal(
            f"{where}: {key} is {found.get(key)!r}, and {expected} was expected.",
            "Set nixel.update in its system.",
        )

    unknown = sorted(set(found) - set(_DEFAULTS))
    if unknown:
        raise Refusal(
            f"{where}: {', '.join(unknown)} is no setting; known are {', '.join(_DEFAULTS)}.", "Remove it."
        )
    values = {**_DEFAULTS, **found}
    keys = values["trusted-keys"]
    if not isinstance(keys, list) or not all(isinstance(key, str) and _KEY.fullmatch(key) for key in keys):
        raise wrong("trusted-keys", "a list of public keys, each name:base64,")
    for key in ("state", "profile"):
        if not isinstance(values[key], str) or not values[key].startswith("/"):
            raise wrong(key, "an absolute path")
    generations = values["keep-generations"]
    if not isinstance(generations, int) or isinstance(generations, bool) or generations < 2:
        raise wrong("keep-generations", "a number of at least 2")
    for key in ("switch-within", "check-within", "confirm-within"):
        if not isinstance(values[key], int | float) or isinstance(values[key], bool) or not values[key] > 0:
            raise wrong(key, "a number of seconds above 0")
    return Config(
        trusted_keys=tuple(keys),
        state=Path(values["state"]),
        profile=Path(values["profile"]),
        keep_generations=generations,
        switch_within=float(values["switch-within"]),
        check_within=float(values["check-within"]),
        confirm_within=float(values["confirm-within"]),
    )


def read(path: Path = FILE) -> Config:
    """Read the settings of this machine.

    Parameters
    ----------
    path
        Where they stand.

    Returns
    -------
    Config
        The settings.

    Raises
    ------
    Refusal
        If they cannot be read or are wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Refusal(
            f"{path} cannot be read ({error.strerror}): this machine's system takes no updates of this kind.",
            "Set nixel.update.enable = true in its system.",
        ) from error
    try:
        found = tomllib.loads(text)
    except ValueError as error:
        raise Refusal(f"{path} is no TOML: {error}.", "Set nixel.update in its system.") from error
    return parse(found, str(path))

"""What the doctor says: findings, and what to do about them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad a finding is: it keeps the file from loading; it may, elsewhere or later; it is good to know."""

    FAULT = "fault"
    RISK = "risk"
    NOTE = "note"


@dataclass(frozen=True)
class Advice:
    """What to do about a finding.

    Attributes
    ----------
    link
        Flags for the linker.
    nixpkgs
        Attributes of nixpkgs.
    libraries, also_needs, may_stay_missing, symbols_from_host, may_name_old_places
        What to declare to pkgs/vendor/from-deb.nix, which explains each; `also_needs` is pairs of file and library.
    nixos
        Lines of a NixOS configuration.
    steps
        What else, in sentences.
    """

    link: tuple[str, ...] = ()
    nixpkgs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    also_needs: tuple[tuple[str, str], ...] = ()
    may_stay_missing: tuple[str, ...] = ()
    symbols_from_host: tuple[str, ...] = ()
    may_name_old_places: tuple[str, ...] = ()
    nixos: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    def from_deb(self) -> list[str]:
        """The lines for from-deb.nix."""
        lines = [f"libraries = [ {' '.join(self.libraries)} ];"] if self.libraries else []
        files = dict.fromkeys(file for file, _ in self.also_needs)
        for file in files:
            needed = " ".join(f'"{library}"' for each, library in self.also_needs if each == file)
            lines.append(f'alsoNeeds."{file}" = [ {needed} ];')
        for name, values in (
            ("mayStayMissing", self.may_stay_missing),
            ("symbolsFromHost", self.symbols_from_host),
            ("mayNameOldPlaces", self.may_name_old_places),
        ):
            if values:
                quoted = " ".join(f'"{value}"' for value in values)
                lines.append(f"{name} = [ {quoted} ];")
        return lines


def printable(text: str) -> str:
    """A text whose names come out of a file that nobody answers for, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def together(advice: Iterable[Advice]) -> Advice:
    """Several pieces of advice as one, each line of it once."""
    every = list(advice)
    fields = Advice.__dataclass_fields__
    return Advice(
        **{name: tuple(dict.fromkeys(x for each in every for x in getattr(each, name))) for name in fields}
    )


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or good to know.

    Attributes
    ----------
    kind
        machine, loader, library, symbol, version, search-path, stack, place, script or dependency.
    file
        The file that it is about.
    text
        A sentence.
    items
        What it is about, one by one: symbols, places, versions.
    facts
        The same for programs.
    """

    severity: Severity
    kind: str
    file: str
    text: str
    items: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    advice: Advice = field(default_factory=Advice)

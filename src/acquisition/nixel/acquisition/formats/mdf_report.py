"""What is wrong with an MDF file, for the person who will set it right."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Finding", "Report"]


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Parameters
    ----------
    path : str
        In the file.
    expected, found : str
    remedy : str
        What to do.
    """

    path: str
    expected: str
    found: str
    remedy: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.path}: expected {self.expected}; found {self.found}. {self.remedy}"


@dataclass
class Report:
    """All that was found in one file.

    Parameters
    ----------
    errors : list of Finding
        What breaks a rule of the specification or of the reference implementation's consistency check.
    warnings : list of Finding
        What keeps the rules but will surprise a reader, and what was assumed for what an old file lacks.
    sizes : dict of str to int
        The specification's letters, as far as the file says them.
    """

    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def error(self, path: str, expected: str, found: object, remedy: str) -> None:
        """Add what breaks a rule."""
        self.errors.append(Finding(path, expected, str(found), remedy))

    def warn(self, path: str, expected: str, found: object, remedy: str) -> None:
        """Add what keeps the rules but should be known."""
        self.warnings.append(Finding(path, expected, str(found), remedy))

    def as_json(self) -> dict[str, Any]:
        """The same as what JSON can hold."""
        return {
            "errors": [vars(finding) for finding in self.errors],
            "warnings": [vars(finding) for finding in self.warnings],
            "sizes": self.sizes,
        }

"""What a check is, what it finds, and what follows from that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

# What a check saw before the switch, as plain data fit for JSON.
Facts: TypeAlias = dict[str, Any]
# For so long at most a service may leave a single question unanswered, in s.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check sees at one moment.

    Attributes
    ----------
    good
        Whether it is as it has to be.
    words
        What was found and, if it is not good, what was expected and what to do.
    """

    good: bool
    words: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a check.

    Attributes
    ----------
    name
        Of the check, as configured.
    passed
        Whether it was good, and stayed good for as long as was asked, within its time.
    words
        Of the last finding.
    seconds
        How long that took, in s.
    """

    name: str
    passed: bool
    words: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Describe it as plain data.

        Returns
        -------
        dict
            Fit for JSON.
        """
        return {
            "name": self.name,
            "passed": self.passed,
            "words": self.words,
            "seconds": round(self.seconds, 3),
        }


class Check(Protocol):
    """One thing that is looked at; it may be looked at from a thread of its own."""

    def snapshot(self) -> Facts:
        """Look before the switch.

        Returns
        -------
        dict
            What `look` wants to know later, fit for JSON.
        """

    def look(self, before: Facts | None, patience: float) -> Finding:
        """Look once, after the switch.

        Parameters
        ----------
        before
            What `snapshot` returned before the switch; `None` if that is not known.
        patience
            How long an answer may take at most, in s.

        Returns
        -------
        Finding
            What is so now.
        """

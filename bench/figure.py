"""One figure that the project holds itself to: what was measured, and whether it is within its bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Figure"]


@dataclass(frozen=True)
class Figure:
    """What a file ``acquisition_*.py`` measures; its `measure(long)` returns one.

    Parameters
    ----------
    title : str
        Of what.
    bound : str
        What must hold, in words.
    found : str
        What was measured, in words.
    good : bool
        Whether it holds.
    how : str
        How it was measured, a paragraph for the page.
    values : mapping
        Everything measured, as JSON.
    """

    title: str
    bound: str
    found: str
    good: bool
    how: str
    values: dict[str, Any] = field(default_factory=dict)

"""Frozen data that is quick to make: `dataclass(frozen=True, slots=True)`, but for who sees to it that it is frozen.

A tick makes some fifty of these, and the daemon defines as many kinds of them when it starts. What `dataclasses`
makes of a frozen one sets every field through a call of its own, which takes three times as long as the assignment,
and compiles eight functions, which delays the start. Here the assignments are plain; that nobody else assigns is what
mypy sees to, which is told that these are `dataclasses`' own.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(
        *,
        frozen: Literal[True],  # noqa: ARG001  mypy reads it
        slots: Literal[True],
        kw_only: bool = False,
    ) -> Callable[[type], type]:
        """Make a class of what its annotations tell, as `dataclasses.dataclass` does.

        Parameters
        ----------
        frozen, slots
            What mypy is told.
        kw_only
            Whether its fields are given by name only.

        Returns
        -------
        callable
            The decorator; `dataclasses.replace`, `fields` and `asdict` take what it makes.
        """
        plain = dataclasses.dataclass(repr=False, eq=False, slots=slots, kw_only=kw_only)

        def decorate(cls: type) -> type:
            made: Any = plain(cls)
            fields = dataclasses.fields(made)
            shown = [field.name for field in fields if field.repr]
            values = _getter([field.name for field in fields if field.compare])

            def write(self: object) -> str:
                said = ", ".join([f"{name}={getattr(self, name)!r}" for name in shown])
                return f"{type(self).__qualname__}({said})"

            def equal(self: object, other: object) -> bool:
                return values(self) == values(other) if type(other) is type(self) else NotImplemented

            def digest(self: object) -> int:
                return hash(values(self))

            made.__repr__, made.__eq__, made.__hash__ = write, equal, digest
            made_class: type = made
            return made_class

        return decorate


def _getter(names: list[str]) -> Callable[[object], tuple[object, ...]]:
    """Give what gets the values of these fields."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda made: tuple([getattr(made, name) for name in names])

"""What is said, and how a program ends, when something that was begun could not be finished."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818 (the word is the outcome's)
    """Something that was begun and went wrong; the program ends with status 1.

    Parameters
    ----------
    what
        What was attempted and what went wrong.
    todo
        What to do about it.
    said
        The end of what another program said about it, if one did.
    """

    def __init__(self, what: str, todo: str, said: str = "") -> None:
        super().__init__(f"{what} {todo}".strip() + (f"\nIt said: {said}" if said else ""))
        self.what = what
        self.todo = todo
        self.said = said

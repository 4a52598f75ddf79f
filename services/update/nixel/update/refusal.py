"""What is said, and how a program ends, when it was asked for something that it does not do."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 (not an error of ours: what was asked for is)
    """A request that is turned down before anything was changed; the program ends with status 2.

    Parameters
    ----------
    what
        What is wrong and where: what was found, what was expected.
    todo
        What to do about it.
    """

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(f"{what} {todo}")
        self.what = what
        self.todo = todo

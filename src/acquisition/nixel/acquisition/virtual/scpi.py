"""SCPI: patterns of commands, one line a command, errors in a queue.

Follows SCPI-1999 volume 1: a keyword's capital letters are its short form; both forms, in any case, are
understood, and nothing between.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[list[int], list[str]], str | None]

__all__ = ["Interpreter", "ScpiError"]

_LONGEST_LINE = 512
_QUEUE = 16
_STANDARD = {
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -203: "Command protected",
    -221: "Settings conflict",
    -222: "Data out of range",
    -224: "Illegal parameter value",
    -350: "Queue overflow",
}


class ScpiError(Exception):
    """A command that is refused: SCPI's number and what the reader should know."""

    def __init__(self, code: int, detail: str) -> None:
        self.code = code
        super().__init__(f"{_STANDARD[code]}; {detail}")

    def __str__(self) -> str:
        return f'{self.code},"{self.args[0]}"'.replace("\n", " ")


def _compile(pattern: str) -> re.Pattern[str]:
    nodes = []
    for node in pattern.removesuffix("?").split(":"):
        word = node.removesuffix("#")
        short = "".join(c for c in word if c.isupper() or not c.isalpha())
        forms = "|".join(re.escape(form) for form in dict.fromkeys((word, short)))
        nodes.append(f"(?:{forms})" + (r"(\d{1,2})" if node.endswith("#") else ""))
    query = r"\?" if pattern.endswith("?") else ""
    return re.compile(":?" + ":".join(nodes) + query, re.IGNORECASE)


class Interpreter:
    """One connection's commands and its error queue.

    Every line is answered by one line: a query by its value, another command by ``0``, and what is refused by
    ``ERROR <number>``, whose text ``SYSTem:ERRor?`` then tells.

    Parameters
    ----------
    commands : dict of str to callable
        SCPI pattern (``"RP:DAC:CHannel#:AMPlitude?"``) to a handler of (numbers in the header, parameters)
        that returns the answer, None for ``0``, or raises `ScpiError`.
    """

    def __init__(self, commands: dict[str, Handler]) -> None:
        self._errors: deque[ScpiError] = deque()
        own: dict[str, Handler] = {
            "SYSTem:ERRor?": self._next_error,
            "SYSTem:ERRor:NEXT?": self._next_error,
            "SYSTem:ERRor:COUNt?": lambda _numbers, _parameters: str(len(self._errors)),
            "*CLS": lambda _numbers, _parameters: self._errors.clear(),
        }
        self._commands = [(_compile(pattern), handler) for pattern, handler in {**own, **commands}.items()]

    def answer(self, line: str) -> str:
        """Execute one line.

        Parameters
        ----------
        line : str
            Without its end.

        Returns
        -------
        str
            The answer, without an end of line.
        """
        try:
            return self._execute(line)
        except ScpiError as error:
            self.note(error)
            return f"ERROR {error.code}"

    def note(self, error: ScpiError) -> None:
        """Put an error into the queue that ``SYSTem:ERRor?`` reads."""
        if len(self._errors) < _QUEUE:
            self._errors.append(error)
        else:
            self._errors[-1] = ScpiError(-350, "errors were lost")

    def _execute(self, line: str) -> str:
        header, _, rest = line.strip().partition(" ")
        if not header or len(line) > _LONGEST_LINE or ";" in line:
            raise ScpiError(-102, f"expected one command a line, found {line[:60]!r}")
        for pattern, handler in self._commands:
            match = pattern.fullmatch(header)
            if match:
                parameters = [text.strip() for text in rest.split(",")] if rest.strip() else []
                result = handler([int(number) for number in match.groups()], parameters)
                return "0" if result is None else result
        raise ScpiError(-113, f"there is no command {header!r}")

    def _next_error(self, _numbers: list[int], _parameters: list[str]) -> str:
        return str(self._errors.popleft()) if self._errors else '0,"No error"'

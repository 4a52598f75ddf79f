"""Parameters of SCPI commands, with the errors that the standard has for wrong ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nixel.acquisition.virtual.scpi import ScpiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.acquisition.virtual.scpi import Handler

__all__ = ["integer", "number", "on_off", "one", "pair", "query"]


def query(answer: Callable[[list[int]], str]) -> Handler:
    """Make the handler of a query, which takes no parameters."""

    def handle(numbers: list[int], parameters: list[str]) -> str:
        if parameters:
            raise ScpiError(-108, f"expected none, found {','.join(parameters)!r}")
        return answer(numbers)

    return handle


def one(parameters: list[str], place: int = 0, expected: int = 1) -> str:
    """Take one of so many parameters as text."""
    if len(parameters) != expected:
        code = -109 if len(parameters) < expected else -108
        raise ScpiError(code, f"expected {expected}, found {len(parameters)}")
    return parameters[place]


def number(parameters: list[str], place: int = 0, expected: int = 1) -> float:
    """Take one of so many parameters as a finite number."""
    text = one(parameters, place, expected)
    try:
        value = float(text)
    except ValueError:
        raise ScpiError(-104, f"expected a number, found {text!r}") from None
    if not math.isfinite(value):
        raise ScpiError(-222, f"expected a finite number, found {text!r}")
    return value


def integer(parameters: list[str], place: int, low: int, high: int, expected: int = 1) -> int:
    """Take one of so many parameters as an integer within a range."""
    text = one(parameters, place, expected)
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
        raise ScpiError(-104, f"expected an integer, found {text!r}")
    if not low <= int(text) <= high:
        raise ScpiError(-222, f"expected {low} to {high}, found {text}")
    return int(text)


def on_off(parameters: list[str]) -> bool:
    """Take the only parameter as ON or OFF."""
    states = {"ON": True, "1": True, "OFF": False, "0": False}
    text = one(parameters).upper()
    if text not in states:
        raise ScpiError(-224, f"expected ON or OFF, found {text!r}")
    return states[text]


def pair(parameters: list[str]) -> tuple[float, float]:
    """Take the only two parameters as numbers."""
    return number(parameters, 0, 2), number(parameters, 1, 2)

"""Physical quantities as people write them ("12 mT"), turned into the numbers that code works with (0.012).

A quantity is a number followed by its unit; a bare number is refused, because "12" may be millitesla to the
one who wrote it and tesla to the one who reads it.
"""

from __future__ import annotations

import math
import re
import tokenize
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    import pint
    from pydantic import GetCoreSchemaHandler

__all__ = ["Hertz", "Kelvin", "Metre", "Quantity", "QuantityError", "Second", "Tesla", "parse"]

# What a person calls the dimension, and how such a quantity is written.
_KINDS = {
    "T": ("a magnetic flux density", "12 mT"),
    "T/m": ("a gradient of the magnetic flux density", "1.25 T/m"),
    "T/V": ("a drive field per volt", "20 mT/V"),
    "m": ("a length", "0.5 mm"),
    "s": ("a time", "2 s"),
    "Hz": ("a frequency", "2.5 MHz"),
    "K": ("a temperature", "60 degC"),
    "degC": ("a temperature", "60 degC"),
    "V": ("a voltage", "1 V"),
    "A": ("a current", "5 A"),
    "mol/m^3": ("a concentration", "100 mmol/l"),
}

_NUMBER_AND_UNIT = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*", re.DOTALL)
# Unit expressions only: letters, the degree and micro signs, powers, products and quotients.
_UNIT = re.compile(r"[A-Za-zµμΩ°%_][A-Za-zµμΩ°%_0-9*/^ ().-]*|1\s*/[A-Za-zµμΩ°%_0-9*/^ ().-]+")
_LONGEST = 80
_ODD_UNIT_ERRORS = (AttributeError, AssertionError, SyntaxError, tokenize.TokenError)


class QuantityError(ValueError):
    """Text that is not the quantity asked for; the message says what was found and what was expected."""


@lru_cache(maxsize=1)
def _registry() -> pint.UnitRegistry[Any]:
    # Importing Pint and reading its definitions takes a fair part of a second: only who parses pays for it.
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=False)


def _expected(unit: str) -> str:
    kind, example = _KINDS.get(unit, (f"a quantity that can be expressed in {unit}", f"1 {unit}"))
    return f'expected {kind} with its unit, such as "{example}"'


def parse(text: object, unit: str) -> float:
    """Read one quantity.

    Parameters
    ----------
    text : str
        A finite decimal number followed by a unit, with or without a space between: ``"0.0851um"``.
    unit : str
        The unit of the result, such as ``"T"`` or ``"degC"``.

    Returns
    -------
    float
        The quantity's value in `unit`.

    Raises
    ------
    QuantityError
        The text is a bare number, no quantity at all, not finite, or of another dimension.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        raise QuantityError(f"found the bare number {text!r}; {_expected(unit)}")
    if not isinstance(text, str):
        raise QuantityError(f"found {type(text).__name__} {text!r}; {_expected(unit)}")
    shown = repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")
    match = _NUMBER_AND_UNIT.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise QuantityError(
            f"found {shown}, which is not a finite number followed by a unit; {_expected(unit)}"
        )
    number, written = float(match[1]), match[2]
    if not written:
        raise QuantityError(f"found the bare number {shown}; {_expected(unit)}")
    if not math.isfinite(number):
        raise QuantityError(f"found {shown}, which is not finite; {_expected(unit)}")
    value = _convert(number, written, unit, shown)
    if not math.isfinite(value):
        raise QuantityError(f"found {shown}, which is not finite in {unit}; {_expected(unit)}")
    return value


def _convert(number: float, written: str, unit: str, shown: str) -> float:
    # On odd unit texts Pint raises errors of its own, of tokenize's and of arithmetic: all mean the same.
    import pint

    registry = _registry()
    if _UNIT.fullmatch(written) is None:
        raise QuantityError(f"found {shown}, whose unit {written!r} is unknown; {_expected(unit)}")
    try:
        source = registry.Unit(written)
    except (pint.PintError, ValueError, TypeError, LookupError, ArithmeticError, *_ODD_UNIT_ERRORS) as error:
        raise QuantityError(f"found {shown}, whose unit {written!r} is unknown; {_expected(unit)}") from error
    try:
        return float(registry.Quantity(number, source).to(unit).magnitude)
    except pint.DimensionalityError:
        raise QuantityError(f"found {shown}, which is of another kind; {_expected(unit)}") from None
    except (pint.PintError, ArithmeticError) as error:
        raise QuantityError(
            f"found {shown}, which cannot be expressed in {unit}; {_expected(unit)}"
        ) from error


@dataclass(frozen=True)
class Quantity:
    """Marks a pydantic field as one that is written with its unit: ``Annotated[float, Quantity("T")]``.

    The field holds the value in `unit`; it is validated from text only, and written to JSON as text again, so
    that a model survives the way out and back.
    """

    unit: str

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Give the schema: parse on the way in, number with unit on the way out to JSON."""
        return core_schema.no_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.format, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, Any]:
        """Describe the field for OpenAPI: a text with an example."""
        kind, example = _KINDS.get(self.unit, (f"a quantity in {self.unit}", f"1 {self.unit}"))
        return {"type": "string", "description": f"{kind} with its unit", "examples": [example]}

    def _validate(self, value: object) -> float:
        try:
            return parse(value, self.unit)
        except QuantityError as error:
            # Its text goes in as context: braces that a user typed must not be taken for a template.
            raise PydanticCustomError("quantity", "{reason}", {"reason": str(error)}) from error

    def format(self, value: float) -> str:
        """Write a value in `unit` so that `parse` reads exactly the same number."""
        return f"{value!r} {self.unit}"


Tesla = Annotated[float, Quantity("T")]
Metre = Annotated[float, Quantity("m")]
Second = Annotated[float, Quantity("s")]
Hertz = Annotated[float, Quantity("Hz")]
Kelvin = Annotated[float, Quantity("K")]

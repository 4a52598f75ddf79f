"""What was typed, turned into numbers, or told which option is wrong and how."""

from nixel.imaging.errors import UserError


def length(option: str, text: str) -> float:
    """A length above zero, in m."""
    value = any_length(option, text)
    if value <= 0:
        raise UserError(f'{option}: found "{text}"; expected a length above zero, such as "0.5um"')
    return value


def any_length(option: str, text: str) -> float:
    """A length, in m, which may be zero or negative."""
    from nixel.acquisition.quantities import QuantityError, parse

    try:
        return parse(text, "m")
    except QuantityError as error:
        raise UserError(f"{option}: {error}") from error


def spacing(option: str, text: str) -> tuple[float, float, float]:
    """Steps (z, y, x) in m; of two, the second is of y and of x."""
    found = [length(option, part.strip()) for part in text.split(",")]
    if len(found) not in (2, 3):
        raise UserError(
            f'{option}: found "{text}"; expected the step between planes and that between pixels, such as '
            '"0.25um,0.1um", or three: of planes, rows and columns'
        )
    return found[0], found[1], found[-1]


def shape(option: str, text: str) -> tuple[int, int, int]:
    """Planes, rows and columns."""
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise UserError(f'{option}: found "{text}"; expected planes, rows and columns, such as 128x256x256')
    planes, rows, columns = (int(part) for part in parts)
    return planes, rows, columns


def one_of(option: str, text: str, *known: str) -> str:
    """One of the words that are known."""
    if text not in known:
        raise UserError(f'{option}: found "{text}"; expected {", ".join(known[:-1])} or {known[-1]}')
    return text


def quantities(option: str, text: str, unit: str, count: int | None = None) -> list[float]:
    """Quantities with commas between them, in `unit`; `count` of them, if it is given."""
    from nixel.acquisition.quantities import QuantityError, parse

    try:
        found = [parse(part.strip(), unit) for part in text.split(",")]
    except QuantityError as error:
        raise UserError(f"{option}: {error}") from error
    if count is not None and len(found) != count:
        raise UserError(f'{option}: found "{text}"; expected {count} and not {len(found)}')
    return found


def band(option: str, text: str) -> tuple[float, float]:
    """Lowest and highest frequency, in Hz."""
    low, colon, high = text.partition(":")
    found = (*quantities(option, low, "Hz", 1), *quantities(option, high, "Hz", 1)) if colon else ()
    if len(found) != 2 or not 0 <= found[0] < found[1]:
        raise UserError(
            f'{option}: found "{text}"; expected the lower frequency first, such as "30kHz:1.25MHz"'
        )
    return found[0], found[1]


def whole_numbers(option: str, text: str, example: str) -> list[int]:
    """Whole numbers with commas between them."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UserError(f'{option}: found "{text}"; expected whole numbers, such as {example}')
    return [int(part) for part in parts]

"""Measured transfer functions, as network analysers and people write them down: tables with commas."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nixel.imaging.errors import UserError
from nixel.physics.mpi import MeasuredTransfer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# For all channels, one for each, or none.
Transfer: TypeAlias = MeasuredTransfer | tuple[MeasuredTransfer, ...] | None

_FREQUENCY = "frequency [hz]"
# What may stand beside the frequency, and how it becomes a complex number.
_COLUMNS: dict[tuple[str, str], Callable[[float, float], complex]] = {
    ("real", "imaginary"): complex,
    ("magnitude", "phase [rad]"): lambda size, phase: size * complex(np.exp(1j * phase)),
    ("magnitude", "phase [deg]"): lambda size, phase: size * complex(np.exp(1j * np.radians(phase))),
    ("magnitude [db]", "phase [deg]"): lambda size, phase: (
        10 ** (size / 20) * complex(np.exp(1j * np.radians(phase)))
    ),
}
EXPECTED = (
    'a first line such as "frequency [Hz],real,imaginary", "frequency [Hz],magnitude,phase [rad]" or '
    '"frequency [Hz],magnitude [dB],phase [deg]", and below it a line for each frequency'
)


def read_transfer(path: Path) -> MeasuredTransfer:
    """Read a table of voltage received per voltage induced.

    Raises
    ------
    UserError
        If it cannot be read, or is none.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
    except OSError as error:
        raise UserError(f"--transfer {path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--transfer {path}: expected {EXPECTED}; found no text with commas") from error
    head = [name.strip().lower() for name in lines[0]] if lines else []
    number = _COLUMNS.get((head[1], head[2])) if len(head) == 3 and head[0] == _FREQUENCY else None
    if number is None:
        raise UserError(f'--transfer {path}: expected {EXPECTED}; found "{",".join(head)}"')
    frequencies, values = [], []
    for place, line in enumerate(lines[1:], start=2):
        try:
            frequency, first, second = map(float, line)
        except ValueError:
            raise UserError(
                f'--transfer {path}, line {place}: expected three numbers, found "{",".join(line)}"'
            ) from None
        frequencies.append(frequency)
        values.append(number(first, second))
    try:
        return MeasuredTransfer(tuple(frequencies), tuple(values))
    except ValueError as error:
        raise UserError(f"--transfer {path}: {error}") from error


def read_transfers(paths: Sequence[Path], channels: int) -> Transfer:
    """Read one table for all channels, or one for each, or none.

    Raises
    ------
    UserError
        As from `read_transfer`, or if there are as many tables as nobody can use.
    """
    if len(paths) not in (0, 1, channels):
        raise UserError(
            f"--transfer: expected one table for all channels, or one for each of {channels}, found {len(paths)}"
        )
    tables = tuple(read_transfer(path) for path in paths)
    return tables if len(tables) > 1 else next(iter(tables), None)

"""The names that people give to interlocks and outputs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nixel.safety.core.model import CLOCK, DEVICE_KIND, ON_TIME_KIND, READBACK_KIND, START

if TYPE_CHECKING:
    from nixel.safety.config.tables import Table

# What the causes of faults are called that are neither interlocks nor outputs.
RESERVED = (
    START,
    CLOCK,
    DEVICE_KIND,
    READBACK_KIND,
    ON_TIME_KIND,
    "surveillance",
    "gpio",
    "cpu",
    "server",
    "deadlines",
    "proof",
)

_NAME = re.compile(r"[a-z][a-z0-9-]*")


def name_of(table: Table) -> str:
    """Check the name that a person gave an interlock or an output.

    Parameters
    ----------
    table
        Whose own key is the name.

    Returns
    -------
    str
        The name.

    Raises
    ------
    ConfigError
        If it is not fit for one, or taken.
    """
    name = table.last
    if not _NAME.fullmatch(name) or name in RESERVED:
        expected = "a name of lower-case letters, digits and hyphens that begins with a letter"
        raise table.misnamed(f"{expected} and is none of {', '.join(RESERVED)}")
    return name

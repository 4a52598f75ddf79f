"""What the tables of an instrument file are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["Address", "Row", "Table"]


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError('expected HOST:PORT, such as "127.0.0.1:5025"')
    return text


Address = Annotated[str, AfterValidator(_address)]
# TOML has lists where the models have tuples; what they hold is validated as strictly as everything else.
Row: Any = Field(strict=False)


class Table(BaseModel):
    """A table in which every key is known, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

"""How devices look in a terminal: a table, a live table, a line for each change."""

import sys
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from nixel.imaging.device_answers import DeviceAnswer, DevicesAnswer, PropertyAnswer

_COLUMNS = ("device", "adapter", "where", "state", "property", "value")
_LONGEST = 60  # characters of a value; --json has all of it
_STYLES = {"answers": "green", "fails": "bold red", "busy": "yellow"}
_WIDE = 200  # columns where there is no terminal that limits them


def plain(text: str) -> str:
    """A text of which every character is one that is seen: what steers a terminal stands as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _short(text: str) -> str:
    text = plain(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _shown(prop: "PropertyAnswer") -> str:
    return f"({prop.error})" if prop.error else prop.text


def _title(answer: "DevicesAnswer") -> str:
    title = f"Devices of {answer.instrument}" + (" (simulated)" if answer.simulated else "")
    return title + (f", held by {answer.held_by}" if answer.held_by else "")


def _rows(device: "DeviceAnswer") -> Iterator[tuple[str, ...]]:
    first = (device.name, device.adapter, device.where, device.state)
    # Of a device that does not answer its error says more than that no property can be read.
    properties = [] if device.error else device.properties
    if not properties:
        yield (*first, "", device.error)
    for number, prop in enumerate(properties):
        yield (*(first if number == 0 else ("", "", "", "")), prop.name, _shown(prop))


def _table(answer: "DevicesAnswer") -> Table:
    table = Table(*_COLUMNS, title=Text(_title(answer)), title_justify="left", box=None, pad_edge=False)
    for device in answer.devices:
        for row in _rows(device):
            # An error is told whole, in as many lines as it takes.
            cells = [Text(_short(cell)) for cell in row[:-1]]
            value = plain(row[-1]) if device.error else _short(row[-1])
            cells[3].stylize(_STYLES.get(row[3], ""))
            table.add_row(*cells, Text(value))
    return table


def print_table(answer: "DevicesAnswer") -> None:
    """Print every device with its properties."""
    if sys.stdout.isatty():
        Console().print(_table(answer))
        return
    console = Console(width=_WIDE)
    with console.capture() as text:
        console.print(_table(answer))
    typer.echo("\n".join(line.rstrip() for line in text.get().splitlines()))


class LiveTable:
    """A table on a terminal that is always the newest; a context."""

    def __init__(self) -> None:
        self._live = Live(auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, answer: "DevicesAnswer") -> None:
        """Show this instead."""
        self._live.update(_table(answer), refresh=True)


def _facts(answer: "DevicesAnswer | None") -> dict[str, str]:
    """What there is to say, one fact a name."""
    facts: dict[str, str] = {}
    if answer is None:
        return facts
    facts["held by"] = answer.held_by or "nobody"
    for device in answer.devices:
        facts[device.name] = f"{device.state}: {device.error}" if device.error else device.state
        if device.state == "answers":
            facts |= {f"{device.name}.{prop.name}": _short(_shown(prop)) for prop in device.properties}
    return facts


def print_changes(before: "DevicesAnswer | None", after: "DevicesAnswer") -> None:
    """Print a line for each fact that is another one than before; the first time all of them."""
    was, time = _facts(before), after.taken_at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    if before is None:
        typer.echo(plain(_title(after)))
    for name, text in _facts(after).items():
        if was.get(name) != text:
            earlier = f" (it was {was[name]})" if name in was and "." in name else ""
            typer.echo(plain(f"{time}  {name}: {text}{earlier}"))
    sys.stdout.flush()

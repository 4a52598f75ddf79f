"""`nixel simulate`: a hand at the front panel of the virtual scanner or microscope."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nixel.acquisition.adapters.scpi import ScpiConnection

simulate = typer.Typer(
    help="Pull the virtual scanner's emergency stop, heat its coil; open the virtual microscope's lid, turn its key.",
    no_args_is_help=True,
    add_completion=False,
)

At = Annotated[
    str, typer.Option("--at", metavar="HOST:PORT", help="The virtual scanner's control connection.")
]
_DEFAULT = "127.0.0.1:5025"
Panel = Annotated[
    Path, typer.Option("--panel", metavar="SOCKET", help="The socket of the virtual microscope's panel.")
]
_PANEL = Path("/run/nixel-virtual-panel/panel")


def _panel(address: str) -> "ScpiConnection":
    from nixel.acquisition.adapters.scpi import ScpiConnection
    from nixel.imaging.errors import UserError

    _, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit()):
        raise UserError(
            f"--at: expected HOST:PORT, such as {_DEFAULT} (`nixel demo` prints its own), found {address!r}."
        )
    return ScpiConnection(address, 2.0, "the virtual scanner")


@simulate.command(name="emergency-stop")
def emergency_stop(
    action: Annotated[str, typer.Argument(metavar="pull|release", help="What the hand does.")],
    at: At = _DEFAULT,
) -> None:
    """Pull or release the virtual emergency stop."""
    from nixel.imaging.errors import UserError

    states = {"pull": "ON", "release": "OFF"}
    if action not in states:
        raise UserError(f"expected pull or release, found {action!r}.")
    with _panel(at) as panel:
        panel.command(f"SIMulation:ESTOP {states[action]}")
    typer.echo(f"the virtual emergency stop is {'pulled' if action == 'pull' else 'released'}")


@simulate.command()
def temperature(
    value: Annotated[str, typer.Argument(metavar="75degC", help="With its unit.")], at: At = _DEFAULT
) -> None:
    """Put the virtual coil at a temperature, from which it goes on."""
    from nixel.acquisition.quantities import parse

    celsius = parse(value, "degC")
    with _panel(at) as panel:
        panel.command(f"SIMulation:TEMPerature {celsius!r}")
    typer.echo(f"the virtual coil is at {celsius:g} degC")


def _hand(panel: Path, part: str, action: str) -> None:
    from nixel.acquisition.virtual import hand

    hand.do(panel, part, action)
    typer.echo(f"the virtual panel: {part} {action}")


def _one_of(action: str, *known: str) -> str:
    from nixel.imaging.errors import UserError

    if action not in known:
        raise UserError(f"expected {' or '.join(known)}, found {action!r}.")
    return action


@simulate.command()
def lid(
    action: Annotated[str, typer.Argument(metavar="open|close", help="What the hand does.")],
    panel: Panel = _PANEL,
) -> None:
    """Open or close the virtual microscope's lid."""
    _hand(panel, "lid", _one_of(action, "open", "close"))


@simulate.command()
def key(
    action: Annotated[str, typer.Argument(metavar="on|off", help="Which way it is turned.")],
    panel: Panel = _PANEL,
) -> None:
    """Turn the virtual microscope's key switch."""
    _hand(panel, "key", _one_of(action, "on", "off"))


@simulate.command()
def indicator(
    action: Annotated[str, typer.Argument(metavar="break|mend", help="What befalls its lamp.")],
    panel: Panel = _PANEL,
) -> None:
    """Break or mend the virtual microscope's emission indicator."""
    _hand(panel, "indicator", _one_of(action, "break", "mend"))


@simulate.command(name="light-current")
def light_current(
    value: Annotated[str, typer.Argument(metavar="0.9A", help="With its unit; over 0.7 A is too much.")],
    panel: Panel = _PANEL,
) -> None:
    """Let the virtual microscope's light draw a current while it is on."""
    from nixel.acquisition.quantities import parse

    _hand(panel, "current", f"{parse(value, 'A'):g}")


@simulate.command()
def processor(
    value: Annotated[str, typer.Argument(metavar="90degC", help="With its unit.")], panel: Panel = _PANEL
) -> None:
    """Put the processor of a virtual microscope that has a simulated one at a temperature."""
    from nixel.acquisition.quantities import parse

    _hand(panel, "processor", f"{parse(value, 'degC'):g}")

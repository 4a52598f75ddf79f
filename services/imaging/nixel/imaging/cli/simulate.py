"""`nixel simulate`: a hand at the front panel of the virtual scanner."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nixel.acquisition.adapters.scpi import ScpiConnection

simulate = typer.Typer(
    help="Pull the virtual scanner's emergency stop, or heat its coil.",
    no_args_is_help=True,
    add_completion=False,
)

At = Annotated[
    str, typer.Option("--at", metavar="HOST:PORT", help="The virtual scanner's control connection.")
]
_DEFAULT = "127.0.0.1:5025"


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

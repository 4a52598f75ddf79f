"""`nixel simulate`: a hand at the front panel of the virtual scanner or microscope."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nixel.acquisition.adapters.scpi import ScpiConnection

simulate = typer.Typer(
    help="Pull the virtual scanner's emergency stop, break its sensors; open the virtual microscope's lid, change its "
    "sample.",
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
Microscope = Annotated[
    Path, typer.Option("--microscope", metavar="SOCKET", help="The socket of the virtual microscope.")
]
_MICROSCOPE = Path("/run/nixel-virtual-microscope/microscope")


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
    pulled = _one_of(action, "pull", "release") == "pull"
    done = f"the virtual emergency stop is {'pulled' if pulled else 'released'}"
    _act(at, f"SIMulation:ESTOP {'ON' if pulled else 'OFF'}", done)


@simulate.command()
def temperature(
    value: Annotated[str, typer.Argument(metavar="75degC", help="With its unit.")], at: At = _DEFAULT
) -> None:
    """Put the virtual coil at a temperature, from which it goes on."""
    from nixel.acquisition.quantities import parse

    celsius = parse(value, "degC")
    _act(at, f"SIMulation:TEMPerature {celsius!r}", f"the virtual coil is at {celsius:g} degC")


@simulate.command()
def sensor(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Such as coil-1, amplifier-2, flow, current-x.")
    ],
    action: Annotated[
        str, typer.Argument(metavar="break|freeze|restore|VALUE", help="A value is a bare number.")
    ],
    at: At = _DEFAULT,
) -> None:
    """Break, freeze or restore a sensor of the virtual scanner, or let it give one value."""
    _act(at, f"SIMulation:SENSor {name},{action}", f"the virtual sensor {name}: {action}")


@simulate.command()
def contact(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as door, bore, amplifier.")],
    action: Annotated[str, typer.Argument(metavar="open|close", help="What happens to it.")],
    at: At = _DEFAULT,
) -> None:
    """Open or close a contact of the virtual scanner."""
    state = "ON" if _one_of(action, "open", "close") == "close" else "OFF"
    _act(at, f"SIMulation:CONTact {name},{state}", f"the virtual contact {name}: {action}")


@simulate.command()
def coolant(
    action: Annotated[str, typer.Argument(metavar="stop|start", help="What its pump does.")],
    at: At = _DEFAULT,
) -> None:
    """Stop or start the virtual scanner's coolant."""
    state = "ON" if _one_of(action, "stop", "start") == "start" else "OFF"
    _act(at, f"SIMulation:COOLant {state}", f"the virtual coolant: {action}")


@simulate.command()
def heartbeat(
    action: Annotated[str, typer.Argument(metavar="stop|start", help="What the data acquisition does.")],
    at: At = _DEFAULT,
) -> None:
    """Stop or start the heartbeat of the virtual scanner's data acquisition."""
    state = "ON" if _one_of(action, "stop", "start") == "start" else "OFF"
    _act(at, f"SIMulation:HEARtbeat {state}", f"the virtual heartbeat: {action}")


def _act(at: str, command: str, done: str) -> None:
    with _panel(at) as panel:
        panel.command(command)
    typer.echo(done)


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


@simulate.command()
def sample(
    name: Annotated[str, typer.Argument(metavar="particles|empty", help="What lies there.")],
    microscope: Microscope = _MICROSCOPE,
) -> None:
    """Put the virtual microscope's sample in, or take it out."""
    _place(microscope, "sample", name)
    typer.echo(f"the virtual microscope's sample: {name}")


@simulate.command()
def distance(
    value: Annotated[str, typer.Argument(metavar="0.8mm", help="With its unit.")],
    microscope: Microscope = _MICROSCOPE,
) -> None:
    """Put the virtual microscope's sample at a distance from the sensor."""
    from nixel.acquisition.quantities import parse

    metres = parse(value, "m")
    _place(microscope, "distance", metres)
    typer.echo(f"the virtual microscope's sample is {metres * 1e3:g} mm from the sensor")


def _place(microscope: Path, control: str, value: object) -> None:
    from nixel.acquisition.cameras.virtual_client import VirtualMicroscope

    wire = VirtualMicroscope(str(microscope), f"the virtual microscope at {microscope}")
    wire.open()
    try:
        wire.request("set", control=control, value=value)
    finally:
        wire.close()

"""`nixel devices`: what the instrument's devices say of themselves, live, and setting one of their properties."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from nixel.imaging.client import DEFAULT_URL, NoServiceError

if TYPE_CHECKING:
    from nixel.acquisition.held import HeldDevices
    from nixel.acquisition.instrument import Instrument
    from nixel.imaging.device_answers import DevicesAnswer

devices = typer.Typer(
    help="The instrument's devices: list them, watch them live, set their properties.",
    no_args_is_help=True,
    add_completion=False,
)

Url = Annotated[
    str | None, typer.Option("--url", help=f"The imaging service's address; {DEFAULT_URL} if left out.")
]
OwnInstrument = Annotated[
    str | None,
    typer.Option(
        "--instrument",
        metavar="NAME|FILE",
        help="Open this instrument's devices here and now; for when no imaging service has them.",
    ),
]
Endpoints = Annotated[
    list[str],
    typer.Option("--endpoint", help="DEVICE.KEY=ADDRESS: with --instrument, reach a device elsewhere."),
]


def _instrument(name: str, url: str | None, endpoint: list[str]) -> "Instrument":
    from nixel.acquisition.instrument import load_instrument
    from nixel.imaging.cli.serve import parse_endpoints
    from nixel.imaging.errors import UserError

    if url is not None:
        raise UserError(
            "expected --url or --instrument, found both: ask the service, or open the devices here."
        )
    return load_instrument(name).with_endpoints(parse_endpoints(endpoint))


@contextmanager
def _said_plainly() -> Iterator[None]:
    """Let no control character through that a device, or its driver, has put into an error."""
    from nixel.acquisition.devices import DeviceError
    from nixel.acquisition.readings import PropertyRefusedError
    from nixel.imaging.cli.device_table import plain
    from nixel.imaging.errors import UserError

    try:
        yield
    except NoServiceError as error:
        raise UserError(f"{error} Without a service, --instrument NAME opens the devices itself.") from error
    except (DeviceError, PropertyRefusedError, UserError) as error:
        raise UserError(plain(str(error))) from error


@contextmanager
def _held(instrument: "Instrument") -> Iterator["HeldDevices"]:
    from nixel.acquisition.devices import DevicesError
    from nixel.acquisition.held import HeldDevices

    held = HeldDevices(instrument)
    try:
        yield held
    finally:
        failures = held.close()
    if failures:
        raise DevicesError("closing", instrument.name, failures)


def _read(instrument: "Instrument", held: "HeldDevices") -> "DevicesAnswer":
    from datetime import UTC, datetime

    from nixel.imaging.device_answers import devices_answer

    taken, readings = datetime.now(UTC), held.read()
    assert readings is not None  # nobody interrupts
    return devices_answer(instrument, readings, taken)


@devices.command(name="list")
def list_devices(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    url: Url = None,
    instrument: OwnInstrument = None,
    endpoint: Endpoints = [],  # noqa: B006 - typer reads it
) -> None:
    """List every device with its properties; a device that fails has its error, and the exit status is 2."""
    from nixel.acquisition.devices import DevicesError
    from nixel.imaging.cli.device_table import print_table
    from nixel.imaging.client import ServiceClient
    from nixel.imaging.device_answers import DevicesAnswer

    with _said_plainly():
        if instrument is None:
            answer = DevicesAnswer.model_validate(ServiceClient(url or DEFAULT_URL).get("/devices"))
        else:
            configured = _instrument(instrument, url, endpoint)
            with _held(configured) as held:
                answer = _read(configured, held)
        if as_json:
            typer.echo(answer.model_dump_json(indent=2))
        else:
            print_table(answer)
        if failures := {device.name: device.error for device in answer.devices if device.state == "fails"}:
            raise DevicesError("reading", answer.instrument, failures)


@devices.command()
def watch(
    interval: Annotated[str, typer.Option(metavar="TIME", help="How often to look, with its unit.")] = "1 s",
    url: Url = None,
    instrument: OwnInstrument = None,
    endpoint: Endpoints = [],  # noqa: B006 - typer reads it
) -> None:
    """Follow every property until Ctrl-C: a live table on a terminal, elsewhere a line for each change."""
    from nixel.acquisition.quantities import parse
    from nixel.imaging.errors import UserError

    seconds = parse(interval, "s")
    if not 0.2 <= seconds <= 60:
        raise UserError(f"--interval: expected 200 ms to 60 s, found {interval!r}.")
    with _said_plainly():
        if instrument is None:
            _follow(_from_service(url or DEFAULT_URL, seconds))
            return
        configured = _instrument(instrument, url, endpoint)
        with _held(configured) as held:
            _follow(_from_devices(configured, held, seconds))


def _from_service(url: str, interval: float) -> "Iterator[DevicesAnswer]":
    from nixel.imaging.client import ServiceClient
    from nixel.imaging.device_answers import DevicesAnswer

    for data in ServiceClient(url).events(f"/devices/events?interval={interval:g}"):
        yield DevicesAnswer.model_validate(data)


def _from_devices(
    instrument: "Instrument", held: "HeldDevices", interval: float
) -> "Iterator[DevicesAnswer]":
    while True:
        due = time.monotonic() + interval
        yield _read(instrument, held)
        time.sleep(max(0.0, due - time.monotonic()))


def _follow(answers: "Iterator[DevicesAnswer]") -> None:
    from nixel.imaging.cli.device_table import LiveTable, print_changes

    if sys.stdout.isatty():
        with LiveTable() as table:
            for answer in answers:
                table.show(answer)
        return
    before = None
    for answer in answers:
        print_changes(before, answer)
        before = answer


@devices.command(name="set", context_settings={"ignore_unknown_options": True})
def set_property(
    target: Annotated[str, typer.Argument(metavar="DEVICE.PROPERTY", help="As `nixel devices list` has it.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help='As you would write it: "2 ms", on, 12.')],
    url: Url = None,
    instrument: OwnInstrument = None,
    endpoint: Endpoints = [],  # noqa: B006 - typer reads it
) -> None:
    """Set a property of a device, and say what the device holds afterwards.

    A light or a supply that is switched on goes off when its device is closed: with --instrument as soon as this
    ends, on a service's instrument a few seconds after the last look (`nixel devices watch` keeps looking).
    """
    from urllib.parse import quote

    from nixel.imaging.cli.device_table import plain
    from nixel.imaging.client import ServiceClient
    from nixel.imaging.device_answers import ChangeAnswer, change_answer
    from nixel.imaging.errors import UserError

    with _said_plainly():
        device, dot, name = target.partition(".")
        if not (device and dot and name):
            raise UserError(f"expected DEVICE.PROPERTY, such as camera.exposure, found {target!r}.")
        if instrument is None:
            path = f"/devices/{quote(device, safe='')}/{quote(name, safe='')}"
            made = ChangeAnswer.model_validate(ServiceClient(url or DEFAULT_URL).put(path, {"value": value}))
        else:
            configured = _instrument(instrument, url, endpoint)
            with _held(configured) as held:
                made = change_answer(device, held.change(device, name, value))
    kept = "" if made.text == made.asked else f", the nearest to {made.asked} that it holds"
    typer.echo(plain(f"{made.device}.{made.property} is {made.text}{kept} (it was {made.before})"))

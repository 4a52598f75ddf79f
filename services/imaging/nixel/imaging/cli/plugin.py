"""`nixel plugin`: begin a vendor plugin, and hold one to every rule of nixel_device.h."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nixel.imaging.cli.typed import one_of
from nixel.imaging.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nixel.acquisition.devices import Value

plugin = typer.Typer(
    help="Vendor plugins: begin one, and check one.", no_args_is_help=True, add_completion=False
)


@plugin.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as my-laser.")],
    language: Annotated[str, typer.Option(metavar="c|rust", help="What it is written in.")],
    folder: Annotated[
        Path, typer.Option("--in", metavar="FOLDER", help="Where its folder is made.")
    ] = Path(),
) -> None:
    """Write a plugin that builds without dependencies and passes its check, to begin with."""
    from nixel.acquisition.plugins.skeleton import write_skeleton

    one_of("--language", language, "c", "rust")
    written = write_skeleton(folder, name, "c" if language == "c" else "rust")
    for path in sorted(path for path in written.rglob("*") if path.is_file()):
        typer.echo(f"  {path}")
    typer.echo(f"Its README.md says how to build and check it: {written / 'README.md'}")


@plugin.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The plugin's library.")],
    setting: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="What its device is opened with; repeat it. Without any: simulated=true.",
        ),
    ] = None,
    sanitize: Annotated[
        bool, typer.Option("--sanitize", help="With AddressSanitizer, for a plugin that was built with it.")
    ] = False,
    valgrind: Annotated[bool, typer.Option("--valgrind", help="Under valgrind (minutes).")] = False,
    trips: Annotated[
        int, typer.Option(min=1, metavar="N", help="Round trips of the rules that need many.")
    ] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="For programs, as one JSON document.")] = False,
) -> None:
    """Hold a plugin to every rule of nixel_device.h; it writes to every property of the device.

    Each rule is tried in a process that a broken plugin may take down. Ends with 0 if it keeps every rule, 1 if it
    breaks one, 2 if it cannot be checked.
    """
    import json

    from nixel.acquisition.plugins.checking.suite import check as results_of

    if sanitize and valgrind:
        raise UserError("--sanitize and --valgrind exclude each other; run it twice")
    settings = _settings(setting or ["simulated=true"])
    mode = "sanitize" if sanitize else "valgrind" if valgrind else "plain"
    results = []
    for result in results_of(
        file, settings, mode="sanitize" if sanitize else "valgrind" if valgrind else "plain", trips=trips
    ):
        results.append(result)
        if not as_json:
            mark = {"pass": "ok", "fail": "FAIL", "none": "-"}[result.verdict]
            typer.echo(f"{mark:<5}{result.rule:<13} {result.says}")
            if result.found:
                typer.echo(f"     {'':<13} {'found: ' if result.verdict == 'fail' else ''}{result.found}")
            if result.do:
                typer.echo(f"     {'':<13} do: {result.do}")
    counts = {verdict: sum(r.verdict == verdict for r in results) for verdict in ("pass", "fail", "none")}
    if as_json:
        document = {
            "file": str(file),
            "mode": mode,
            "settings": settings,
            "conforms": not counts["fail"],
            "rules": [result.as_dict() for result in results],
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        verdict = "breaks a rule" if counts["fail"] else "as nixel_device.h says"
        typer.echo(
            f"{file}: {verdict}; {counts['pass']} hold, {counts['fail']} do not, {counts['none']} not tried"
        )
    if counts["fail"]:
        raise typer.Exit(1)


def _settings(texts: "Sequence[str]") -> "dict[str, Value]":
    """Values as TOML writes them; what TOML does not know is a text."""
    import tomllib

    settings: dict[str, Value] = {}
    for text in texts:
        name, equals, written = text.partition("=")
        if not (name and equals) or "\0" in text:
            raise UserError(f'--setting: expected NAME=VALUE, such as port=/dev/ttyUSB0, found "{text}"')
        try:
            value = tomllib.loads(f"value = {written}")["value"]
        except tomllib.TOMLDecodeError:
            value = written
        if not isinstance(value, bool | int | float | str):
            raise UserError(f'--setting {name}: expected a boolean, a number or a text, found "{written}"')
        settings[name] = value
    return settings

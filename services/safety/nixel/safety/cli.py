"""The command line of the safety daemon's people: look, stop, arm, reset, history, check a file, explain."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.safety import history
from nixel.safety.client import DEFAULT_SOCKET, SafetyClient, SafetyError, Status

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Returns
    -------
    argparse.ArgumentParser
        Of nixel-safety.
    """
    made = argparse.ArgumentParser(
        prog="nixel-safety", description="Look at the safety daemon and command it."
    )
    made.add_argument(
        "--socket",
        default=os.environ.get("NIXEL_SAFETY_SOCKET", DEFAULT_SOCKET),
        metavar="PATH",
        help="the daemon's socket (default: $NIXEL_SAFETY_SOCKET, else %(default)s)",
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="what is on, what forbids it")
    status.add_argument("--json", action="store_true", help="for programs")
    commands.add_parser("watch", help="the same at every change, until Ctrl-C")
    stop = commands.add_parser("stop", help="de-energise everything; anyone may")
    stop.add_argument("--reason", default="from the command line", help="for the record")
    commands.add_parser("arm", help="permit outputs to be enabled")
    commands.add_parser("reset", help="clear a latched fault; energises nothing")
    check = commands.add_parser("check", help="check the [safety] table of an instrument file")
    check.add_argument("file", type=Path, metavar="FILE")
    check.add_argument(
        "--ratings",
        type=Path,
        metavar="FILE",
        help="what its sensors and parts are rated for, if not as shipped",
    )
    history.add_parser(commands)
    commands.add_parser("explain", help="why the output is off, and what to do")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run nixel-safety.

    Parameters
    ----------
    argv
        The arguments; those of the process if `None`.

    Returns
    -------
    int
        0, 1 if an event log that was to be verified is not whole, or 2 with one paragraph on stderr.
    """
    arguments = parser().parse_args(argv)
    try:
        if arguments.command == "history":
            return history.run(arguments)
        if arguments.command == "check":
            _check(arguments.file, arguments.ratings)
        else:
            _talk(SafetyClient(arguments.socket), arguments)
    except SafetyError as error:
        print(f"nixel-safety: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def _talk(client: SafetyClient, arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "status":
            status = client.status()
            print(json.dumps(dataclasses.asdict(status), indent=2) if arguments.json else show(status))
        case "watch":
            for status in client.subscribe():
                print(show(status), end="\n\n", flush=True)
        case "explain":
            print(explain(client.status()))
        case "stop":
            client.stop(arguments.reason)
            print("stopped: everything is off")
        case "arm":
            client.arm()
            print("armed")
        case "reset":
            client.reset()
            print("no fault is latched")


def _check(file: Path, rated: Path | None) -> None:
    from nixel.safety.config import ConfigError, load  # only this command needs a parser of TOML

    try:
        instrument = load(file, rated)
    except ConfigError as error:
        raise SafetyError(str(error)) from error
    core = instrument.core
    print(f"{file}: the safety table is right")
    for output in core.outputs:
        order = f", after {', '.join(output.after)}" if output.after else ""
        print(f"  output {output.name} on {output.sink}{order}, gated by {', '.join(output.gated_by)}")
    print(f"  {1 / core.period:g} ticks a second, lease of at most {core.lease * 1e3:g} ms")


def show(status: Status) -> str:
    """Write a status for a terminal.

    Parameters
    ----------
    status
        From the daemon.

    Returns
    -------
    str
        Several lines.
    """
    lines = [status.state + ("  (simulated surveillance unit)" if status.simulated else "")]
    lines += [f"  output     {name:24} {'ON' if on else 'off'}" for name, on in status.outputs.items()]
    for interlock in status.interlocks:
        verdict = "ok" if interlock.healthy else "UNHEALTHY"
        value = _value(interlock.value, interlock.unit)
        warning = f"  {interlock.message}" if interlock.message else ""
        lines.append(f"  {interlock.kind:10} {interlock.name:24} {verdict:10}{value:>12}{warning}")
    if status.lease is not None:
        lines.append(f"  lease      {status.lease.holder}, {status.lease.remaining_s * 1e3:.0f} ms left")
    lines += [f"  cause      {cause.time}  {cause.message}" for cause in status.causes]
    if status.missed_deadlines:
        lines.append(f"  deadlines  {status.missed_deadlines} missed in {status.ticks} ticks")
    lines.append(f"  {status.what_to_do}")
    return "\n".join(lines)


def explain(status: Status) -> str:
    """Say why the outputs are off, and what to do.

    Parameters
    ----------
    status
        From the daemon.

    Returns
    -------
    str
        One or two sentences.
    """
    if any(status.outputs.values()):
        return status.what_to_do
    first = status.first_cause
    if first is not None:
        return f"A fault is latched since {first.time}: {first.message}. {status.what_to_do}"
    return f"Nothing is on; last reason: {status.off_reason}. {status.what_to_do}"


def _value(value: float | bool | None, unit: str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.4g} {unit}" if unit else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())

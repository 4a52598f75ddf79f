"""The command line of the safety daemon's people: look, stop, arm, reset, bypass, prove, history, explain."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.safety.cli import blackbox, history, prove
from nixel.safety.cli.explain import explain, unreachable
from nixel.safety.cli.show import show
from nixel.safety.cli.watch import watch
from nixel.safety.client import DEFAULT_SOCKET, SafetyClient, SafetyError, SafetyUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

_REPORTED = 1.0  # s, the longest that an output may take to report that it is off


def parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Returns
    -------
    argparse.ArgumentParser
        Of nixel-safety.
    """
    made = argparse.ArgumentParser(
        prog="nixel-safety",
        description="Look at the safety daemon and command it.",
        epilog="`nixel safety plot` draws a recording of the black box; it comes with the imaging service.",
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
    commands.add_parser("watch", help="the same, live, until Ctrl-C; into a pipe one line a change")
    stop = commands.add_parser("stop", help="de-energise everything; anyone may")
    stop.add_argument("--reason", default="from the command line", help="for the record")
    commands.add_parser("arm", help="permit outputs to be enabled")
    commands.add_parser("reset", help="clear a latched fault; energises nothing")
    bypass = commands.add_parser(
        "bypass", help="let outputs be on although an interlock is unhealthy, for a time"
    )
    bypass.add_argument("interlock", nargs="?", metavar="NAME")
    bypass.add_argument(
        "--for", dest="duration", metavar="TIME", help='how long, with its unit: "10 min", "90 s"'
    )
    bypass.add_argument("--reason", metavar="TEXT", help="for the record")
    bypass.add_argument("--end", metavar="NAME", help="end one before its time")
    proof = commands.add_parser("prove", help="switch on, stop the charge pump, and see the relay drop")
    proof.add_argument("--output", metavar="NAME", help="which one, where there are several")
    proof.add_argument(
        "--yes", action="store_true", help="the instrument is in a safe state to be switched on"
    )
    check = commands.add_parser("check", help="check the [safety] table of an instrument file")
    check.add_argument("file", type=Path, metavar="FILE")
    check.add_argument(
        "--ratings",
        type=Path,
        metavar="FILE",
        help="what its sensors and parts are rated for, if not as shipped",
    )
    history.add_parser(commands)
    blackbox.add_parser(commands)
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
        0, 1 if an output failed its proof or an event log is not whole, or 2 with one paragraph on stderr.
    """
    arguments = parser().parse_args(argv)
    try:
        if arguments.command == "history":
            return history.run(arguments)
        if arguments.command == "blackbox":
            return blackbox.run(arguments)
        if arguments.command == "check":
            _check(arguments.file, arguments.ratings)
        elif arguments.command == "prove":
            return prove.run(SafetyClient(arguments.socket), arguments.output, arguments.yes)
        else:
            _talk(SafetyClient(arguments.socket), arguments)
    except SafetyUnavailable as error:
        print(f"nixel-safety: {_without(error, arguments.command)}", file=sys.stderr)
        return 2
    except SafetyError as error:
        print(f"nixel-safety: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Whoever read this has had enough; nothing more is to be flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _without(error: SafetyUnavailable, command: str) -> str:
    """Say what it means that there is no daemon."""
    if command == "explain":
        return unreachable(error)
    if command == "stop":
        return f"NOT STOPPED: {error}. If something must go off now, press the emergency stop."
    return str(error)


def _talk(client: SafetyClient, arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "status":
            status = client.status()
            print(json.dumps(dataclasses.asdict(status), indent=2) if arguments.json else show(status))
        case "watch":
            watch(client)
        case "explain":
            print(explain(client.status()))
        case "stop":
            client.stop(arguments.reason)
            print(_stopped(client))
        case "arm":
            client.arm()
            print("armed")
        case "reset":
            client.reset()
            print("no fault is latched")
        case "bypass":
            _bypass(client, arguments)


def _stopped(client: SafetyClient) -> str:
    """Wait until every output reports that it is off, and say so.

    Raises
    ------
    SafetyError
        If one does not.
    """
    deadline = time.monotonic() + _REPORTED
    while True:
        reports = [found for found in client.status().interlocks if found.kind == "readback"]
        if all(report.healthy and report.value is False for report in reports):
            return "stopped: everything is off"
        if time.monotonic() >= deadline:
            break
        time.sleep(0.02)
    doubtful = [
        report.message or f"{report.name} still says that it is on"
        for report in reports
        if not report.healthy or report.value is not False
    ]
    msg = f"STOPPED, BUT NOT CONFIRMED: {'; '.join(doubtful)}. If something must go off now, press the emergency stop."
    raise SafetyError(msg)


def _bypass(client: SafetyClient, arguments: argparse.Namespace) -> None:
    name, written, reason = arguments.interlock, arguments.duration, arguments.reason
    if arguments.end is not None:
        if name is not None or written is not None or reason is not None:
            msg = "--end NAME stands alone: it ends a bypass, and begins none"
            raise SafetyError(msg)
        client.end_bypass(arguments.end)
        print(f"{arguments.end} is not bypassed any more")
        return
    if name is None or written is None or reason is None:
        msg = 'say what, for how long and why: bypass NAME --for "10 min" --reason TEXT'
        raise SafetyError(msg)
    if not reason.strip():
        msg = "--reason is empty: say why, for whoever reads the record"
        raise SafetyError(msg)
    client.bypass(name, _seconds(written), reason)
    print(f"{name} is BYPASSED for {written}: it protects nobody until then, or until the next stop or fault")


def _seconds(written: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|min|h)", written.strip())
    if found is None:
        msg = f'--for is {written!r}, expected a time with its unit, such as "10 min" or "90 s"'
        raise SafetyError(msg)
    return float(found[1]) * {"s": 1.0, "min": 60.0, "h": 3600.0}[found[2]]


def _check(file: Path, rated: Path | None) -> None:
    from nixel.safety.config.instrument import ConfigError, load  # only this command needs a parser of TOML

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


if __name__ == "__main__":
    sys.exit(main())

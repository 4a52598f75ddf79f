"""Fuzz the safety socket: coverage-guided in-process, and a real daemon under attack.

python services/safety/tests/fuzz.py SECONDS        everything, for so long each
python services/safety/tests/fuzz.py TARGET [LIBFUZZER OPTION...]
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]


# --- the targets ---


def protocol_target(data: bytes) -> None:
    """The pure layers: framing, calls, requests; a client's understanding of an answer."""
    from nixel.safety.core import model
    from nixel.safety.proof import Prove
    from nixel.safety.service import permissions, protocol

    buffer, taken = protocol.join(b"", data), []
    while (piece := protocol.cut(buffer)) is not None:
        message, end, rest = piece
        assert end in (b"\n", b"\0")
        assert len(message) + 1 + len(rest) <= len(buffer), "a message never grows"
        assert not set(message) & {0, 10}
        buffer = rest
        taken.append(message)
    for message in [*taken, data]:
        understand(message)
        try:
            call = protocol.parse(message)
            protocol.check(call)
            permissions.refusal(
                call.short, permissions.Peer(1, 2, frozenset()), permissions.Policy(3, None, "")
            )
            if call.short in ("Status", "Subscribe"):
                continue
            request = protocol.to_request(call, 1, 2, "fuzz")
        except protocol.CallError as error:
            protocol.encode({"error": error.error, "parameters": error.parameters})
            continue
        assert isinstance(request, model.Request | Prove)
        for name in ("name", "output", "interlock", "reason"):
            text = getattr(request, name, "x")
            assert text.isprintable()
            assert 0 < len(text) <= protocol.LONGEST_TEXT
        duration = getattr(request, "duration", None)
        assert duration is None or (0.0 < duration <= 1e5 and math.isfinite(duration))
        assert getattr(request, "by", "fuzz") == "fuzz", "nobody can say who they are"


def understand(message: bytes) -> None:
    """What a client makes of whatever answers it: a status, or an error for a person."""
    from nixel.safety.cli.explain import explain
    from nixel.safety.cli.show import line, show
    from nixel.safety.client.answers import SafetyError, parse_status

    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return
    try:
        status = parse_status(value)
    except SafetyError:
        return
    assert explain(status)
    assert show(status)
    assert line(status)


def station_target(data: bytes) -> None:
    """A whole server with the safety logic behind it, step by step."""
    import station

    station.play(data)


TARGETS = {"protocol": protocol_target, "station": station_target}


# --- what a fuzzer begins with ---


def steps(*what: tuple[int, ...]) -> bytes:
    return b"".join(map(bytes, what))


def seeds(target: str) -> list[bytes]:
    """Scripts, or messages, that get far; mutations of them get further."""
    import station

    if target == "protocol":
        with contextlib.closing(station.Station()) as made:
            status = json.dumps(made.server._status()).encode()
        return [json.dumps(call).encode() + b"\n" for call in station.CALLS] + [status]
    number = {
        name: at for at, call in enumerate(station.CALLS) if (name := call["method"].rpartition(".")[2])
    }
    first = {
        name: at
        for at, call in reversed([*enumerate(station.CALLS)])
        if (name := call["method"].rpartition(".")[2])
    }
    on = [(0, 1)]
    for name in ("Reset", "Arm", "AcquireLease"):
        on += [(2, 0, first[name]), (3, 0), (4, 0), (3, 0)]
    on += [(2, 0, first["Enable"]), (3, 0), (4, 3), (3, 0)]
    prove = [(2, 0, number["Prove"]), (3, 0), (4, 0), (3, 0)]
    watcher = [(0, 0), (2, 1, first["Subscribe"]), (3, 0), (9, 0), (5, 1)]
    scripts = [
        on,
        [*on, *prove, (4, 5), (3, 0)],
        [*on, (8, 8), *prove, *[(4, 7), (3, 0)] * 5],
        [*on, (8, 8), *prove, (6, 0), (3, 0), (4, 0)],
        [*on, *watcher, (8, 2), (3, 0), (9, 0)],
        [*on, *watcher, (7, 0), (3, 0), (4, 0)],
        [*on, *watcher, (7, 1), (3, 0), (4, 0)],
        [
            (0, 1),
            (8, 2),
            (2, 0, 12),
            (3, 0),
            (4, 0),
            (3, 0),
            (2, 0, first["EndBypass"]),
            (3, 0),
            (4, 7),
            (4, 7),
        ],
        [(0, 1), (1, 0, 5, *b"Hello"), (1, 0, 2, 10, 0), (3, 0), (5, 0)],
        [(0, 1), *[(2, 0, 0)] * 12, (6, 0), (3, 0), (5, 0)],
    ]
    return [steps(*script) for script in scripts]


# --- running ---


def fuzz(target: str, arguments: list[str]) -> None:
    """Become libFuzzer on one target."""
    import atheris

    with atheris.instrument_imports(include=["nixel.safety", "station"]):
        import station  # noqa: F401

        from nixel.safety.cli import (
            explain,  # noqa: F401
            show,  # noqa: F401
        )

    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def available() -> str:
    """Why the coverage-guided fuzzer cannot run; empty if it can."""
    try:
        import atheris  # noqa: F401
    except ImportError as error:
        return (
            f"no coverage-guided fuzzing: {error}; `make fuzz` installs atheris where there is a wheel of it"
        )
    return ""


def guided(target: str, seconds: float) -> tuple[int, str]:
    """Fuzz one target for a time; give the exit status, and what there is to say."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(seeds(target)):
            (corpus / f"seed{number}").write_bytes(seed)
        options = [
            *(
                f"-max_total_time={max(1, round(seconds))}",
                "-max_len=2048",
                "-timeout=20",
                "-rss_limit_mb=1024",
            ),
            *("-print_final_stats=1", f"-artifact_prefix={folder}/", str(corpus)),
        ]
        command = [sys.executable, str(Path(__file__).resolve()), target, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 120)
        said = done.stdout + done.stderr
        runs = re.search(r"number_of_executed_units: (\d+)", said)
        coverage = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said)
        found = [path.read_bytes() for path in Path(folder).glob("*-*") if path.is_file()]
    if done.returncode != 0:
        at = max(0, said.find("Uncaught Python exception"))
        return done.returncode, f"{target}: {said[at : at + 4000]}\n...\n{said[-500:]}\nThe input: {found}"
    edges, features, kept = coverage[-1]
    begun = coverage[0][0]
    return 0, (
        f"{target:10} {int(runs[1]):9} executions in {seconds:g} s; {edges} edges ({begun} of them by the first "
        f"seeds), {features} features, {kept} inputs kept; nothing found"
    )


def main() -> int:
    if len(sys.argv) > 1 and sys.argv[1] in TARGETS:
        fuzz(sys.argv[1], sys.argv[2:])
        return 0
    # Daemons that outlived us would answer on the pseudo-terminals of whoever comes next.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seconds = float(sys.argv[1])
    good = True
    why_not = available()
    for target in TARGETS if not why_not else ():
        status, said = guided(target, seconds)
        good = good and status == 0
        print(said, flush=True)
    if why_not:
        print(why_not, flush=True)
    import siege

    good = siege.main(seconds) and good
    return 0 if good and not why_not else 1


if __name__ == "__main__":
    sys.exit(main())

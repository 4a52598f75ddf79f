"""Ours against peers and floors, on the same input, by turns: prints one table and keeps it as JSON.

    make bench                                   every case, with the peers of requirements/bench.lock
    .venv-bench/bin/python bench/bench.py psf    the cases whose names hold this word

A case is in a `cases_*.py` beside this file. Each is measured in processes of its own, with as many threads as it says;
times are told, and bounds are on what does not depend on the machine: ratios, errors, memory. Exit status 1: a bound
was missed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from table import table
from verdicts import judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).resolve().parent
KEPT = HERE / "results.json"
# What the libraries that split their work ask when they load.
_LIMITS = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "NUMBA"))


class BenchError(Exception):
    """What the person at the keyboard can set right."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    every = known(options.folder)
    asked = selected(every, options.names)
    if options.list:
        for name in asked:
            print(name)
        return 0
    machine = _machine()
    kept = _earlier(options.json, machine) if len(asked) < len(every) else {}
    found: dict[str, Any] = {}
    for number, (name, (module, threads)) in enumerate(asked.items(), 1):
        print(f"{number} of {len(asked)}  {name}", file=sys.stderr, flush=True)
        found[name] = _measure(options, module, name, threads)
        kept = {case: measured for case, measured in {**kept, **found}.items() if case in every}
        whole = {case: kept[case] for case in every if case in kept}
        # After every case: the next one may take long, and may be interrupted.
        _write(options.json, {"machine": machine, "versions": _versions(), "cases": whole})
    print(table(found))
    missed = [name for name, measured in found.items() if any(v.met is False for v in judge(measured))]
    print(f"\n{len(found)} cases, {len(missed)} with a missed bound")
    return 1 if missed else 0


def known(folder: Path) -> dict[str, tuple[str, int]]:
    """Find every case: its name, and the module and the number of threads that it has.

    Raises
    ------
    BenchError
        If a module cannot be loaded, or two cases have one name.
    """
    cases: dict[str, tuple[str, int]] = {}
    for path in sorted(folder.glob("cases_*.py")):
        done = _child(folder, 1, "list", path.stem)
        if done.returncode != 0:
            raise BenchError(f"{path.name} cannot be loaded:\n{done.stderr.strip()}")
        for case in json.loads(done.stdout):
            if case["name"] in cases:
                raise BenchError(f"{path.name}: expected names that are unique, found {case['name']!r} twice")
            cases[case["name"]] = (path.stem, case["threads"])
    return cases


def selected(cases: Mapping[str, tuple[str, int]], words: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Choose the cases whose names hold one of the words, in the order of all; without words, all.

    Raises
    ------
    BenchError
        If a word is in no name.
    """
    for word in words:
        if not any(word.lower() in name.lower() for name in cases):
            raise BenchError(f"no case has {word!r} in its name; there are:\n  " + "\n  ".join(cases))
    return {
        name: about
        for name, about in cases.items()
        if not words or any(word.lower() in name.lower() for word in words)
    }


def _measure(options: argparse.Namespace, module: str, name: str, threads: int) -> dict[str, Any]:
    limits = (f"--budget={options.seconds}", f"--rounds={options.rounds}")
    measured: dict[str, Any] = {"date": _now(), "load": round(os.getloadavg()[0], 2)}
    for what in ("time", "memory"):
        done = _child(options.folder, threads, what, module, name, *limits)
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            print(done.stderr, file=sys.stderr)
            return {**measured, "broken": f"status {done.returncode}, {last[0]}"}
        measured |= json.loads(done.stdout, parse_constant=lambda _: None)
    seconds = measured["seconds"]
    measured["seconds"] = {who: [float(f"{t:.4g}") for t in each] for who, each in seconds.items()}
    return measured


def _child(folder: Path, threads: int, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | dict.fromkeys(_LIMITS, str(threads))
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(folder), str(HERE), os.environ.get("PYTHONPATH")))
    )
    return subprocess.run(
        [sys.executable, str(HERE / "measure.py"), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _earlier(path: Path, machine: Mapping[str, str]) -> dict[str, Any]:
    """Cases measured before on this machine, which stay beside those that are measured now."""
    if not path.is_file():
        return {}
    earlier = json.loads(path.read_text(encoding="utf-8"))
    if earlier["machine"] != machine:
        raise BenchError(
            f"{path} was measured on another machine ({earlier['machine']}; this is {dict(machine)}): "
            "measure every case, or name another file with --json"
        )
    cases: dict[str, Any] = earlier["cases"]
    return cases


def _write(path: Path, results: Mapping[str, Any]) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(
        json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    part.replace(path)


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _machine() -> dict[str, str]:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{math.ceil(memory / 2**30)} GiB",
        "python": platform.python_version(),
    }


def _versions() -> dict[str, str]:
    """Versions of what the times depend on: the arrays' libraries and the peers."""
    listed = (HERE.parent / "requirements" / "bench.in").read_text(encoding="utf-8").splitlines()
    peers = {re.split(r"[^A-Za-z0-9_.-]", line)[0].lower() for line in listed if line and line[0] != "#"}
    found = {d.metadata["Name"].lower(): d.version for d in distributions()}
    return {name: found[name] for name in sorted({"numpy", "scipy", *peers}) if name in found}


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("names", nargs="*", metavar="WORD", help="cases whose names hold it; without one, all")
    made.add_argument("--json", type=Path, metavar="FILE", default=KEPT, help="where the numbers are kept")
    made.add_argument("--seconds", type=float, default=60.0, help="for the rounds of a case (60)")
    made.add_argument("--rounds", type=int, default=25, help="of a case at most (25), never less than 3")
    made.add_argument("--folder", type=Path, default=HERE, help="where the cases are")
    made.add_argument("--list", action="store_true", help="name the cases and end")
    return made


if __name__ == "__main__":
    sys.exit(main())

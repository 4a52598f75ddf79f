"""Measure what the acquisition promises; docs/acquisition-measured.md tells what and how, and is made of the result.

    .venv/bin/python bench/measure_acquisition.py                  everything, long; some 20 minutes
    .venv/bin/python bench/measure_acquisition.py kills stall      these alone; the others' last results stay
    .venv/bin/python bench/measure_acquisition.py --short          a first impression, which is not kept

A figure is a file ``bench/acquisition_NAME.py`` with `measure(long)`. Every value is kept in bench/acquisition.json.
NIXEL_KILLS and NIXEL_SUSTAINED choose other counts and seconds, NIXEL_MEASURE_IN the folder whose disk is measured.
Exit status 1: a bound was missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
RESULTS = HERE / "acquisition.json"
PAGE = HERE.parent / "docs/acquisition-measured.md"


def names() -> list[str]:
    """The figures that there are."""
    return sorted(file.stem.removeprefix("acquisition_") for file in HERE.glob("acquisition_*.py"))


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Make docs/acquisition-measured.md."""
    lines = [
        "# Acquisition, measured",
        "",
        "    make verify-acquisition                                    everything below, in some 20 minutes",
        "    .venv/bin/python bench/measure_acquisition.py NAME...      some of it",
        "",
        "This page is made by that command, from `bench/acquisition.json`; a figure is a file",
        "`bench/acquisition_NAME.py`. The exit status is 1 if a bound was missed. `make test` runs a short version.",
        "",
        "| name | what | bound | | found |",
        "|---|---|---|---|---|",
    ]
    for name, result in results.items():
        mark = "holds" if result["good"] else "**missed**"
        lines.append(f"| {name} | {result['title']} | {result['bound']} | {mark} | {result['found']} |")
    for name, result in results.items():
        made = f"{result['when']}, {result['machine']}; load average {result['load']} before and after."
        lines += ["", f"**{name}.** {result['how']} Measured on {made}"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; all if left out")
    parser.add_argument("--short", action="store_true", help="briefly, and keep nothing")
    options = parser.parse_args()
    if unknown := set(options.what) - set(names()):
        parser.error(f"expected names among {', '.join(names())}, found {', '.join(sorted(unknown))}")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    missed = []
    for name in options.what or names():
        print(f"== {name}", flush=True)
        before = os.getloadavg()[0]
        figure = importlib.import_module(f"acquisition_{name}").measure(not options.short)
        print(f"{figure.title}: {figure.found}")
        print(f"bound: {figure.bound}: {'holds' if figure.good else 'MISSED'}", flush=True)
        missed += [] if figure.good else [name]
        if options.short:
            continue
        results[name] = {
            **asdict(figure),
            "when": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
            "load": f"{before:.1f} and {os.getloadavg()[0]:.1f}",
        }
        # After every figure: the next one may take long, and may be interrupted.
        results = {known: results[known] for known in names() if known in results}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(results), encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""A report as text for a person and as JSON for a program."""

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from nixel.acquisition.doctor.elf import Elf
from nixel.acquisition.doctor.examine import Report
from nixel.acquisition.doctor.findings import Advice, Finding, printable

WIDTH = 110
# Of symbols and places; all of them are in the JSON.
MOST_ITEMS = 12


def as_text(report: Report, *, every: bool = False) -> str:
    """The report for a person; `every` symbol and place, or the first of them."""
    lines = [*_head(report), ""]
    for file in dict.fromkeys(finding.file for finding in report.findings):
        if report.package is not None:
            lines += [printable(file), ""]
        for finding in report.findings:
            if finding.file == file:
                lines += [*_finding(finding, every), ""]
    lines += _advice(report.advice)
    return "\n".join(lines).rstrip() + "\n"


def _head(report: Report) -> Iterator[str]:
    if report.package is None:
        elf = report.elves[0]
        yield from _wrap(f"{printable(report.file)}: {_what(elf)}. {_verdict(report)}", "")
        if elf.needed:
            yield from _wrap(f"It needs {', '.join(map(printable, elf.needed))}.", "")
        return
    count = len(report.elves)
    files = "no program or library" if not count else f"{count} program{'s'[: count > 1]} and libraries"
    if count == 1:
        files = "one program or library"
    yield from _wrap(
        f"{printable(report.file)}: {printable(report.package)}, with {files}. {_verdict(report)}", ""
    )


def _what(elf: Elf) -> str:
    return f"a {elf.kind} for {elf.machine}"


def _verdict(report: Report) -> str:
    if not report.loads:
        return "It does not load as it is:" if report.package is None else "Not all of it loads as it is:"
    if not report.healthy:
        return "It loads here; this may go wrong elsewhere or later:"
    return "Nothing is wrong with it." + (" Good to know:" if report.findings else "")


def _wrap(text: str, indent: str, first: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _finding(finding: Finding, every: bool) -> Iterator[str]:
    yield from _wrap(printable(finding.text), " " * 8, f"  {finding.severity.value:<6}")
    shown = finding.items if every else finding.items[:MOST_ITEMS]
    for item in shown:
        yield f"          {printable(item)}"
    if len(shown) < len(finding.items):
        yield f"          and {len(finding.items) - len(shown)} more (--all)"


def _advice(advice: Advice) -> Iterator[str]:
    rows = (
        ("linker", [" ".join(advice.link)] if advice.link else []),
        ("nixpkgs", [" ".join(advice.nixpkgs)] if advice.nixpkgs else []),
        ("from-deb.nix", advice.from_deb()),
        ("NixOS", list(advice.nixos)),
    )
    if not any(lines for _, lines in rows) and not advice.steps:
        return
    yield "What to do"
    yield ""
    for name, lines in rows:
        for index, line in enumerate(lines):
            yield f"  {name if not index else '':<13} {printable(line)}"
    if any(lines for _, lines in rows) and advice.steps:
        yield ""
    for step in advice.steps:
        yield from _wrap(printable(step), "    ", "  - ")


def as_json(report: Report) -> dict[str, Any]:
    """The report for a program; the names in it are as they are in the file."""
    return {
        "version": 1,
        "file": report.file,
        "package": report.package,
        "loads": report.loads,
        "healthy": report.healthy,
        "files": [
            {
                "file": elf.place,
                "kind": elf.kind,
                "machine": elf.machine.architecture,
                "bits": elf.machine.bits,
                "interpreter": elf.interpreter,
                "soname": elf.soname,
                "needed": list(elf.needed),
                "rpath": elf.rpath,
                "runpath": elf.runpath,
            }
            for elf in report.elves
        ],
        "findings": [
            {
                "severity": finding.severity.value,
                "kind": finding.kind,
                "file": finding.file,
                "text": finding.text,
                "items": list(finding.items),
                **finding.facts,
                "advice": {name: value for name, value in asdict(finding.advice).items() if value},
            }
            for finding in report.findings
        ],
        "advice": {
            **{name: value for name, value in asdict(report.advice).items() if value},
            "from_deb": report.advice.from_deb(),
        },
    }

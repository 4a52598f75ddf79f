"""Memory checkers under which the rules can be tried: AddressSanitizer and valgrind."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nixel.acquisition.devices import DeviceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MemoryTool", "Plain", "Sanitizer", "Valgrind"]

_RUNTIME = re.compile(rb"libasan\.so\.\d+|libclang_rt\.asan[\w.-]*\.so")


class MemoryTool(Protocol):
    """What watches the memory while the rules are tried.

    Attributes
    ----------
    name : str
    slowness : float
        How many times longer everything takes.
    trips : int or None
        Of the rules that need many; None for as many as were asked for.
    """

    name: str
    slowness: float
    trips: int | None

    def command(self) -> Sequence[str]:
        """What to put before the interpreter."""

    def environment(self) -> Mapping[str, str]:
        """What to add to the environment."""

    def findings(self) -> list[str]:
        """Return what it has found in the plugin, each in a line; called when all processes have ended."""


class Plain:
    """None."""

    name, slowness = "", 1.0
    trips: int | None = None

    def command(self) -> Sequence[str]:
        """Nothing."""
        return ()

    def environment(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def findings(self) -> list[str]:
        """Nothing."""
        return []


def _missing(tool: str, path: Path, expected: str, found: str, remedy: str) -> DeviceError:
    return DeviceError(
        f"checking with {tool}", where=str(path), expected=expected, found=found, remedy=remedy
    )


class Sanitizer:
    """AddressSanitizer: the plugin was built with it, and its runtime is loaded before everything else.

    Parameters
    ----------
    path : Path
        The plugin.
    folder : Path
        For reports.

    Raises
    ------
    DeviceError
        The plugin was built without it, or its runtime is not found.
    """

    name, slowness = "AddressSanitizer", 5.0
    trips: int | None = 500

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder = path, folder
        data = path.read_bytes()
        if b"__asan_init" not in data:
            remedy = (
                "Build it again: in C with -fsanitize=address -fno-omit-frame-pointer -g (make sanitize does so in a "
                'skeleton), in Rust with RUSTFLAGS="-Zsanitizer=address" and a nightly compiler; or use --valgrind.'
            )
            raise _missing(
                "AddressSanitizer", path, "a plugin built with it", "one without __asan_init", remedy
            )
        found = _RUNTIME.search(data)
        self._runtime = _runtime_of(found.group().decode() if found else "libasan.so")
        if self._runtime is None:
            name = found.group().decode() if found else "libasan.so"
            remedy = "Install the compiler that the plugin was built with (Debian: apt install gcc)."
            raise _missing("AddressSanitizer", path, f"its runtime {name}", "none on this machine", remedy)

    def command(self) -> Sequence[str]:
        """Nothing."""
        return ()

    def environment(self) -> Mapping[str, str]:
        """The runtime, and where it reports to."""
        log = self._folder / "asan"
        return {
            "LD_PRELOAD": str(self._runtime),
            # Leaks of the interpreter's own end no process; those of the plugin are picked out of the report.
            "ASAN_OPTIONS": f"detect_leaks=1:log_path={log}:abort_on_error=1:fast_unwind_on_malloc=0:"
            "stack_trace_format='#%n %F %S module=%m'",
            "LSAN_OPTIONS": "exitcode=0:report_objects=0:print_suppressions=0",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            "PYTHONMALLOC": "malloc",
        }

    def findings(self) -> list[str]:
        """Errors, and leaks with the plugin among who asked for the memory; each place once."""
        found: dict[str, str] = {}
        for log in sorted(self._folder.glob("asan.*")):
            text = log.read_text(errors="replace")
            for block in re.split(r"\n\s*\n", text):
                head = block.strip().splitlines()[0] if block.strip() else ""
                if "LeakSanitizer has encountered a fatal error" in block:
                    found[""] = (
                        "leaks could not be looked for: LeakSanitizer needs ptrace, which is not allowed here"
                    )
                elif "AddressSanitizer:" in block and "SUMMARY" not in head:
                    line = next(line for line in block.splitlines() if "AddressSanitizer:" in line)
                    what = line.split("AddressSanitizer:")[1].split(" on address")[0].strip()
                    place = _place(block, self._path) or "in no frame of the plugin"
                    found.setdefault(place, f"{what}, {place}")
                elif re.match(r"(Direct|Indirect) leak", head) and (place := _place(block, self._path)):
                    what = head.partition(" leak of")[0].lower()
                    found.setdefault(place, f"{what} leak of what was allocated {place}")
        return list(found.values())


def _place(block: str, path: Path) -> str:
    """The first frame of a stack trace that is the plugin's; empty without one."""
    for line in block.splitlines():
        frame = re.match(r"#\d+ (.*) module=(.*)", line.strip())
        if frame and Path(frame[2]).name == path.name:
            return frame[1]
    return ""


def _runtime_of(name: str) -> Path | None:
    """Ask the compilers, which know where their own runtime is."""
    for compiler in ("cc", "gcc", "clang"):
        if shutil.which(compiler) is None:
            continue
        asked = subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=False
        )
        path = Path(asked.stdout.strip())
        if path.is_absolute() and path.exists():
            return path.resolve()
    return None


class Valgrind:
    """Valgrind's memcheck.

    Parameters
    ----------
    path : Path
        The plugin.
    folder : Path
        For reports.

    Raises
    ------
    DeviceError
        There is none.
    """

    name, slowness = "valgrind", 60.0
    trips: int | None = 200

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder = path.resolve(), folder
        if shutil.which("valgrind") is None:
            remedy = "Install it (Debian: apt install valgrind; here: nix shell nixpkgs#valgrind)."
            raise _missing("valgrind", path, "valgrind", "none on this machine", remedy)

    def command(self) -> Sequence[str]:
        """Valgrind, reporting as XML."""
        return (
            *("valgrind", "--quiet", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible"),
            *("--num-callers=30", "--keep-debuginfo=yes", "--xml=yes"),
            f"--xml-file={self._folder}/valgrind.%p.xml",
        )

    def environment(self) -> Mapping[str, str]:
        """Every block on its own, not in Python's pools."""
        return {"PYTHONMALLOC": "malloc"}

    def findings(self) -> list[str]:
        """Errors and leaks with the plugin among who called; each place once."""
        found: dict[str, str] = {}
        for report in sorted(self._folder.glob("valgrind.*.xml")):
            for error in _errors(report):
                frames = list(error.iter("frame"))
                ours = [frame for frame in frames if frame.findtext("obj") == str(self._path)]
                if not ours:
                    continue
                file, line = ours[0].findtext("file"), ours[0].findtext("line")
                place = ours[0].findtext("fn") or "a function without a name"
                place += f" ({file}:{line})" if file else ""
                kind = error.findtext("kind") or ""
                what = error.findtext("what") or f"memory that is lost ({kind.removeprefix('Leak_')})"
                found.setdefault(place, f"{what}, in {place}")
        return list(found.values())


def _errors(report: Path) -> list[ET.Element]:
    text = report.read_text(errors="replace")
    if "</valgrindoutput>" not in text:  # A process that was killed has not ended its report.
        text = (
            text[: text.rfind("</error>") + len("</error>")] + "</valgrindoutput>"
            if "</error>" in text
            else ""
        )
    return list(ET.fromstring(text).iter("error")) if text else []  # noqa: S314 (valgrind, which we started, wrote it)

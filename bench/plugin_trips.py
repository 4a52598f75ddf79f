"""Round trips of properties through vendor plugins: how many, how long, how much memory they leave behind.

    .venv/bin/python bench/plugin_trips.py [--count 1000000] [--wire 100000]

Both examples are built with this machine's compilers. A round trip is a set() and a get() that gives the same value.
Counted are first those across the C interface, in the process that has loaded the library, where malloc says to the
byte how much is in use; then those from nixel's own process, through the worker process, whose memory is looked at
from outside. Exit status 1: memory was left behind.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from nixel.acquisition.plugins.checking.suite import check
from nixel.acquisition.plugins.host import PluginProcess

__all__ = ["Trips", "build", "measure_trips"]

GROWTH = 1 << 20  # bytes of the worker's resident memory that are no leak
VALUES = {
    "averaging": (1, 1024),
    "offset": (-5.0, 0.1),
    "enabled": (False, True),
    "label": ("", "Körperwärme", "a\0b", "x" * 64),
    "calibration": (b"", b"\0\xff" * 16),
}


@dataclass(frozen=True)
class Trips:
    """What was found of one plugin.

    Parameters
    ----------
    inside : int
        Round trips across the C interface.
    left : str
        What the suite's rule says of them; it ends with the bytes that are in use afterwards and were not before.
    good_inside : bool
    wire : int
        Round trips through the worker process.
    seconds : float
        Of those.
    grown : int
        Bytes by which the worker's resident memory has grown meanwhile.
    """

    inside: int
    left: str
    good_inside: bool
    wire: int
    seconds: float
    grown: int

    @property
    def good(self) -> bool:
        """Whether nothing was left behind."""
        return self.good_inside and self.grown <= GROWTH


def build(language: str, folder: Path) -> Path:
    """Build an example, ``"c"`` or ``"rust"``, in a folder."""
    sources = Path(str(resources.files("nixel.acquisition"))) / "plugins" / "sources"
    if language == "c":
        library = folder / "thermometer.so"
        code = sources / "example-c" / "thermometer.c"
        options = ["-std=c11", "-O2", "-fPIC", "-shared", f"-I{sources / 'include'}"]
        subprocess.run([os.environ.get("CC", "cc"), *options, "-o", str(library), str(code)], check=True)
        return library
    cargo = ["cargo", "build", "--quiet", "--offline", "--locked", "--release", "--target-dir", str(folder)]
    subprocess.run(cargo, cwd=sources / "example-rust", check=True)
    return folder / "release" / "libnixel_plugin_example.so"


def measure_trips(library: Path, inside: int, wire: int) -> Trips:
    """Measure one plugin with the example thermometer's properties."""
    rules = check(library, {"simulated": True}, trips=inside)
    rule = next(result for result in rules if result.rule == "no-growth")
    rules.close()
    seconds, grown = _through_the_worker(library, wire)
    return Trips(inside, rule.found, rule.verdict == "pass", wire, seconds, grown)


def _through_the_worker(library: Path, count: int) -> tuple[float, int]:
    plugin = PluginProcess(library, "the measured plugin", 30.0)
    plugin.open({"simulated": True})
    try:
        trips = [(name, value) for name, values in VALUES.items() for value in values]

        def go(many: int) -> None:
            for number in range(many):
                name, value = trips[number % len(trips)]
                plugin.set(name, value)
                if (found := plugin.get(name)) != value:
                    raise RuntimeError(f"{name} was set to {value!r} and is {found!r}")

        go(max(1000, count // 10))
        before, begin = _resident(plugin.pid), time.monotonic()
        go(count)
        return time.monotonic() - begin, _resident(plugin.pid) - before
    finally:
        plugin.close()


def _resident(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Measure both examples."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1_000_000, help="across the C interface (1000000)")
    parser.add_argument("--wire", type=int, default=100_000, help="through the worker process (100000)")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for language in ("c", "rust"):
            found = measure_trips(build(language, Path(folder)), options.count, options.wire)
            good &= found.good
            print(f"{language}: {found.left}")
            each = found.seconds / found.wire * 1e6
            print(f"  {found.wire} through its worker, {each:.0f} µs each; {found.grown} bytes more resident")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

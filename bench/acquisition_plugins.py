"""A million round trips of properties through each example of a vendor plugin, and the memory that they leave."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

from figure import Figure
from plugin_trips import GROWTH, build, measure_trips

__all__ = ["measure"]


def measure(long: bool) -> Figure:
    """Measure both examples."""
    inside, wire = (1_000_000, 100_000) if long else (20_000, 2_000)
    with tempfile.TemporaryDirectory() as folder:
        found = {
            language: measure_trips(build(language, Path(folder)), inside, wire) for language in ("c", "rust")
        }
    return Figure(
        title=f"Round trips of properties through the example plugins, {inside} each",
        bound=f"no leak: nothing more in use; the worker grows by less than {GROWTH >> 10} KiB in {wire} more",
        found="; ".join(
            f"{language}: {trips.left}, worker {trips.grown / 1024:+.0f} KiB at "
            f"{trips.seconds / trips.wire * 1e6:.0f} µs each"
            for language, trips in found.items()
        ),
        good=all(trips.good for trips in found.values()),
        how="A round trip is a set() and a get(). Those in the first number cross the C interface in the process that "
        "has loaded the plugin, where malloc tells to the byte what is in use; those in the second come from nixel's "
        "process through the worker's, whose resident memory is read from outside.",
        values={language: asdict(trips) for language, trips in found.items()},
    )

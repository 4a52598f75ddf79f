"""A disk that stands still for two seconds while a camera goes on."""

from __future__ import annotations

from acquisition_sustained import in_a_process, whole, words
from figure import Figure

__all__ = ["measure"]

STALL = 2.0  # s


def measure(long: bool) -> Figure:
    """Record for a while, with one write in the middle that does not return for two seconds."""
    found = in_a_process(20.0 if long else 6.0, STALL)
    return Figure(
        title="A stall of the disk",
        bound="2 s survived at 30 MB/s, no frame lost",
        found=words(found),
        good=whole(found) and found["longest_write"] >= STALL,
        how=(
            "The same source and recorder; one write of a frame does not return for two seconds (the call is "
            "held up in the process: no disk here can be told to stall). The source goes on, and the buffer "
            "takes its frames."
        ),
        values=found,
    )

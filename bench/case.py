"""What one line of the benchmark table compares: ours with peers and with a floor, on the same input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Run = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One comparison, whose runs are timed by turns in one process.

    Parameters
    ----------
    name : str
        Unique, such as "psf: Gibson-Lanni 256x256x128".
    ours : callable
        Does the work once and returns the result. Inputs are made before; results of earlier runs are not kept.
    floor_name, floor : str, callable, optional
        What no implementation can be faster than, such as "fill the array" or "its own padded FFTs".
    peers : mapping of str to callable or str
        Name and version of each peer, and its run; or, in words, why it cannot run here.
    error : callable, optional
        Takes a result (ours or a peer's) and returns its error against the oracle.
    error_name : str
        What that error is, with its unit.
    at_most_floors : float, optional
        Bound: our time is at most so many times the floor's.
    times_faster : mapping of str to float
        Bound: how many times faster than a peer ours is at least, by the peer's name as in `peers`.
    error_at_most : float, optional
        Bound of `error`.
    error_below : tuple of str
        Peers whose error ours must be below.
    extra_memory_at_most : float, optional
        Bound of the memory that our run takes beyond its inputs, the result included, in bytes.
    per_second : float, optional
        How many items (frames, iterations) one run handles: their rate is told, too.
    per_second_at_least : float, optional
        Bound of that rate.
    threads : int
        How many threads all of them may use; the runner sets the libraries' own limits to it before they load.
    note : str
        What a reader should know, such as why a bound is missed.
    """

    name: str
    ours: Run
    floor_name: str = ""
    floor: Run | None = None
    peers: Mapping[str, Run | str] = field(default_factory=dict)
    error: Callable[[Any], float] | None = None
    error_name: str = ""
    at_most_floors: float | None = None
    times_faster: Mapping[str, float] = field(default_factory=dict)
    error_at_most: float | None = None
    error_below: tuple[str, ...] = ()
    extra_memory_at_most: float | None = None
    per_second: float | None = None
    per_second_at_least: float | None = None
    threads: int = 1
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse bounds that nothing could meet or miss."""
        unknown = {*self.times_faster, *self.error_below} - {*self.peers}
        missing = [
            what
            for what, wrong in (
                ("a floor", self.at_most_floors is not None and self.floor is None),
                ("an error", bool(self.error_at_most is not None or self.error_below) and self.error is None),
                ("a number of items", self.per_second_at_least is not None and self.per_second is None),
            )
            if wrong
        ]
        if unknown or missing:
            found = (
                f"peers that are not there, {sorted(unknown)}"
                if unknown
                else f"{' and '.join(missing)} missing"
            )
            raise ValueError(f"{self.name}: expected what its bounds are about, found {found}")
        if self.threads < 1:
            raise ValueError(f"{self.name}: threads: expected 1 or more, found {self.threads}")

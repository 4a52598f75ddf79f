"""One case in a process of its own: `python bench/measure.py time|memory MODULE NAME` prints what it found as JSON.

`time` runs ours, the floor and the peers by turns, `memory` each of them twice: once for its error against the oracle,
once, warm, for the peak of its memory. `list MODULE` names a module's cases.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from memory import peak_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from case import Case, Run

OURS, FLOOR = "ours", "floor"
FEWEST = 3  # rounds, however long they take: fewer say nothing of the spread
_PATIENCE = 60.0  # s: a peer that takes longer is not run again for its memory


def subjects(case: Case) -> dict[str, Run]:
    """Ours, the floor and the peers that can run, in the order of the table."""
    floor = {} if case.floor is None else {FLOOR: case.floor}
    return {
        OURS: case.ours,
        **floor,
        **{name: run for name, run in case.peers.items() if not isinstance(run, str)},
    }


def warm(case: Case) -> tuple[dict[str, Run], dict[str, str]]:
    """Run each once, and give those that ran and, by the peer's name, why it did not."""
    ran, failed = subjects(case), {}
    for name, run in list(ran.items()):
        try:
            run()
        except Exception as error:
            if name not in case.peers:
                raise
            failed[name] = f"{type(error).__name__}: {error}"
            del ran[name]
    return ran, failed


def alternate(
    runs: Mapping[str, Run],
    budget: float,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time runs by turns: rounds of all of them, every other round in the opposite order.

    What disturbs the machine for a while then disturbs all of them, and nobody always comes after the same other.

    Parameters
    ----------
    runs
        By name.
    budget
        Seconds after which no further round begins.
    rounds
        The most rounds. There are three at least.
    clock
        Seconds.

    Returns
    -------
    dict of str to list of float
        Seconds of each round, by name.
    """
    taken: dict[str, list[float]] = {name: [] for name in runs}
    began = clock()
    for number in range(max(rounds, FEWEST)):
        if number >= FEWEST and clock() - began >= budget:
            break
        for name in runs if number % 2 == 0 else reversed(list(runs)):
            gc.collect()
            start = clock()
            result = runs[name]()
            taken[name].append(clock() - start)
            # Outside of what is timed: giving back a large array takes time of its own.
            del result
    return taken


def measure_time(case: Case, budget: float, rounds: int) -> dict[str, Any]:
    """Time a case; peers that fail are told with their error."""
    runs, failed = warm(case)
    return {"seconds": alternate(runs, budget, rounds), "failed": failed}


def measure_memory(case: Case) -> dict[str, Any]:
    """Take the error and the peak of the memory of each."""
    errors: dict[str, float] = {}
    memory: dict[str, int] = {}
    for name, run in subjects(case).items():
        try:
            start = time.perf_counter()
            result = run()
            patient = time.perf_counter() - start <= _PATIENCE
            if case.error is not None and name != FLOOR:
                errors[name] = float(case.error(result))
            del result
            if patient or name == OURS:
                memory[name] = peak_extra(run)
        except Exception:  # what fails here has failed in `time`, which tells it
            if name == OURS:
                raise
    return {"error": errors, "memory": memory}


def find(module: str, name: str) -> Case:
    """Make the case of this name; those before it in the module are made and dropped."""
    for case in _cases(module):
        if case.name == name:
            return case
    msg = f"{module} has no case {name!r}"
    raise LookupError(msg)


def _cases(module: str) -> Iterator[Case]:
    made: Iterator[Case] = importlib.import_module(module).cases()
    return made


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("what", choices=("list", "time", "memory"))
    made.add_argument("module")
    made.add_argument("name", nargs="?", default="")
    made.add_argument("--budget", type=float, default=60.0)
    made.add_argument("--rounds", type=int, default=25)
    return made


def main() -> int:
    """Measure, and print one line of JSON."""
    options = _parser().parse_args()
    # What a library prints of itself must not stand in the middle of the JSON.
    answer, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    os.dup2(2, 1)
    found: Any
    if options.what == "list":
        found = [{"name": case.name, "threads": case.threads} for case in _cases(options.module)]
    else:
        case = find(options.module, options.name)
        found = (
            measure_time(case, options.budget, options.rounds)
            if options.what == "time"
            else measure_memory(case)
        )
        found["about"] = {
            "absent": {name: reason for name, reason in case.peers.items() if isinstance(reason, str)},
            "bounds": {
                "at_most_floors": case.at_most_floors,
                "times_faster": dict(case.times_faster),
                "error_at_most": case.error_at_most,
                "error_below": list(case.error_below),
                "extra_memory_at_most": case.extra_memory_at_most,
                "per_second_at_least": case.per_second_at_least,
            },
            **{
                key: getattr(case, key)
                for key in ("floor_name", "error_name", "per_second", "note", "threads")
            },
        }
    json.dump(found, answer)
    answer.write("\n")
    answer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

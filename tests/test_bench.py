"""The benchmark's runner: it runs by turns, tells a missed bound as missed, and its page is what its numbers make."""

import json
import subprocess
import sys
from pathlib import Path

import measure
import memory
import numpy as np
import page
import pytest
import verdicts
from case import Case

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench" / "bench.py"

CASES = """
import time
from case import Case

def cases():
    def sleep(seconds):
        return lambda: time.sleep(seconds) or seconds
    yield Case("good: asleep", sleep(0.002), "a short sleep", sleep(0.001), {"sluggard 1.0": sleep(0.02)},
               error=lambda slept: slept, error_name="time asleep [s]", error_at_most=0.5,
               at_most_floors=100.0, times_faster={"sluggard 1.0": 1.5}, error_below=("sluggard 1.0",))
    yield Case("bad: asleep", sleep(0.01), "a short sleep", sleep(0.001), {"absent": "it needs a compiler"},
               at_most_floors=1.01, times_faster={"absent": 1e9}, threads=2, note="Sleep is hard to hurry.")
    def crash():
        raise ArithmeticError("no answer")
    yield Case("good: a peer that fails", sleep(0.001), peers={"crasher": crash}, times_faster={"crasher": 1e9})
    yield Case("broken: ours fails", crash)
"""


def bench(folder, *words):
    command = [sys.executable, str(BENCH), f"--folder={folder}", "--rounds=3", "--seconds=0.2", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("bench")
    (made / "cases_sleep.py").write_text(CASES)
    return made


@pytest.fixture(scope="module")
def everything(folder):
    """All cases of the folder, measured once."""
    return bench(folder, f"--json={folder / 'results.json'}"), folder / "results.json"


def test_a_missed_bound_is_told_and_is_the_exit_status(everything):
    done, kept = everything
    assert done.returncode == 1, done.stderr
    bad = done.stdout.split("bad: asleep")[1].split("good: a peer")[0]
    assert "[MISSED] at most 1.01 x a short sleep" in bad
    assert "[not judged] at least 1e+09 x faster than absent" in bad
    assert "absent: did not run: it needs a compiler" in bad
    assert "note: Sleep is hard to hurry." in bad
    good = done.stdout.split("good: asleep")[1].split("bad: asleep")[0]
    assert good.count("[met]") == 4
    assert "MISSED" not in good
    assert "4 cases, 2 with a missed bound" in done.stdout
    cases = json.loads(kept.read_text())["cases"]
    assert cases["bad: asleep"]["about"]["threads"] == 2
    assert len(cases["good: asleep"]["seconds"]["ours"]) == 3


def test_what_fails_is_told_and_ours_failing_is_a_miss(everything):
    done, _ = everything
    assert "crasher: did not run: ArithmeticError: no answer" in done.stdout
    assert "[MISSED] it runs: status 1, ArithmeticError: no answer" in done.stdout


def test_a_selection_alone_decides_and_leaves_the_others_numbers(everything, folder):
    _, kept = everything
    copy = folder / "again.json"
    copy.write_text(kept.read_text())
    before = json.loads(copy.read_text())["cases"]
    done = bench(folder, "GOOD", f"--json={copy}")
    assert done.returncode == 0, done.stdout
    assert "bad: asleep" not in done.stdout
    after = json.loads(copy.read_text())["cases"]
    assert list(after) == list(before)
    assert after["bad: asleep"] == before["bad: asleep"]
    assert after["good: asleep"] != before["good: asleep"]


def test_numbers_of_another_machine_are_not_mixed_with_ours(everything, folder):
    _, kept = everything
    copy = folder / "other.json"
    results = json.loads(kept.read_text())
    results["machine"]["processor"] = "a difference engine"
    copy.write_text(json.dumps(results))
    done = bench(folder, "good", f"--json={copy}")
    assert done.returncode == 2
    assert "another machine" in done.stderr
    assert json.loads(copy.read_text()) == results


def test_an_unknown_name_is_refused_and_the_known_ones_are_told(folder, tmp_path):
    done = bench(folder, "good", "sleepless", f"--json={tmp_path / 'results.json'}")
    assert done.returncode == 2
    assert "no case has 'sleepless' in its name" in done.stderr
    assert "bad: asleep" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_cases_of_one_name_are_refused(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"cases_{name}.py").write_text(
            "from case import Case\ndef cases():\n    yield Case('twin', int)\n"
        )
    done = bench(tmp_path, "--list")
    assert done.returncode == 2
    assert "found 'twin' twice" in done.stderr


def test_runs_take_turns_and_every_other_round_is_reversed():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in ("ours", "floor", "peer")}
    taken = measure.alternate(runs, budget=0.0, rounds=9)
    # The budget is spent at once: three rounds are the fewest.
    assert order == ["ours", "floor", "peer", "peer", "floor", "ours", "ours", "floor", "peer"]
    assert {name: len(seconds) for name, seconds in taken.items()} == dict.fromkeys(runs, 3)


def test_rounds_end_with_the_budget():
    now = iter(range(1000))
    # Each run takes one second of this clock, and each look at it another.
    taken = measure.alternate({"ours": int}, budget=20.0, rounds=100, clock=lambda: float(next(now)))
    assert set(taken["ours"]) == {1.0}
    assert 4 <= len(taken["ours"]) <= 10


def test_memory_is_that_of_the_result_and_of_what_is_held_meanwhile():
    size = 64 * 2**20
    assert memory.peak_extra(lambda: np.ones(size // 8)) == pytest.approx(size, rel=0.05)
    assert memory.peak_extra(lambda: np.ones(size // 8).sum()) == pytest.approx(size, rel=0.05)
    held = np.ones(size // 8)
    assert memory.peak_extra(lambda: held.sum()) < size / 10


def judged(seconds, **changes):
    bounds = {
        "at_most_floors": None, "times_faster": {}, "error_at_most": None, "error_below": [],
        "extra_memory_at_most": None, "per_second_at_least": None,
    }  # fmt: skip
    known = {"memory", "error"}
    about = {"bounds": bounds | {key: value for key, value in changes.items() if key in bounds}}
    about |= {
        "floor_name": "it",
        "error_name": "error",
        "per_second": 10.0,
        "absent": {},
        "note": "",
        "threads": 1,
    }
    measured = {"seconds": seconds, "failed": {}, "memory": {}, "error": {}, "about": about}
    return verdicts.judge(measured | {key: value for key, value in changes.items() if key in known})


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({"at_most_floors": 2.0}, True),
        ({"at_most_floors": 1.9}, False),
        ({"times_faster": {"peer": 3.0}}, True),
        ({"times_faster": {"peer": 3.1}}, False),
        ({"times_faster": {"gone": 3.1}}, None),
        ({"error_at_most": 0.1, "error": {"ours": 0.1}}, True),
        ({"error_at_most": 0.1, "error": {"ours": 0.11}}, False),
        ({"error_at_most": 0.1, "error": {"ours": None}}, False),
        ({"error_below": ["peer"], "error": {"ours": 1.0, "peer": 1.1}}, True),
        ({"error_below": ["peer"], "error": {"ours": 1.0, "peer": 1.0}}, False),
        ({"error_below": ["gone"], "error": {"ours": 1.0}}, None),
        ({"extra_memory_at_most": 100, "memory": {"ours": 100}}, True),
        ({"extra_memory_at_most": 100, "memory": {"ours": 101}}, False),
        ({"per_second_at_least": 5.0}, True),
        ({"per_second_at_least": 5.1}, False),
    ],
)
def test_each_bound_is_judged_at_its_edge(changes, met):
    # Ours takes 2 s, in the median; twice as long as the floor, and the peer three times as long as ours: another
    # program that slowed a whole round down has no say in that.
    seconds = {"ours": [1.0, 2.0, 9.0], "floor": [0.5, 1.0, 4.0], "peer": [3.0, 5.0, 36.0]}
    (verdict,) = judged(seconds, **changes)
    assert verdict.met is met


@pytest.mark.parametrize(
    "bounds",
    [
        {"at_most_floors": 2.0},
        {"times_faster": {"nobody": 2.0}},
        {"error_below": ("nobody",), "error": float},
        {"error_at_most": 1.0},
        {"per_second_at_least": 1.0},
        {"threads": 0},
    ],
)
def test_a_bound_on_what_is_not_there_is_refused(bounds):
    with pytest.raises(ValueError, match="odd"):
        Case("odd", int, **bounds)


def test_the_page_is_what_the_kept_numbers_make():
    results = json.loads(page.KEPT.read_text(encoding="utf-8"))
    assert page.PAGE.read_text(encoding="utf-8") == page.page(results), "make bench-page"


def test_the_kept_numbers_are_of_the_cases_that_there_are():
    results = json.loads(page.KEPT.read_text(encoding="utf-8"))
    done = subprocess.run([sys.executable, str(BENCH), "--list"], capture_output=True, text=True, check=True)
    assert list(results["cases"]) == done.stdout.splitlines()


def test_the_page_lists_what_is_missed_first(everything):
    _, kept = everything
    made = page.page(json.loads(kept.read_text()))
    first = made.split("\n## ")[1]
    assert first.startswith("Missed")
    assert "**bad: asleep**: at most 1.01 x a short sleep" in first
    assert "Sleep is hard to hurry." in first
    assert "good: asleep" not in first
    assert "did not run: it needs a compiler" in made

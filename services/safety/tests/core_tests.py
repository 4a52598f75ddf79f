"""Which modules are the safety logic, and which fast tests hold it: what coverage and mutants are counted over."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
SOURCES = TESTS.parent / "nixel" / "safety"
LOGIC = SOURCES / "core"
CORE = ("declared", "model", "kinds", "interlocks", "tick", "rest", "step", "wrong")
HELD_BY = (
    "test_clock_of_core",
    "test_core",
    "test_core_bypass",
    "test_declared",
    "test_gaps_and_delays",
    "test_kinds",
    "test_kinds_of_two",
    "test_on_time",
    "test_rest",
    "test_sequence",
    "test_what_is_told",
)
HELPERS = ("core_bench",)

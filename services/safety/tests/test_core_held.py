"""How well the tests hold the safety logic: every line and branch of it, and a sample of its mutants."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from core_tests import CORE, HELD_BY, LOGIC, TESTS

ROOT = Path(__file__).parents[3]


def needs(package):
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(
        missing,
        reason=f"no Python package {package} here; requirements/dev.lock has it, `make test` installs it",
    )


def run(command, **more):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280, **more)
    return done.returncode, done.stdout + done.stderr


@needs("coverage")
@pytest.mark.slow
def test_the_tests_of_the_safety_logic_reach_every_line_and_every_branch(tmp_path):
    data, report = tmp_path / "coverage", tmp_path / "coverage.json"
    files = [str(LOGIC / f"{name}.py") for name in CORE]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COVERAGE_FILE": str(data)}
    coverage = [sys.executable, "-m", "coverage"]
    tests = [str(TESTS / f"{name}.py") for name in HELD_BY]
    code, said = run(
        [
            *coverage,
            "run",
            "--branch",
            f"--include={','.join(files)}",
            "-m",
            "pytest",
            "-q",
            "--hypothesis-seed=0",
            *tests,
        ],
        env=here,
    )
    assert code == 0, said
    code, said = run([*coverage, "json", "-q", "-o", str(report)], env=here)
    assert code == 0, said
    found = json.loads(report.read_text())["files"]
    assert {Path(name).stem for name in found} == set(CORE)
    missed = {
        name: (file["missing_lines"], file["missing_branches"])
        for name, file in found.items()
        if file["missing_lines"] or file["missing_branches"]
    }
    assert missed == {}, "lines and branches (from, to) that no test reaches"


@needs("mutmut")
@pytest.mark.slow
def test_a_sample_of_the_mutants_of_the_safety_logic_is_killed(tmp_path):
    code, said = run([sys.executable, str(ROOT / "tools" / "mutants"), "--sample", "--folder", str(tmp_path)])
    assert code == 0, said[-4000:]

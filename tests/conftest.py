"""Fixtures of the whole-system tests."""

from contextlib import ExitStack

import pytest
from whole_system import INSTRUMENT, Control, Service, patient_bench


@pytest.fixture
def bench():
    with patient_bench(INSTRUMENT) as running:
        yield running


@pytest.fixture
def front_panel(bench):
    control = Control(bench.endpoints["daq.control"])
    yield control
    control.close()


@pytest.fixture
def service(bench, tmp_path):
    with ExitStack() as stack:
        running = Service(bench, tmp_path / "data")
        stack.callback(running.close)
        running.start()
        yield running

"""A running service for the tests of a module."""

from contextlib import ExitStack

import pytest
from whole_system import INSTRUMENT, Service

from nixel.imaging.virtual_bench import VirtualBench


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory):
    """A simulated bench and the imaging service as a process around it."""
    with VirtualBench(INSTRUMENT) as bench, ExitStack() as stack:
        service = Service(bench, tmp_path_factory.mktemp("service") / "data")
        stack.callback(service.close)
        yield bench, service.start()

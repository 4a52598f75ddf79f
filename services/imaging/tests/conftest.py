"""A running service for the tests of a module, and a browser before a service whose answers are set by hand."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from whole_system import INSTRUMENT, Service, patient_bench

WEB = Path(__file__).parents[1] / "web"


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory):
    """A simulated bench and the imaging service as a process around it."""
    with patient_bench(INSTRUMENT) as bench, ExitStack() as stack:
        service = Service(bench, tmp_path_factory.mktemp("service") / "data")
        stack.callback(service.close)
        yield bench, service.start()


@pytest.fixture(scope="module")
def browser():
    """A real Chromium."""
    from page_checks import chromium, find_chromium

    executable = find_chromium()
    if executable is None:
        pytest.skip("Chromium is missing: apt-get install chromium, or name one with NIXEL_CHROMIUM")
    with chromium(executable) as browser:
        yield browser


@pytest.fixture(scope="module")
def dist():
    """The built page."""
    if not (WEB / "dist/index.html").is_file():
        pytest.skip("the page is not built: make page (needs Node 20.19 or newer)")
    return WEB / "dist"


@pytest.fixture
def service(dist):
    """A service whose answers are set by hand, before the built page."""
    from canned_service import CannedService, run

    service = CannedService(dist)
    service.add(
        run(1, "calibration"), run(2, picture_ids=[1]), run(3, state="failed", message="the coil was too hot")
    )
    yield service
    service.silent.clear()
    service.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    yield context.new_page()
    context.close()


@pytest.fixture
def watcher():
    """Start `nixel devices watch`; all end with the test."""
    from devices_command import Watcher

    watchers = []

    def watch(*arguments):
        watchers.append(Watcher(*arguments))
        return watchers[-1]

    yield watch
    for one in watchers:
        one.close()

"""`nixel devices` before a real service and the virtual microscope."""

import json

import pytest
from devices_command import device, nixel, nixel_process, own_devices, values
from whole_system import Service, patient_bench

INSTRUMENT = "virtual-microscope"


@pytest.fixture(scope="module")
def bench():
    with patient_bench(INSTRUMENT) as bench:
        yield bench


@pytest.fixture(scope="module")
def service(bench, tmp_path_factory):
    service = Service(bench, tmp_path_factory.mktemp("service") / "data", INSTRUMENT)
    yield service.start()
    service.close()


def test_camera_and_light_say_what_they_are(service, bench):
    # The service keeps the devices for a moment after it was asked, so that it comes second.
    for ask, *whom in ((nixel_process, *own_devices(bench, INSTRUMENT)), (nixel, "--url", service.url)):
        done = ask("list", "--json", *whom)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["simulated"] is True
        assert "camera" in device(answer, "camera")["kinds"]
        assert "light" in device(answer, "light")["kinds"]
        assert values(answer, "camera")["exposure"] == 0.002
        assert values(answer, "light")["on"] is False


def test_an_exposure_that_is_set_reaches_who_watches(service, watcher):
    one = watcher("--interval", "200 ms", "--url", service.url)
    one.heard("camera.exposure: 0.002 s")
    done = nixel("set", "camera.exposure", "5 ms", "--url", service.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "camera.exposure is 0.005 s (it was 0.002 s)\n"
    one.heard("camera.exposure: 0.005 s (it was 0.002 s)")


def test_the_light_is_switched_by_nobody_here(service):
    done = nixel("set", "light.on", "on", "--url", service.url)
    assert done.returncode == 2
    assert "light.on is read-only" in done.stderr

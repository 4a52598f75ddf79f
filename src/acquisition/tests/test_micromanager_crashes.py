"""What is not there in Micro-Manager is named, and what happens to its worker process is told and survived."""

import itertools
import os
import signal

import pytest
from micromanager_bench import (
    CONFIGURED,
    CORE,
    FOLDER,
    LONG,
    PLANE,
    children,
    demo,
    gone,
    instrument,
    opened,
    part,
)

from nixel.acquisition.devices import DeviceError, DevicesError
from nixel.acquisition.opened import open_devices


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ({"a": part(library="Nope", device="N")}, "expected one of the adapters DemoCamera, .*, found Nope"),
        ({"a": demo("DCamera")}, "expected one of DemoCamera's devices DCam, DWheel, .* found DCamera"),
        ({"a": demo("DWheel", properties={"Nope": 1})}, "loading it failed: .*Nope"),
        ({"a": demo("DWheel", "camera")}, "expected a camera, found a state device"),
        ({"a": demo("DStage", "stage", travel=PLANE)}, "expected travel for one axis, found travel for x, y"),
        ({"mm": CORE | {"configuration": "none.cfg"}}, "expected a Micro-Manager configuration file, found none at"),
        ({"mm": CORE | {"adapters": ["/var/empty"]}}, "expected files libmmgr_dal_.* found none in /var/empty"),
        (
            {"mm": CONFIGURED["mm"], "a": part(label="Camra")},
            'expected its label in the configuration file, found No device with label "Camra" .there are DHub, Camera',
        ),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named_and_nothing_stays_behind(devices, message):
    # The first failure of the core itself leaves no worker; a device's failure leaves the core to be closed.
    before = set(children())
    with pytest.raises(DevicesError, match=message), opened(devices):
        pytest.fail("it opened")
    assert set(children()) <= before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Device,Camera,DemoCamera,DCam\nDevice,Laser,Nope,Laser\n",
            'whose devices all answer, found .*"Nope"',
        ),
        ("a letter to somebody\n", "expected lines that name devices, found none in"),
    ],
)
def test_a_configuration_that_fails_is_told_with_the_reason(tmp_path, text, message):
    file = tmp_path / "bench.cfg"
    file.write_text(text)
    before = set(children())
    with pytest.raises(DevicesError, match=message), opened({"mm": CORE | {"configuration": str(file)}}):
        pytest.fail("it opened")
    assert set(children()) <= before


def test_an_adapter_that_does_not_load_is_a_case_for_the_doctor(tmp_path):
    (tmp_path / "libmmgr_dal_Acme.so.0").write_text("no library")
    tables = {"mm": CORE | {"adapters": [FOLDER, str(tmp_path)]}, "a": part(library="Acme", device="Acme")}
    with (
        pytest.raises(
            DevicesError, match=r"expected a library that loads, found .*Acme.* nixel doctor libmmgr_dal_Acme"
        ),
        opened(tables),
    ):
        pytest.fail("it opened")


def test_a_configuration_that_simulates_is_refused_where_nothing_is_simulated():
    with (
        pytest.raises(DevicesError, match=r"expected real devices, because .* is false, found some"),
        open_devices(instrument(CONFIGURED, simulated=False)),
    ):
        pytest.fail("it opened")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_during_a_sequence_fails_the_run_cleanly_and_comes_back(end):
    tables = {name: dict(table) for name, table in CONFIGURED.items()}
    tables["mm"]["timeout"] = "2 s"
    pids = []

    def run():
        with open_devices(instrument(tables)) as devices:
            pids.append(devices["mm"].pid)
            devices["light"].switch(True)
            devices["camera"].start()
            for number in itertools.count():
                assert devices["camera"].frame(LONG).number == number
                if number == 5:
                    os.kill(pids[0], end)

    with pytest.raises(DeviceError) as caught:
        run()
    died = "died of SIGKILL" if end == signal.SIGKILL else "expected an answer within 2 s, found none"
    assert "camera (Camera on mm): taking a frame failed" in str(caught.value)
    assert died in str(caught.value)
    # Only what is left behind is told beside it.
    assert len(caught.value.__notes__) == 1
    assert "the light may still be on" in caught.value.__notes__[0]
    assert gone(pids[0])
    with open_devices(instrument(tables)) as devices:
        devices["camera"].start()
        assert devices["camera"].frame(LONG).number == 0


@pytest.mark.parametrize(
    ("crash", "name"), [("Dereference Null Pointer", "SIGSEGV"), ("Divide by Zero", "SIGFPE")]
)
def test_an_adapter_that_crashes_takes_only_its_worker_down_and_opening_it_again_restarts_it(crash, name):
    with opened({"camera": demo("DCam", "camera"), "light": demo("DShutter", "light")}) as devices:
        core, camera, light = devices["mm"], devices["camera"], devices["light"]
        first = core.pid
        with pytest.raises(DeviceError, match=f"setting SimulateCrash failed: .* died of {name}"):
            camera.set("simulate_crash", crash)
        assert gone(first)
        with pytest.raises(DeviceError, match=r"found none\. Open"):
            light.is_on()
        core.close()
        core.open()
        assert core.pid not in (None, first)
        with pytest.raises(DeviceError, match="expected it open, found it closed"):
            light.is_on()
        light.close()
        light.open()
        camera.open()
        light.switch(True)
        assert camera.snap().pixels.shape == camera.shape

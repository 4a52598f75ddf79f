"""Micro-Manager's demo adapters are devices of ours: cameras, stages, lights, wheels, and presets."""

import contextlib
import itertools
import threading
import time

import numpy as np
import pytest
from micromanager_bench import CONFIGURED, CORE, FOLDER, LONG, SLOW, demo, instrument, opened, pymmcore

from nixel.acquisition.devices import Camera, DeviceError, Light, Stage
from nixel.acquisition.opened import open_devices


@pytest.fixture(scope="module")
def shared():
    with open_devices(instrument(CONFIGURED)) as devices:
        yield devices


@pytest.fixture
def devices(shared):
    """The demo configuration, as it is after opening in what these tests change."""
    camera = shared["camera"]
    with contextlib.suppress(DeviceError):
        camera.stop()
    shared["mm"].apply("System", "Startup")
    camera.set("region", "all")
    camera.set("pixel_type", "16bit")
    camera.set("exposure", 0.005)
    shared["light"].switch(False)
    return shared


def test_they_have_the_protocols_of_all_devices(devices):
    assert set(devices.every(Camera)) == {"camera"}
    assert set(devices.every(Stage)) == {"plane", "focus"}
    assert set(devices.every(Light)) == {"light"}


def test_a_snapshot_holds_every_property_that_micro_manager_has(devices):
    core = pymmcore.CMMCore()
    core.setDeviceAdapterSearchPaths([FOLDER])
    core.loadDevice("wheel", "DemoCamera", "DWheel")
    core.initializeDevice("wheel")
    held = devices.snapshot()
    assert len(held["dichroic"]) == len(core.getDevicePropertyNames("wheel"))
    assert held["dichroic"]["label"] == "400DCLP"
    assert held["camera"]["exposure"] == 0.005
    assert "MMCore version" in held["mm"]["version"]


def test_properties_keep_type_limits_choices_and_whether_they_can_be_written(devices):
    properties = {prop.name: prop for prop in devices["camera"].properties}
    assert (properties["gain"].kind, properties["gain"].minimum, properties["gain"].maximum) == (
        "integer",
        -5,
        8,
    )
    assert properties["bead_blur_rate"].kind == "number"
    assert properties["pixel_type"].choices == ("16bit", "32bit", "32bitRGB", "64bitRGB", "8bit")
    assert properties["camera_id"].read_only
    assert properties["maximum_exposure_ms"].read_only  # it can be set before it is opened only
    assert properties["exposure"].unit == "s"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gain", 9, "expected an integer from -5 to 8, found 9"),
        ("binning", 3, 'one of 1, 2, 4, 8, not "3"'),
        ("pixel_type", "12bit", "expected one of 16bit"),
        ("camera_id", "mine", "found one that is read-only"),
        ("region", "0, 0, 513, 2", "the sensor has 512 x 512 pixels"),
        ("region", "everything", "expected first column and row"),
    ],
)
def test_what_is_refused_changes_nothing(devices, name, value, message):
    before = devices["camera"].get(name)
    with pytest.raises(DeviceError, match=message):
        devices["camera"].set(name, value)
    assert devices["camera"].get(name) == before


def test_a_sequence_gives_every_frame_once_at_the_rate_of_the_exposure(devices):
    camera, count = devices["camera"], 20
    camera.set("exposure", 0.02)
    began = time.monotonic()
    camera.start()
    frames = [camera.frame(LONG) for _ in range(count)]
    ended = time.monotonic()
    camera.stop()
    assert [frame.number for frame in frames] == list(range(count))
    assert all(frame.pixels.shape == (512, 512) and frame.pixels.dtype == np.uint16 for frame in frames)
    assert all(began - 0.02 <= frame.time <= ended for frame in frames)
    assert frames[-1].time - frames[0].time >= 0.9 * (count - 1) * 0.02
    # The demo camera's waves move.
    assert all((a.pixels != b.pixels).any() for a, b in itertools.pairwise(frames))


@pytest.mark.parametrize(("pixels", "bits", "size"), [("8bit", 8, 1), ("16bit", 16, 2)])
def test_binning_region_and_pixel_type_make_the_frame(devices, pixels, bits, size):
    camera = devices["camera"]
    camera.set("pixel_type", pixels)
    camera.set("binning", 2)
    camera.set("region", "16, 32, 64, 48")
    assert (camera.shape, camera.bits) == ((48, 64), bits)
    frame = camera.snap()
    assert (frame.pixels.shape, frame.pixels.dtype.itemsize) == ((48, 64), size)
    camera.start()
    assert camera.frame(LONG).pixels.shape == (48, 64)
    camera.stop()


def test_eight_bits_in_two_bytes_are_eight_bits(devices):
    camera = devices["camera"]
    camera.set("bit_depth", 16)
    assert camera.snap().pixels.dtype == np.uint16
    camera.set("bit_depth", 8)
    assert (camera.bits, camera.snap().pixels.dtype) == (8, np.uint8)


def test_pixels_in_colour_are_refused(devices):
    devices["camera"].set("pixel_type", "32bitRGB")
    for take in (devices["camera"].start, devices["camera"].snap):
        with pytest.raises(
            DeviceError, match=r"4 components in 4 bytes a pixel\. Set its pixel type to 8 or 16 bit"
        ):
            take()


def test_a_camera_that_was_not_started_gives_no_frame_and_one_that_was_starts_no_second_time(devices):
    camera = devices["camera"]
    with pytest.raises(DeviceError, match="takes no sequence"):
        camera.frame(0.1)
    camera.set("exposure", 1.0)
    camera.start()
    with pytest.raises(DeviceError, match='"Camera" of this core takes a sequence already'):
        camera.start()
    with pytest.raises(DeviceError, match=r"expected one within 0\.01 s, found none"):
        camera.frame(0.01)
    assert camera.frame(LONG).number == 0
    camera.stop()


def test_a_frame_that_the_buffer_cannot_hold_ends_the_sequence_with_the_counts():
    devices = {
        "mm": CORE | {"buffer": "2 MiB"},
        "camera": demo("DCam", "camera", properties={"PixelType": "16bit"}),
    }
    with open_devices(instrument(devices)) as opened:
        camera = opened["camera"]
        camera.set("exposure", 0.001)
        camera.start()
        time.sleep(2)  # four frames fit
        numbers = []
        with pytest.raises(DeviceError) as caught:
            numbers.extend(camera.frame(LONG).number for _ in range(100))
        assert numbers == [0, 1, 2, 3]
        assert "4 frames handed over, the last number 3; the buffer of 4 frames was full" in str(caught.value)
        camera.stop()
        camera.start()
        assert camera.frame(LONG).number == 0


def test_a_stage_moves_in_metres_and_leaves_the_other_axis(devices):
    plane, focus = devices["plane"], devices["focus"]
    plane.move(x=1e-3, y=-2e-3)
    plane.move(x=-1e-3)
    assert plane.position() == pytest.approx({"x": -1e-3, "y": -2e-3}, abs=2e-8)
    focus.move(z=12.5e-6)
    assert focus.position() == pytest.approx({"z": 12.5e-6})
    assert focus.get("position_z") == pytest.approx(12.5e-6)
    for stage, goal, message in (
        (plane, {"x": 0.0, "y": 0.011}, "expected y within -0.01 m to 0.01 m, found 0.011 m"),
        (focus, {"x": 0.0}, "expected the axes z, found x"),
    ):
        before = stage.position()
        with pytest.raises(DeviceError, match=message):
            stage.move(**goal)
        assert stage.position() == before


def test_a_stage_that_stays_busy_is_halted_and_others_are_heard_meanwhile():
    with opened({"stage": SLOW | {"timeout": "1 s"}, "light": demo("DShutter", "light")}) as devices:
        stage, light = devices["stage"], devices["light"]
        told = []

        def move():
            try:
                stage.move(x=1e-3)  # 100 s
            except DeviceError as error:
                told.append(str(error))

        thread = threading.Thread(target=move)
        began = time.monotonic()
        thread.start()
        light.switch(True)
        assert light.is_on()
        assert time.monotonic() - began < 1
        thread.join(LONG)
        assert "expected it done within 1 s, found stage busy" in told[0]
        assert 0 < stage.position()["x"] < 1e-3
        assert stage.position() == stage.position()
        stage.move(x=stage.position()["x"])  # it goes on


def test_a_movement_can_be_halted_from_another_thread():
    with opened({"stage": SLOW}) as devices:
        stage = devices["stage"]
        timer = threading.Timer(0.5, stage.halt)
        timer.start()
        began = time.monotonic()
        with pytest.raises(DeviceError, match=r"expected x 0\.001 m, y 0 m, found x"):
            stage.move(x=1e-3)
        assert time.monotonic() - began < 20
        timer.join()


def test_a_light_is_off_when_opened_and_when_closed(devices):
    light = devices["light"]
    light.set("on", True)
    assert light.is_on()
    assert light.get("state") == 1
    light.close()
    light.open()
    assert not light.is_on()


def test_no_snapshot_opens_a_shutter_by_itself(devices):
    assert devices["mm"].get("auto_shutter") == 0


def test_presets_of_the_configuration_are_properties_of_the_core(devices):
    core = devices["mm"]
    core.set("preset_channel", "FITC")
    assert devices["dichroic"].get("label") == "Q505LP"
    assert core.get("preset_channel") == "FITC"
    devices["dichroic"].set("label", "State-9")
    assert core.get("preset_channel") == ""
    assert core.groups()["Channel"] == ("Cy5", "DAPI", "FITC", "Rhodamine")
    with pytest.raises(DeviceError, match="expected one of Cy5, DAPI, FITC, Rhodamine, found 'GFP'"):
        core.set("preset_channel", "GFP")
    with pytest.raises(
        DeviceError, match="setting Channel to GFP failed: expected a preset of the configuration"
    ):
        core.apply("Channel", "GFP")


def test_devices_are_loaded_without_a_configuration_on_their_hub():
    wheel = demo("DStateDevice", hub="hub", properties={"Number of positions": 4, "Label": "State-2"})
    with opened({"hub": demo("DHub"), "wheel": wheel}) as devices:
        assert devices["wheel"].get("number_of_positions") == 4
        assert devices["wheel"].get("state") == 2


def test_a_sequence_of_useq_runs_over_them(devices):
    useq = pytest.importorskip("useq", reason="useq-schema is missing (pip install useq-schema)")
    sequence = useq.MDASequence(
        axis_order="tpcz",
        time_plan={"interval": 0, "loops": 2},
        stage_positions=[(100, 50), (-100, 50)],
        channels=[{"config": "DAPI", "exposure": 5}, {"config": "FITC", "exposure": 10}],
        z_plan={"range": 4, "step": 2},
    )
    camera, light = devices["camera"], devices["light"]
    seen = []
    for event in sequence:
        devices["plane"].move(x=event.x_pos * 1e-6, y=event.y_pos * 1e-6)
        devices["focus"].move(z=event.z_pos * 1e-6)
        devices["mm"].apply(event.channel.group, event.channel.config)
        camera.set("exposure", event.exposure * 1e-3)
        light.switch(True)
        camera.start()
        frame = camera.frame(LONG)
        camera.stop()
        light.switch(False)
        where = devices["plane"].position() | devices["focus"].position()
        seen.append(
            (
                *(round(where[axis] * 1e6) for axis in "xyz"),
                devices["dichroic"].get("label"),
                frame.pixels.shape,
            )
        )
    filters = {"DAPI": "400DCLP", "FITC": "Q505LP"}
    assert seen == [
        (x, 50, z, filters[c], (512, 512))
        for _ in range(2)
        for x in (100, -100)
        for c in filters
        for z in (-2, 0, 2)
    ]

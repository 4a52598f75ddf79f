"""Temperature and humidity: sensors over their wires, and their record beside a run, whatever becomes of them."""

import json
import math
import threading
import time
from datetime import UTC, datetime

import h5py
import pytest
from pydantic import ValidationError

from nixel.acquisition.adapters.kernel_sensor import KernelSensor, KernelSensorAdapter
from nixel.acquisition.adapters.line_sensor import LineSensor, LineSensorAdapter
from nixel.acquisition.adapters.scpi import ScpiConnection
from nixel.acquisition.adapters.scpi_sensor import ScpiSensor, ScpiSensorAdapter
from nixel.acquisition.devices import Channel, DeviceError, Sensor
from nixel.acquisition.instrument import Instrument
from nixel.acquisition.protocol import ScanProtocol
from nixel.acquisition.scan import measure
from nixel.acquisition.slow import SlowRecorder, SteppedRecorder, recorded_in
from nixel.acquisition.virtual.environment import Environment, room

LIMIT = 20.0
CHANNELS = {"temperature": "degC", "humidity": "percent"}


def until(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- on a serial line ---


def line_settings(path, **changes):
    given = {"adapter": "line-sensor", "path": str(path), "timeout": "500 ms", "channels": CHANNELS}
    return LineSensor.model_validate(given | changes)


@pytest.fixture
def wire(new_serial):
    return new_serial("environment", "--seed", "3")


@pytest.fixture
def sensor(wire):
    sensor = LineSensorAdapter("room", line_settings(wire.link))
    sensor.open()
    yield sensor
    sensor.close()


def test_a_serial_sensor_measures_anew_each_time(sensor, wire):
    assert isinstance(sensor, Sensor)
    assert sensor.channels == (Channel("temperature", "degC"), Channel("humidity", "percent"))
    wire.hand("room 30 55")
    temperature, humidity = sensor.read()
    # Half a kelvin of swing, and noise of 0.02 K and 0.1 percent.
    assert temperature == pytest.approx(30, abs=0.7)
    assert humidity == pytest.approx(55, abs=1)
    wire.hand("room 10 20")
    assert sensor.get("temperature") == pytest.approx(10, abs=0.7)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("fault", "one number each for temperature, humidity, found 'nan,nan'"),
        ("garbage", "text"),
        ("cut", "without an end"),
        ("silent", "no answer"),
        ("unplug", "plugged in"),
    ],
)
def test_a_serial_sensor_that_fails_is_an_error_and_no_value(sensor, wire, fault, found):
    wire.hand(fault)
    with pytest.raises(DeviceError, match=found):
        sensor.read()


def test_another_number_of_values_is_refused(wire):
    sensor = LineSensorAdapter("room", line_settings(wire.link, channels={"temperature": "degC"}))
    with pytest.raises(DeviceError, match="one number each for temperature, found"):
        sensor.open()


def test_a_request_that_the_board_does_not_know_is_refused(wire):
    sensor = LineSensorAdapter("room", line_settings(wire.link, request="T?"))
    with pytest.raises(DeviceError, match=r"T. failed: .*found 'ERR'"):
        sensor.open()


@pytest.mark.parametrize("changes", [{"channels": {}}, {"channels": {"Air T": "degC"}}, {"timeout": "0 s"}])
def test_wrong_settings_of_a_serial_sensor_are_refused(changes):
    with pytest.raises(ValidationError):
        line_settings("/dev/ttyUSB0", **changes)


def test_the_simulated_room_swings_by_half_a_kelvin_in_ten_minutes():
    now = [0.0]
    room = Environment(seed=1, clock=lambda: now[0])
    found = []
    for now[0] in (0.0, 150.0, 450.0):
        found.append(float(room.answer("READ?").split(",")[0]))
    # Five standard deviations of its noise.
    assert found == pytest.approx([22.5, 23.0, 22.0], abs=0.1)


def test_the_simulated_room_is_a_function_of_seed_and_moment():
    assert room(3, 1.5) == room(3, 1.5)
    assert room(3, 1.5) != room(4, 1.5)
    assert room(3, 1.5) != room(3, 1.502)


# --- on a DAQ's control connection ---


@pytest.fixture
def control(scanner):
    connection = ScpiConnection(scanner.ready["control"], 2.0, "daq")
    with connection:
        yield connection


def daq_sensor(control, **changes):
    given = {"adapter": "scpi-sensor", "daq": "daq", "query": "ENVironment?", "channels": CHANNELS}
    return ScpiSensorAdapter("room", ScpiSensor.model_validate(given | changes), control)


def test_a_sensor_of_the_daq_measures(control):
    sensor = daq_sensor(control)
    sensor.open()
    assert isinstance(sensor, Sensor)
    assert sensor.read() == pytest.approx((22.5, 42.0), abs=1)
    assert sensor.get("humidity") == pytest.approx(42.0, abs=1)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"channels": {"temperature": "degC"}}, "one number each for temperature, found '"),
        ({"query": "*IDN?"}, "one number each for temperature, humidity, found 'nixel"),
        ({"query": "HUMidity?"}, "there is no command 'HUMidity"),
    ],
)
def test_a_sensor_that_the_daq_does_not_have_is_an_error(control, changes, found):
    with pytest.raises(DeviceError, match=found):
        daq_sensor(control, **changes).open()


# --- of the kernel ---


@pytest.fixture
def devices(tmp_path):
    """A folder as the kernel shows it: two devices of its Industrial I/O."""
    for number, (name, files) in enumerate(
        {
            "dht11": {"in_temp_input": "21900\n", "in_humidityrelative_input": "48700\n"},
            "si7020": {
                "in_temp_raw": "6500\n",
                "in_temp_offset": "-4368\n",
                "in_temp_scale": "10.725097656\n",
            },
        }.items()
    ):
        folder = tmp_path / f"iio:device{number}"
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        for file, text in files.items():
            (folder / file).write_text(text)
    (tmp_path / "trigger0").mkdir()
    return tmp_path


def kernel_sensor(folder, device="dht11"):
    return KernelSensorAdapter(
        "room",
        KernelSensor.model_validate({"adapter": "kernel-sensor", "folder": str(folder), "device": device}),
    )


def test_a_driver_of_the_kernel_is_read_in_degrees_and_percent(devices):
    sensor = kernel_sensor(devices)
    sensor.open()
    assert isinstance(sensor, Sensor)
    assert sensor.channels == (Channel("temperature", "degC"), Channel("humidity", "percent"))
    assert sensor.read() == pytest.approx((21.9, 48.7))
    (devices / "iio:device0" / "in_temp_input").write_text("22500\n")
    assert sensor.get("temperature") == pytest.approx(22.5)
    sensor.close()
    with pytest.raises(DeviceError, match="a closed one"):
        sensor.read()


def test_raw_values_have_their_offset_and_scale(devices):
    sensor = kernel_sensor(devices, "si7020")
    sensor.open()
    # The data sheet of the Si7020: 175.72 code / 65536 - 46.85 degrees, of 14-bit codes here.
    assert sensor.read() == pytest.approx((175.72 * 6500 / 16384 - 46.85,), abs=0.01)


def test_hardware_monitoring_is_understood(tmp_path):
    (tmp_path / "hwmon3").mkdir()
    for file, text in {"name": "sht3x", "temp1_input": "20125", "humidity1_input": "51500"}.items():
        (tmp_path / "hwmon3" / file).write_text(f"{text}\n")
    sensor = kernel_sensor(tmp_path, "sht3x")
    sensor.open()
    assert sensor.read() == pytest.approx((20.125, 51.5))


def test_a_reading_that_fails_once_is_tried_again(devices):
    sensor = kernel_sensor(devices)
    sensor.open()
    file = devices / "iio:device0" / "in_temp_input"
    file.write_text("")  # as for a moment while it fails
    threading.Timer(0.05, lambda: file.write_text("20000\n")).start()
    assert sensor.read()[0] == 20.0


@pytest.mark.parametrize("text", ["", "nan\n", "inf\n", "warm\n"])
def test_a_driver_that_gives_nonsense_is_an_error(devices, text):
    sensor = kernel_sensor(devices)
    sensor.open()
    (devices / "iio:device0" / "in_temp_input").write_text(text)
    with pytest.raises(
        DeviceError, match="reading in_temp failed: expected a number from its driver in 3 tries"
    ):
        sensor.read()


def test_a_device_that_is_not_there_is_named_with_those_that_are(devices):
    with pytest.raises(DeviceError, match=r"name is bme280, found iio:device0 .dht11., iio:device1 .si7020."):
        kernel_sensor(devices, "bme280").open()
    (devices / "iio:device1" / "name").write_text("dht11\n")
    with pytest.raises(DeviceError, match="expected one device whose name is dht11"):
        kernel_sensor(devices).open()
    with pytest.raises(DeviceError, match="expected a folder of devices, found No such file"):
        kernel_sensor(devices / "none").open()
    for file in (devices / "iio:device0").glob("in_*"):
        file.unlink()
    (devices / "iio:device1" / "name").write_text("si7020\n")
    with pytest.raises(DeviceError, match="a temperature or a humidity"):
        kernel_sensor(devices).open()


# --- the record ---


class FakeSensor:
    """Counts, and fails as it is told."""

    channels = (Channel("count", "1"),)

    def __init__(self):
        self.count, self.failing, self.opened, self.dwell = 0, False, 0, None

    def open(self):
        self.opened += 1

    def close(self):
        pass

    def read(self):
        if self.dwell is not None:
            self.dwell.wait(LIMIT)
        if self.failing:
            raise DeviceError("reading", where="fake", expected="a value", found="none", remedy="Mend it.")
        self.count += 1
        return (float(self.count),)


def recorded(recorder, name="fake"):
    return recorder.result()["sensors"][name]


def test_a_record_has_a_reading_at_both_ends_and_every_interval():
    sensor = FakeSensor()
    with SlowRecorder({"fake": sensor}, interval=0.05) as recorder:
        until(lambda: sensor.count >= 5)
    track = recorded(recorder)
    assert track["channels"] == [{"name": "count", "unit": "1"}]
    assert track["values"] == [[float(n)] for n in range(1, sensor.count + 1)]
    assert len(track["times"]) == sensor.count
    assert track["times"] == sorted(track["times"])
    assert track["events"] == []


def test_a_run_shorter_than_the_interval_still_has_both_ends():
    sensor = FakeSensor()
    start = time.monotonic()
    with SlowRecorder({"fake": sensor}, interval=60.0) as recorder:
        until(lambda: sensor.count)
    assert time.monotonic() - start < LIMIT
    assert recorded(recorder)["values"] == [[1.0], [2.0]]


def test_a_sensor_that_fails_is_missing_with_the_reason_and_is_opened_again():
    good, bad = FakeSensor(), FakeSensor()
    with SlowRecorder({"good": good, "bad": bad}, interval=0.02) as recorder:
        until(lambda: bad.count)
        bad.failing = True
        until(lambda: None in recorded(recorder, "bad")["values"])
        assert bad.opened <= 1
        bad.failing = False
        until(lambda: recorded(recorder, "bad")["values"][-1])
    track = recorded(recorder, "bad")
    assert bad.opened >= 1
    what = [event["what"] for event in track["events"]]
    assert what[0] == "no reading: fake: reading failed: expected a value, found none. Mend it."
    assert what[-1] == "it was opened again"
    assert all(recorded(recorder, "good")["values"])


def test_a_sensor_with_a_fault_of_its_program_does_not_end_the_record():
    class Wrong(FakeSensor):
        def read(self):
            raise KeyError("x")

    good = FakeSensor()
    with SlowRecorder({"wrong": Wrong(), "good": good}, interval=0.02) as recorder:
        until(lambda: good.count >= 3)
    assert recorded(recorder, "wrong")["events"][0]["what"] == "no reading: KeyError: 'x'"
    assert set(map(type, recorded(recorder, "wrong")["values"])) == {type(None)}


def test_a_sensor_that_never_answers_does_not_keep_a_run_from_ending(monkeypatch):
    monkeypatch.setattr("nixel.acquisition.slow._PATIENCE", 0.1)
    stuck = FakeSensor()
    stuck.dwell = threading.Event()
    with SlowRecorder({"stuck": stuck}, interval=0.02) as recorder:
        pass
    assert "not over 0.1 s after the run" in recorded(recorder, "stuck")["events"][0]["what"]
    stuck.dwell.set()


def test_an_instrument_without_sensors_leaves_no_record(tmp_path):
    with SlowRecorder({}) as recorder:
        recorder.keep_in(tmp_path)
    assert recorder.result()["sensors"] == {}
    assert recorded_in(tmp_path) is None
    assert not [*tmp_path.iterdir()]


def test_a_record_is_kept_reading_by_reading_and_survives_what_a_crash_cuts(tmp_path):
    sensor = FakeSensor()
    with SlowRecorder({"fake": sensor}, interval=0.02) as recorder:
        until(lambda: sensor.count >= 2)  # before there is a folder
        recorder.keep_in(tmp_path)
        sensor.failing = True
        until(lambda: None in recorded_in(tmp_path)["sensors"]["fake"]["values"])
    assert recorded_in(tmp_path) == recorder.result()
    (file,) = tmp_path.iterdir()
    whole = recorded(recorder)["times"]
    file.write_bytes(file.read_bytes()[:-20])
    assert recorded_in(tmp_path)["sensors"]["fake"]["times"] == whole[:-1]


def test_a_record_that_cannot_be_kept_does_not_end_the_run(tmp_path):
    sensor = FakeSensor()
    with SlowRecorder({"fake": sensor}, interval=0.02) as recorder:
        recorder.keep_in(tmp_path / "none")
        until(lambda: sensor.count >= 3)
    assert len(recorded(recorder)["values"]) == sensor.count


def test_a_line_that_comes_back_is_recorded_again(sensor, wire):
    with SlowRecorder({"room": sensor}, interval=0.05) as recorder:
        until(lambda: recorded(recorder, "room")["values"])
        wire.hand("unplug")
        until(lambda: None in recorded(recorder, "room")["values"])
        wire.hand("plug")
        until(lambda: recorded(recorder, "room")["values"][-1])
    what = [event["what"] for event in recorded(recorder, "room")["events"]]
    assert any("plugged in" in text for text in what)
    assert "it was opened again" in what


def test_beside_a_simulated_scanner_sensors_are_read_by_its_clock(tmp_path):
    now, sensor = [100.0], FakeSensor()
    clock = {"clock": lambda: now[0], "start": lambda: datetime(2000, 1, 1, tzinfo=UTC)}
    with SteppedRecorder({"fake": sensor}, interval=5.0, **clock) as recorder:
        recorder.keep_in(tmp_path)
        assert recorder.look() == 5.0
        for now[0] in (104.9, 105.5, 109.0, 123.0):
            recorder.look()
    # At the start, once in each interval in which somebody looked after it was over, and at the end.
    assert recorded(recorder)["times"] == [0.0, 5.5, 23.0, 23.0]
    assert recorder.result()["start"] == "2000-01-01T00:00:00+00:00"
    assert recorded_in(tmp_path) == recorder.result()


def test_without_sensors_nobody_has_to_look():
    def clock():
        raise AssertionError

    recorder = SteppedRecorder({}, clock=clock, start=lambda: datetime.now(UTC))
    assert recorder.look() == math.inf


def test_the_environment_of_a_simulated_scan_is_the_same_again(scanner, safety, tmp_path):
    protocol = ScanProtocol(subject="stenosis", frames=2, background_frames=1, averages=10, seed=5)
    found = []
    for name in ("one.mdf", "two.mdf"):
        measure(
            scanner.instrument, protocol, path=tmp_path / name, safety=safety, provenance={"software": "t"}
        )
        with h5py.File(tmp_path / name) as file:
            found.append(json.loads(file["_nixel/environment"][()]))
    assert found[0] == found[1]
    assert found[0]["start"].startswith("2000-01-01")
    track = found[0]["sensors"]["environment"]
    # It lasts as long as the samples do, and a reading at its end is another than that at its beginning.
    assert track["times"][0] == 0.0
    assert track["times"][-1] > 2.0
    assert track["values"][0] != track["values"][-1]
    assert (tmp_path / "one.mdf").read_bytes() == (tmp_path / "two.mdf").read_bytes()


def test_a_dataset_has_the_environment_of_its_run(scanner, safety, wire, tmp_path):
    tables = scanner.instrument.model_dump(mode="json", exclude_none=True)
    tables["devices"]["room"] = line_settings(wire.link).model_dump(mode="json")
    instrument = Instrument.model_validate(tables)
    protocol = ScanProtocol(subject="stenosis", frames=2, background_frames=1, averages=10, seed=5)
    measure(instrument, protocol, path=tmp_path / "run.mdf", safety=safety, provenance={"software": "test"})
    with h5py.File(tmp_path / "run.mdf") as file:
        environment = json.loads(file["_nixel/environment"][()])
        devices = json.loads(file["_nixel/devices"][()])
    track = environment["sensors"]["room"]
    assert [channel["unit"] for channel in track["channels"]] == ["degC", "percent"]
    assert len(track["values"]) >= 2
    assert track["values"][0] == pytest.approx([22.5, 42.0], abs=1)
    assert devices["room"]["temperature"] == pytest.approx(22.5, abs=1)

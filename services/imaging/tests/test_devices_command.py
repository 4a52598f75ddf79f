"""`nixel devices` and its routes before a real service and the virtual scanner: live, and in nobody's way."""

import json
import os
import re
import time
from pathlib import Path

import httpx
import pytest
from devices_command import device, nixel, nixel_process, own_devices, values
from lamp import HOSTILE_NAME, HOSTILE_VALUE, LampServer
from sqlalchemy import select
from whole_system import INSTRUMENT, SMALL_CALIBRATION, Control, Service, patient_bench, wait_until

from nixel.acquisition.instrument_file import path_of
from nixel.imaging.store import Database, DataFolder, Event

# Half a minute of measuring, of which we see the beginning.
LONG = {"frames": 5000, "averages": 10, "seed": 6}


@pytest.fixture(scope="module")
def lamp():
    lamp = LampServer()
    yield lamp
    lamp.unplug()


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """An installed package that brings the lamp's adapter, for every process that is started."""
    folder = tmp_path_factory.mktemp("packages")
    information = folder / "lamp-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: lamp\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[nixel.adapters]\nlamp = lamp:ADAPTER\n")
    with pytest.MonkeyPatch.context() as patch:
        own, theirs = str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), own, theirs))))
        yield folder


@pytest.fixture(scope="module")
def instrument(packages, lamp):
    """The virtual scanner with the lamp beside it."""
    path = packages / "scanner-and-lamp.toml"
    device = f'[devices.lamp]\nadapter = "test-lamp"\naddress = "{lamp.address}"\n\n[devices.robot]'
    path.write_text(path_of(INSTRUMENT).read_text().replace("[devices.robot]", device))
    return path


@pytest.fixture(scope="module")
def bench(packages):
    with patient_bench(INSTRUMENT) as bench:
        bench.arm()
        yield bench


@pytest.fixture(scope="module")
def service(bench, instrument, tmp_path_factory):
    service = Service(bench, tmp_path_factory.mktemp("service") / "data", instrument)
    yield service.start()
    service.close()


@pytest.fixture
def http(service):
    with httpx.Client(base_url=f"{service.url}/api/v1", trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def hand(bench):
    control = Control(bench.endpoints["daq.control"])
    yield control
    assert control.ask("ROB:MOV 0,0") == "0"
    control.close()


def connections_to(address):
    """Established connections to an address, as the kernel counts them."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(port) and row[3] == "01" for row in rows)


def test_the_table_has_every_device_with_its_adapter_place_state_and_values(service, bench):
    done = nixel("list", "--url", service.url)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Devices of virtual-scanner (simulated)"
    assert lines[1].split() == ["device", "adapter", "where", "state", "property", "value"]
    control = re.escape(bench.endpoints["daq.control"])
    for row in (
        rf"daq +scpi-daq +{control} +answers +sample_rate +2500000\.0 Hz",
        r" +ready +false",
        rf"robot +scpi-robot +on daq at {control} +answers +position_x +0\.0 m",
        r"lamp +test-lamp +127\.0\.0\.1:\d+ +answers +brightness +0\.25 s",
    ):
        assert any(re.fullmatch(row, line) for line in lines), f"{row} is not in:\n{done.stdout}"


def test_programs_get_the_same_with_types_units_and_ranges(service):
    answer = json.loads(nixel("list", "--json", "--url", service.url).stdout)
    assert answer["simulated"] is True
    assert answer["held_by"] == ""
    assert [(one["name"], one["kinds"]) for one in answer["devices"]] == [
        ("daq", ["daq"]),
        ("lamp", ["light"]),
        ("robot", ["stage"]),
        ("environment", ["sensor"]),
    ]
    brightness = device(answer, "lamp")["properties"][0]
    assert brightness == {
        "name": "brightness",
        "kind": "number",
        "unit": "s",
        "description": "how long it burns",
        "minimum": 0.0,
        "maximum": 1.0,
        "choices": [],
        "read_only": False,
        "value": 0.25,
        "text": "0.25 s",
        "error": "",
    }
    assert all(prop["read_only"] for prop in device(answer, "daq")["properties"]), (
        "what drives coils is a run's"
    )


def test_without_a_service_the_command_opens_the_devices_itself(bench, instrument, lamp):
    answer = json.loads(nixel_process("list", "--json", *own_devices(bench, instrument)).stdout)
    assert values(answer, "daq")["sample_rate"] == 2.5e6
    assert values(answer, "lamp")["steps"] == 3
    wait_until(lambda: lamp.connections <= 1, what="the command's connection closed")


def test_with_neither_a_service_nor_an_instrument_the_way_out_is_told():
    done = nixel("list", "--url", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no imaging service answers at http://127.0.0.1:9" in done.stderr
    assert "--instrument" in done.stderr


def test_a_change_at_the_device_reaches_two_watchers(service, watcher, hand):
    watchers = [watcher("--interval", "200 ms", "--url", service.url) for _ in range(2)]
    for one in watchers:
        assert one.heard("robot.position_x").endswith("robot.position_x: 0.0 m\n")
    assert hand.ask("ROB:MOV 0.003,-0.002") == "0"
    for one in watchers:
        one.heard("robot.position_x: 0.003 m (it was 0.0 m)")
        one.heard("robot.position_y: -0.002 m (it was 0.0 m)")


def test_a_watcher_follows_devices_that_it_opened_itself(bench, instrument, watcher, hand):
    one = watcher("--interval", "200 ms", *own_devices(bench, instrument))
    one.heard("robot.position_y: 0.0 m")
    assert hand.ask("ROB:MOV 0,0.004") == "0"
    one.heard("robot.position_y: 0.004 m (it was 0.0 m)")


@pytest.mark.parametrize("interval", ["0 s", "1", "2 mm", "1 h"])
def test_a_wrong_interval_is_refused(service, interval):
    done = nixel("watch", "--interval", interval, "--url", service.url)
    assert done.returncode == 2
    assert "expected" in done.stderr


@pytest.mark.parametrize(
    ("target", "text", "key", "held", "shown"),
    [
        ("lamp.brightness", "20 ms", "brightness", "0.02", "0.02 s"),
        ("lamp.on", "on", "on", "1", "true"),
        ("lamp.steps", "-12", "steps", "-12", "-12"),
    ],
)
def test_a_property_is_set_and_read_back(service, lamp, target, text, key, held, shown):
    lamp.held.update(brightness="0.25", on="0", steps="3")
    done = nixel("set", target, text, "--url", service.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{target} is {shown} (it was ")
    assert lamp.held[key] == held


def test_without_a_service_the_command_sets_it_itself(bench, instrument, lamp):
    lamp.held["brightness"] = "0.25"
    done = nixel_process("set", "lamp.brightness", "20 ms", *own_devices(bench, instrument))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "lamp.brightness is 0.02 s (it was 0.25 s)\n"
    assert lamp.held["brightness"] == "0.02"


def test_what_was_set_is_shown_at_once_and_kept_among_the_events(service, http, lamp, watcher):
    lamp.held["brightness"] = "0.25"
    one = watcher("--interval", "60 s", "--url", service.url)
    one.heard("lamp.brightness: 0.25 s")
    answer = http.put("/devices/lamp/brightness", json={"value": "300 ms"})
    assert answer.status_code == 200
    assert answer.json() == {
        "device": "lamp",
        "property": "brightness",
        "before": "0.25 s",
        "asked": "0.3 s",
        "text": "0.3 s",
    }
    assert values(http.get("/devices").json(), "lamp")["brightness"] == 0.3
    one.heard("lamp.brightness: 0.3 s (it was 0.25 s)")
    database = Database(DataFolder(service.data).database)
    with database.session() as session:
        told = session.scalars(select(Event.text).where(Event.kind == "device")).all()
    database.close()
    assert "lamp.brightness was set to 0.3 s (it was 0.25 s)" in told


@pytest.mark.parametrize(
    ("target", "text", "status", "words"),
    [
        ("lamp.brightness", "2 s", 422, "expected a number from 0 to 1 s, found 2"),
        ("lamp.brightness", "0.5", 422, "found the bare number '0.5'"),
        ("lamp.on", "maybe", 422, "expected true or false, found 'maybe'"),
        ("lamp.noise", "1 V", 403, "lamp.noise is read-only"),
        ("lamp.colour", "red", 404, "expected one of lamp's properties (brightness, on, steps"),
        (
            "piano.volume",
            "3",
            404,
            "expected one of the devices of virtual-scanner (daq, lamp, robot, environment)",
        ),
        ("daq.amplitude_0", "1 V", 403, "daq.amplitude_0 is read-only"),
        ("robot.position_x", "1 mm", 403, "robot.position_x is read-only"),
    ],
)
def test_what_is_refused_changes_nothing_and_says_why(service, http, lamp, target, text, status, words):
    before = dict(lamp.held)
    done = nixel("set", target, text, "--url", service.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    answer = http.put("/devices/" + target.replace(".", "/"), json={"value": text})
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert lamp.held == before


@pytest.mark.parametrize("target", ["lamp", ".on", "lamp."])
def test_a_target_that_is_none_is_refused(service, target):
    done = nixel("set", target, "1", "--url", service.url)
    assert done.returncode == 2
    assert "expected DEVICE.PROPERTY" in done.stderr


def test_an_unplugged_device_has_its_error_and_the_others_go_on(
    service, bench, instrument, lamp, watcher, hand
):
    one = watcher("--interval", "200 ms", "--url", service.url)
    one.heard("lamp: answers")
    lamp.unplug()
    try:
        one.heard("lamp: fails: lamp at")
        assert hand.ask("ROB:MOV 0.001,0") == "0"
        one.heard("robot.position_x: 0.001 m")
        for ask, *whom in ((nixel, "--url", service.url), (nixel_process, *own_devices(bench, instrument))):
            done = ask("list", *whom)
            assert done.returncode == 2
            assert re.search(r"lamp +test-lamp +127\.0\.0\.1:\d+ +fails +lamp at ", done.stdout)
            assert "sample_rate" in done.stdout
            assert "instrument virtual-scanner: reading failed for lamp." in done.stderr
            assert "Plug it in." in done.stderr
            refused = ask("set", "lamp.on", "on", *whom)
            assert (refused.returncode, refused.stdout) == (2, "")
            assert "Plug it in." in refused.stderr
    finally:
        lamp.plug_in()
    one.lines.clear()
    one.heard("lamp: answers")
    assert nixel("list", "--url", service.url).returncode == 0


def test_what_a_driver_names_its_things_reaches_no_terminal_as_it_is(service, lamp, watcher):
    one = watcher("--interval", "200 ms", "--url", service.url)
    one.heard("lamp.banner")
    listed = nixel("list", "--url", service.url)
    for text in (listed.stdout, "".join(one.lines)):
        assert all(character.isprintable() for line in text.splitlines() for character in line)
        assert r"a/b?c=%2e..\x1b[2J[red]<b>" in text
        assert r"\x1b]0;owned\x07[bold]<script>" in text
        assert "x" * 100 not in text
    exact = json.loads(nixel("list", "--json", "--url", service.url).stdout)
    assert values(exact, "lamp")["banner"] == HOSTILE_VALUE
    done = nixel("set", f"lamp.{HOSTILE_NAME}", "wild", "--url", service.url)
    assert done.returncode == 0, done.stderr
    assert lamp.held["hostile"] == "wild"
    assert "\x1b" not in done.stdout


def test_a_value_that_is_no_number_is_told_and_breaks_no_stream(service, http, lamp, watcher):
    one = watcher("--interval", "200 ms", "--url", service.url)
    one.heard("lamp.noise: 0.5 V")
    lamp.held["noise"] = "nan"
    try:
        one.heard("lamp.noise: nan V (it was 0.5 V)")
        assert values(http.get("/devices").json(), "lamp")["noise"] is None
    finally:
        lamp.held["noise"] = "0.5"
    one.heard("lamp.noise: 0.5 V (it was nan V)")


@pytest.mark.parametrize("interval", ["0", "0.1", "61", "nan", "x"])
def test_the_stream_takes_no_interval_that_would_load_the_devices(http, interval):
    assert http.get(f"/devices/events?interval={interval}").status_code == 422


def test_between_runs_nobody_keeps_the_devices(service, bench, http, lamp):
    http.get("/devices")
    control = bench.endpoints["daq.control"]
    assert connections_to(control) == 1
    wait_until(lambda: connections_to(control) == 0, 30, "the control connection's end")
    wait_until(lambda: lamp.connections == 0, 30, "the lamp's connection's end")


# --- runs ---


@pytest.fixture(scope="module")
def calibrated(service):
    run = service.client.perform({"kind": "calibration", "protocol": SMALL_CALIBRATION})
    return service.client.get(f"/datasets/{run['dataset_ids'][0]}")


def test_a_run_is_read_through_its_own_connections_and_nothing_is_set(
    service, bench, http, lamp, watcher, calibrated
):
    control = bench.endpoints["daq.control"]
    one = watcher("--interval", "200 ms", "--url", service.url)
    one.heard("lamp: answers")
    lamp.held["on"] = "0"
    run = service.client.post("/runs", {"kind": "scan", "protocol": LONG})
    one.heard(f"held by: run {run['id']}")
    one.heard("daq.transmitting: true (it was false)")
    most = 0
    for _ in range(20):
        answer = http.get("/devices").json()
        most = max(most, connections_to(control), lamp.connections)
        if answer["held_by"] and device(answer, "daq")["state"] == "answers":
            assert values(answer, "daq")["ready"] is True
    assert most == 1, "a second connection was opened beside the run's"
    answer = http.put("/devices/lamp/on", json={"value": "on"})
    assert answer.status_code == 409
    assert f"run {run['id']} has the devices until it ends" in answer.json()["detail"]
    done = nixel("set", "lamp.on", "on", "--url", service.url)
    assert done.returncode == 2
    assert f"run {run['id']} has the devices" in done.stderr
    assert lamp.held["on"] == "0"
    one.lines.clear()  # it has said that nobody held them before
    http.post(f"/runs/{run['id']}/cancel")
    one.heard("held by: nobody")
    one.heard("daq.transmitting: false (it was true)")
    answer = http.put("/devices/lamp/on", json={"value": "on"})
    assert answer.status_code == 200, answer.text


def test_watching_changes_no_bit_of_what_is_measured(service, watcher, calibrated, lamp):
    request = {"kind": "calibration", "protocol": SMALL_CALIBRATION}
    for one in [watcher("--interval", "200 ms", "--url", service.url) for _ in range(2)]:
        one.heard("daq: answers")
    run = service.client.perform(request)
    one.heard(f"held by: run {run['id']}")
    watched = service.client.get(f"/datasets/{run['dataset_ids'][0]}")
    assert measured(service.data / watched["path"]) == measured(service.data / calibrated["path"])


def measured(path):
    import h5py

    with h5py.File(path) as file:
        return file["measurement/data"][()].tobytes()


def test_the_service_ends_promptly_while_it_is_watched(bench, instrument, tmp_path, watcher):
    service = Service(bench, tmp_path / "data", instrument).start()
    one = watcher("--interval", "200 ms", "--url", service.url)
    one.heard("daq: answers")
    begun = time.monotonic()
    service.close()
    assert time.monotonic() - begun < 15
    assert one.process.wait(20) == 2
    assert "imaging service" in one.process.stderr.read()

"""A vendor plugin is a device like any other, and one that is broken takes nothing down but its worker process."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nixel.acquisition.adapters.adapter import Surroundings
from nixel.acquisition.adapters.vendor_plugin import ADAPTER, VendorPlugin
from nixel.acquisition.devices import Device, DeviceError, DevicesError, Sensor
from nixel.acquisition.instrument import InstrumentError, load_instrument
from nixel.acquisition.opened import open_devices
from nixel.acquisition.plugins import abi
from nixel.acquisition.plugins.library import negotiate
from nixel.acquisition.workers.serve import Refusal

INSTRUMENT = """
[instrument]
name = "bench"
kind = "microscope"
description = "Devices of vendors"
simulated = {simulated}

[microscope]
wavelength = "532 nm"
medium_index = 1.0
pixel_size = "1.12 um"
shape = [2464, 3280]
distance_range = ["0.3 mm", "3 mm"]

[microscope.limits]
exposure = "100 ms"
on_time = "10 s"
"""
DEVICE = """
[devices.{name}]
adapter = "vendor-plugin"
library = "{library}"
timeout = "{timeout}"
{more}
[devices.{name}.settings]
simulated = true
"""


@pytest.fixture
def instrument(tmp_path):
    """An instrument with a plugin's device for each library."""

    def write(simulated="true", timeout="20 s", more="", log=True, **libraries):
        text = INSTRUMENT.format(simulated=simulated)
        for name, library in libraries.items():
            text += DEVICE.format(name=name, library=library, timeout=timeout, more=more)
            if log:
                text += f'log = "{tmp_path / name}.log"\n'
        path = tmp_path / "bench.toml"
        path.write_text(text)
        return load_instrument(path)

    return write


def events(tmp_path, name="device"):
    log = tmp_path / f"{name}.log"
    return log.read_text() if log.exists() else ""


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def device(faulty_plugin, instrument):
    with open_devices(instrument(device=faulty_plugin())) as devices:
        yield devices["device"]


def test_it_is_a_device_with_the_properties_that_the_plugin_describes(device):
    assert isinstance(device, Device)
    described = {prop.name: prop for prop in device.properties}
    assert list(described) == ["number", "count", "on", "text", "data", "serial", "simulated"]
    number = described["number"]
    assert (number.kind, number.unit, number.minimum, number.maximum) == ("number", "V", -10, 10)
    assert [prop.name for prop in described.values() if prop.read_only] == ["serial", "simulated"]
    assert described["count"].description == "An integer."
    assert device.get("serial") == "A1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("number", value) for value in (-10.0, -0.0, 5e-324, 0.1, 10.0)),
        *(("count", value) for value in (0, 1000)),
        *(("on", value) for value in (True, False)),
        *(("text", value) for value in ("", "µ", "a\0b", "\0", "温度\U0001f321", "x" * 2**20)),
        *(("data", value) for value in (b"", b"\0", bytes(range(256)), b"\xff" * 2**20)),
    ],
    ids=lambda value: f"{value!r:.20}",
)
def test_a_value_comes_back_as_it_was_set(device, name, value):
    device.set(name, value)
    found = device.get(name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("number", 11.0, "from -10 to 10 V, found 11"),
        ("number", float("nan"), "found nan"),
        ("count", 2**70, "from 0 to 1000"),
        ("count", 1.0, "found 1.0"),
        ("text", b"x", "expected a text"),
        ("text", "\ud800", "expected a text in Unicode"),
        ("serial", "B", "read-only"),
        ("pressure", 1.0, "one of its properties"),
    ],
)
def test_what_is_refused_changes_nothing(device, name, value, says):
    before = {prop.name: device.get(prop.name) for prop in device.properties}
    with pytest.raises(DeviceError, match=re.escape(says)):
        device.set(name, value)
    assert {prop.name: device.get(prop.name) for prop in device.properties} == before


def test_an_integer_without_limits_is_refused_when_64_bits_do_not_hold_it():
    from nixel.acquisition.plugins.values import to_c

    assert to_c(2**63 - 1)[0].payload.int64 == 2**63 - 1
    with pytest.raises(Refusal, match="64 bits"):
        to_c(2**63)


def test_the_plugins_own_words_reach_the_reader(example_plugin, instrument):
    loaded = instrument(log=False, thermometer=example_plugin("c"))
    with open_devices(loaded) as devices:
        devices["thermometer"].set("enabled", False)
        says = 'thermometer at .*DEVICE_FAILED: The converter is off: set "enabled" to true before reading'
        with pytest.raises(DeviceError, match=says):
            devices["thermometer"].get("temperature")
        with pytest.raises(DeviceError, match="has room for 64 bytes, found 65"):
            devices["thermometer"].set("label", "x" * 65)


@pytest.mark.parametrize("language", ["c", "rust"])
def test_both_examples_are_devices(example_plugin, instrument, language):
    loaded = instrument(log=False, more='channels = ["temperature"]', thermometer=example_plugin(language))
    with open_devices(loaded) as devices:
        (sensor,) = devices.every(Sensor).values()
        assert [(channel.name, channel.unit) for channel in sensor.channels] == [("temperature", "K")]
        assert 290 < sensor.read()[0] < 300
        sensor.set("calibration", b"\0\xff")
        snapshot = devices.snapshot()["thermometer"]
    assert snapshot["calibration"] == b"\0\xff"
    assert snapshot["simulated"] is True


def test_a_device_is_freed_exactly_once(faulty_plugin, instrument, tmp_path):
    with open_devices(instrument(device=faulty_plugin())) as devices:
        assert events(tmp_path) == "o"
        devices["device"].close()
        assert events(tmp_path) == "of"
    assert events(tmp_path) == "of"
    with pytest.raises(KeyError), open_devices(instrument(device=faulty_plugin())):
        raise KeyError
    assert events(tmp_path) == "ofof"


@pytest.mark.parametrize(
    "fault",
    ["NAME_TWICE", "NAME_WRONG", "TEXT_NULL", "TEXT_NOT_UTF8", "LIMITS_WRONG", "TAG_UNKNOWN", "COUNT_HUGE"],
)
def test_one_whose_description_is_wrong_is_refused_and_freed(faulty_plugin, instrument, tmp_path, fault):
    with (
        pytest.raises(DevicesError, match="nixel plugin check"),
        open_devices(instrument(device=faulty_plugin(fault))),
    ):
        pass
    assert events(tmp_path) == "of"


def test_a_device_is_freed_when_its_host_dies(faulty_plugin, tmp_path):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from nixel.acquisition.plugins.host import PluginProcess\n"
        "plugin = PluginProcess(Path(sys.argv[1]), 'device', 30.0)\n"
        "plugin.open({'simulated': True, 'log': sys.argv[2]})\n"
        "print(plugin.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(faulty_plugin()), str(tmp_path / "device.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 30
    while not is_gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert events(tmp_path) == "of"


def test_a_crash_takes_only_the_worker_down_and_the_run_fails_cleanly(faulty_plugin, instrument, tmp_path):
    loaded = instrument(good=faulty_plugin(), bad=faulty_plugin("CRASH_GET"))
    workers = []

    def run():
        with open_devices(loaded) as devices:
            workers.extend(device._plugin.pid for device in devices.values())
            assert devices["good"].get("number") == 0
            devices.snapshot()

    with pytest.raises(DeviceError, match=r"bad at .*reading \w+ failed: .*SIGSEGV.*Open the device again"):
        run()
    assert all(map(is_gone, workers))
    assert events(tmp_path, "good") == "of"
    assert events(tmp_path, "bad") == "o"  # what is gone with its process cannot be freed


def test_after_a_crash_the_device_can_be_opened_again(faulty_plugin, instrument, tmp_path):
    loaded = instrument(device=faulty_plugin())
    with open_devices(loaded) as devices:
        device = devices["device"]
        os.kill(device._plugin.pid, signal.SIGBUS)
        with pytest.raises(DeviceError, match="SIGBUS"):
            device.get("number")
        with pytest.raises(DeviceError, match="Open the device again"):
            device.get("number")
        device.open()
        assert device.get("number") == 0
    assert events(tmp_path) == "oof"


@pytest.mark.parametrize("fault", ["CRASH_LOAD", "CRASH_NAME", "CRASH_OPEN"])
def test_a_crash_on_opening_is_named(faulty_plugin, instrument, tmp_path, fault):
    with pytest.raises(DevicesError, match="SIGSEGV"), open_devices(instrument(device=faulty_plugin(fault))):
        pass
    assert events(tmp_path) == ""


@pytest.mark.parametrize(("fault", "says"), [("CRASH_FREE", "SIGSEGV"), ("FREES_TWICE", "SIGABRT")])
def test_a_crash_on_closing_is_named(faulty_plugin, instrument, fault, says):
    with pytest.raises(DevicesError, match=says), open_devices(instrument(device=faulty_plugin(fault))):
        pass


def test_one_that_ends_the_process_is_said_to_have(faulty_plugin, instrument):
    with (
        open_devices(instrument(device=faulty_plugin("EXIT_IN_GET"))) as devices,
        pytest.raises(DeviceError, match="ended with status 0"),
    ):
        devices["device"].get("number")


def test_one_that_hangs_is_killed(faulty_plugin, instrument):
    with open_devices(instrument(timeout="0.5 s", device=faulty_plugin("HANG_GET"))) as devices:
        worker = devices["device"]._plugin.pid
        with pytest.raises(
            DeviceError, match=r"expected an answer within 0\.5 s, found none, so its worker .*killed"
        ):
            devices["device"].get("number")
        assert is_gone(worker)


def test_one_that_hangs_on_closing_is_killed(faulty_plugin, instrument):
    loaded = instrument(timeout="0.5 s", device=faulty_plugin("HANG_FREE"))
    with pytest.raises(DevicesError, match="at rest within"), open_devices(loaded) as devices:
        worker = devices["device"]._plugin.pid
    assert is_gone(worker)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("OLD_VERSION", "the plugin is older: it speaks up to version 0"),
        ("NEWER_VERSION", "the plugin is newer: it speaks version 2 and no longer serves"),
        ("NO_TABLE", "says that it speaks version 1 but has no table for it"),
        ("NULL_ENTRY", "every function of the table, found none for set"),
        ("OPEN_GIVES_NULL", "a null pointer for a device"),
    ],
)
def test_what_speaks_another_version_or_half_of_one_is_refused(faulty_plugin, instrument, fault, says):
    with pytest.raises(DevicesError, match=says), open_devices(instrument(device=faulty_plugin(fault))):
        pass


def test_a_newer_plugin_that_serves_our_version_works(faulty_plugin, instrument):
    with open_devices(instrument(device=faulty_plugin("NEWER_SERVES_OLD"))) as devices:
        assert devices["device"].get("number") == 0


@pytest.mark.parametrize(
    ("newest", "served", "version"),
    [(3, {1: True, 2: True, 3: True}, 3), (4, {1: True, 2: True, 3: False}, 2), (2, {1: True, 2: False}, 1)],
)
def test_the_newest_version_that_both_speak_is_spoken(newest, served, version):
    assert negotiate(newest, served) == version


@pytest.mark.parametrize(
    ("newest", "served", "says"),
    [
        (1, {2: False, 3: False}, "older: it speaks up to version 1"),
        (9, {2: False, 3: False}, "newer: it speaks"),
    ],
)
def test_a_host_that_knows_several_versions_says_which_side_is_older(newest, served, says):
    with pytest.raises(Refusal, match=says):
        negotiate(newest, served)


@pytest.mark.parametrize(
    ("fault", "name", "says"),
    [
        ("VALUE_NOT_UTF8", "text", "expected UTF-8, found b'\\\\xff'"),
        ("VALUE_WRONG_TAG", "number", "expected float64, found int64"),
        ("VALUE_BOOL_TWO", "on", "a bool of 0 or 1, found 2"),
        ("VALUE_HUGE", "text", "at most 67108864 bytes"),
        ("VALUE_NULL", "text", "expected 5 bytes, found a null pointer"),
    ],
)
def test_a_value_that_cannot_be_is_an_error_and_no_crash(faulty_plugin, instrument, fault, name, says):
    with open_devices(instrument(device=faulty_plugin(fault))) as devices:
        with pytest.raises(DeviceError, match=f"{says}.*nixel plugin check"):
            devices["device"].get(name)
        assert devices["device"].get("simulated") is True  # and goes on


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("UNKNOWN_STATUS", "DEVICE_FAILED: It is not UTF-8"),
        ("MESSAGE_WITHOUT_NUL", "WRONG_TYPE: x{504}"),
        ("MESSAGE_NOT_UTF8", "WRONG_TYPE: \ufffd\ufffd oh"),
        ("MESSAGE_EMPTY", "WRONG_TYPE: the plugin gave no reason"),
        ("STATUS_DISAGREES", "WRONG_TYPE: It is not UTF-8"),
    ],
)
def test_a_refusal_is_understood_however_badly_it_is_said(faulty_plugin, fault, says):
    """Spoken to without a worker, because the host sends no broken text of its own."""
    from nixel.acquisition.plugins.library import Holder, Library, _check

    holder = Holder(Library(str(faulty_plugin(fault))), {"simulated": True})
    broken = ctypes.create_string_buffer(b"\xff", 1)
    value = abi.Value(abi.Tag.STRING, 0, abi.Payload(span=abi.Span(ctypes.addressof(broken), 1)))
    error = abi.Error()
    with pytest.raises(Refusal) as caught:
        _check(holder._table.set(holder._handle, b"text", value, error), error)
    assert re.match(says, f"{caught.value.kind}: {caught.value.message}")
    holder.free()
    holder.free()
    with pytest.raises(Refusal, match="given back"):
        holder.get("text")


def test_what_a_library_prints_disturbs_nothing(faulty_plugin, instrument):
    with open_devices(instrument(device=faulty_plugin("PRINTS"))) as devices:
        for number in range(200):
            devices["device"].set("count", number)
            assert devices["device"].get("count") == number


def test_calls_of_threads_come_one_after_another(device):
    failures = []

    def work(number):
        for step in range(100):
            device.set("text", f"{number} {step} " * 50)
            found = device.get("text").split()
            # Whose text it is depends on the turn; half of two there must never be.
            if len(set(found[::2])) != 1 or len(set(found[1::2])) != 1:
                failures.append(found)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_no_library_and_what_is_none(instrument, tmp_path, faulty_plugin):
    (tmp_path / "text.so").write_text("no library")
    loaded = instrument(missing=tmp_path / "missing.so", text=tmp_path / "text.so", libc=ctypes_libc())
    with pytest.raises(DevicesError) as caught, open_devices(loaded):
        pass
    assert "found no such file" in caught.value.failures["missing"]
    assert "it does not load" in caught.value.failures["text"]
    assert "exported function nixel_device_plugin, found none" in caught.value.failures["libc"]


def ctypes_libc():
    """The path of some library that is no plugin."""
    return next(
        line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line
    )


def test_a_simulated_device_has_no_place_in_a_real_instrument(faulty_plugin, instrument):
    with pytest.raises(InstrumentError, match=r"settings\.simulated: found true; expected a real device"):
        instrument(simulated="false", device=faulty_plugin())
    settings = VendorPlugin(adapter="vendor-plugin", library=str(faulty_plugin()))
    real = type("Real", (), {"simulated": False})()
    device = ADAPTER.make("device", settings, Surroundings(real, {}))
    # This plugin opens without being asked for a simulation, but says what it is.
    with pytest.raises(DeviceError, match=r"expected a real device, because .* found a simulated one"):
        device.open()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('library = "driver.so"', 'library: found "driver.so"; expected an absolute path'),
        ('timeout = "0 s"', "timeout"),
        ("settings = { gain = inf }", "settings.gain"),
        ("settings = { gains = [1, 2] }", "settings.gains"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, line, says):
    lines = {"library": 'library = "/x.so"', line.split()[0]: line}
    path = tmp_path / "bench.toml"
    text = INSTRUMENT.format(simulated="true") + '[devices.x]\nadapter = "vendor-plugin"\n'
    path.write_text(text + "\n".join(lines.values()))
    with pytest.raises(InstrumentError, match=re.escape(says)):
        load_instrument(path)


def test_a_channel_is_a_number_of_the_plugins(faulty_plugin, instrument):
    loaded = instrument(device=faulty_plugin(), more='channels = ["number", "serial"]')
    with pytest.raises(DevicesError, match=r"channels among its numbers.*found serial"), open_devices(loaded):
        pass


def test_the_structures_are_those_of_the_header(plugin_sources):
    header = (plugin_sources / "include" / "nixel_device.h").read_text()
    for name, number in re.findall(r"NIXEL_(\w+) = (\d+)", header):
        table = abi.Tag if name in abi.Tag.__members__ else abi.Status
        assert table[name] == int(number)
    assert int(re.search(r"#define NIXEL_DEVICE_ABI (\d+)u", header)[1]) == abi.VERSION
    assert int(re.search(r"#define NIXEL_MESSAGE_SIZE (\d+)", header)[1]) == abi.MESSAGE_SIZE
    for flag in abi.Flag:
        assert f"#define NIXEL_PROPERTY_{flag.name} {flag.value}u" in header
    found = {
        "nixel_error": abi.Error,
        "nixel_value": abi.Value,
        "nixel_setting": abi.Setting,
        "nixel_property": abi.PropertyInfo,
    }
    for name, structure in found.items():
        assert f"sizeof({name}) == {ctypes.sizeof(structure)}" in header
    assert ctypes.sizeof(abi.DeviceTable) == 7 * ctypes.sizeof(ctypes.c_void_p)
    assert re.findall(r"\(\*(\w+)\)\(", header) == [name for name, *_ in abi.DeviceTable._fields_]

"""Micro-Manager's properties become ours, and what is wrong with an instrument file is told before anything opens."""

import importlib.util

import pytest

from nixel.acquisition.adapters.micromanager.table import add_described, to_property, unique
from nixel.acquisition.devices import DeviceError, DevicesError, Property, PropertyTable
from nixel.acquisition.instrument import Instrument
from nixel.acquisition.instrument_file import InstrumentError, validate
from nixel.acquisition.opened import open_devices

MICROSCOPE = {
    "wavelength": "500 nm",
    "medium_index": 1.0,
    "pixel_size": "1 um",
    "shape": [512, 512],
    "distance_range": ["1 mm", "2 mm"],
    "limits": {"exposure": "1 s", "on_time": "1 s"},
}
CORE = {"adapter": "micro-manager", "adapters": ["/adapters"]}
CONFIGURED = CORE | {"configuration": "bench.cfg"}
TRAVEL = {"x": ["-1 mm", "1 mm"], "y": ["-1 mm", "1 mm"]}


def instrument(devices, simulated=True):
    tables = {
        "instrument": {"name": "bench", "kind": "microscope", "description": "", "simulated": simulated},
        "microscope": MICROSCOPE,
        "devices": devices,
    }
    return validate(Instrument, tables, "bench.toml")


def part(kind="device", **keys):
    return {"adapter": f"micro-manager-{kind}", "core": "mm"} | keys


def test_devices_need_their_core_their_hub_and_what_they_refer_to():
    devices = {
        "mm": CORE,
        "port": part(library="SerialManager", device="/dev/ttyUSB0", properties={"BaudRate": 9600}),
        "hub": part(library="Tiger", device="TigerCommHub", after=["port"]),
        "stage": part("stage", library="Tiger", device="XYStage", hub="hub", travel=TRAVEL),
    }
    made = instrument(devices, simulated=False).devices
    assert made["stage"].needs == ("mm", "hub")
    assert made["hub"].needs == ("mm", "port")
    assert made["stage"].travel["x"] == pytest.approx((-1e-3, 1e-3))
    assert made["mm"].buffer == 64 * 2**20


def test_where_the_adapters_lie_is_an_address():
    made = instrument(
        {"mm": CORE, "camera": part("camera", library="Andor", device="Andor")}, simulated=False
    )
    moved = made.with_endpoints({"mm.adapters": "/elsewhere"})
    assert moved.devices["mm"].adapters == ("/elsewhere",)
    assert moved.fingerprint() == made.fingerprint()


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ({"mm": CORE | {"adapters": []}}, "adapters: found none; expected folders"),
        ({"mm": CORE | {"buffer": "1 kB"}}, 'expected from "1 MiB" to "4 GiB"'),
        ({"mm": CORE | {"timeout": "0 s"}}, "expected a time above zero"),
        ({"mm": CONFIGURED, "a": part()}, "either the label"),
        ({"mm": CONFIGURED, "a": part(label="A", library="B", device="C")}, "either the label"),
        ({"mm": CONFIGURED, "a": part(library="B")}, "either the label"),
        ({"mm": CONFIGURED, "a": part(label="A", hub="mm")}, "hub: expected none beside label"),
        ({"mm": CORE, "a": part(label="A")}, "devices.mm has no configuration"),
        ({"mm": CORE, "a": part(library="B", device="C", core="n")}, r'"n"; expected a micro-manager device \(mm\)'),
        ({"mm": CORE, "a": part(library="B", device="C", hub="mm")}, 'expected a device on the core "mm"'),
        ({"mm": CORE, "a": part(library="DemoCamera", device="DCam")}, "which simulates; expected a real device"),
        ({"mm": CONFIGURED, "a": part("stage", label="A", travel={})}, "travel: found no axis"),
        ({"mm": CONFIGURED, "a": part("stage", label="A", travel=TRAVEL | {"z": ["0 m", "1 m"]})}, "x and y, or one"),
        ({"mm": CONFIGURED, "a": part("stage", label="A", travel={"z": ["1 m", "0 m"]})}, "the lower end first"),
        ({"mm": CONFIGURED, "a": part("stage", label="A", travel={"z": ["0", "1"]})}, "bare number"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told(devices, message):
    with pytest.raises(InstrumentError, match=message):
        instrument(devices, simulated=False)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Binning", "binning"),
        ("CCDTemperature RO", "ccd_temperature_ro"),
        ("ReadNoise (electrons)", "read_noise_electrons"),
        ("Exposure-ms", "exposure_ms"),
        ("TransposeMirrorX", "transpose_mirror_x"),
        ("µ", "property"),
    ],
)
def test_names_become_lower_case_words(theirs, ours):
    assert unique(theirs, PropertyTable("x")) == ours


def test_two_names_that_become_the_same_are_told_apart():
    table = PropertyTable("x")
    add_described(table, [described("Gain"), described("gain"), described("GAIN")], str, print)
    assert [prop.name for prop in table.properties] == ["gain", "gain_2", "gain_3"]


def described(name="Gain", type="text", value="", read_only=False, limits=None, choices=()):  # noqa: A002
    return {
        "name": name,
        "type": type,
        "value": value,
        "read_only": read_only,
        "limits": limits,
        "choices": list(choices),
    }


@pytest.mark.parametrize(
    ("given", "kind", "low", "high", "choices"),
    [
        (described(type="number", value="0.5000", limits=[0.0, 1.0]), "number", 0.0, 1.0, ()),
        (described(type="integer", value="3"), "integer", None, None, ()),
        (described(type="integer", value="1", choices=["1", "2", "4"]), "integer", 1, 4, ()),
        (described(value="Off", choices=["Off", "On"]), "text", None, None, ("Off", "On")),
        # Adapters call numbers what are none.
        (described(type="integer", value=""), "text", None, None, ()),
        (described(type="integer", value="1", choices=["1x1", "2x2"]), "text", None, None, ("1x1", "2x2")),
        (described(type="integer", value="1.5"), "text", None, None, ()),
    ],
)
def test_type_limits_and_allowed_values_are_kept(given, kind, low, high, choices):
    prop = to_property("gain", given)
    assert (prop.kind, prop.minimum, prop.maximum, prop.choices) == (kind, low, high, choices)
    assert '"Gain"' in prop.description


def test_a_choice_is_written_as_the_adapter_spells_it():
    written = []
    table = PropertyTable("x")
    given = described(type="number", value="1.0", choices=["1.0", "2.50"])
    add_described(table, [given], lambda name: "2.50", lambda *pair: written.append(pair))
    table.set("gain", 2.5)
    assert written == [("Gain", "2.50")]
    assert table.get("gain") == 2.5


def test_what_cannot_be_read_or_stands_there_in_si_units_is_left_out():
    table = PropertyTable("x")
    table.add(Property("exposure", "number", "s", read_only=True), lambda: 1.0)
    some = [
        described("Exposure", value="1000"),
        described("Broken", value=None),
        described("Mode", read_only=True),
    ]
    add_described(table, some, str, print, hidden=("Exposure",))
    assert [prop.name for prop in table.properties] == ["exposure", "mode"]
    with pytest.raises(DeviceError, match="read-only"):
        table.set("mode", "x")


def test_a_number_that_becomes_nonsense_later_is_an_error_and_not_a_value():
    table = PropertyTable("x")
    add_described(table, [described(type="number", value="1")], lambda name: "no reading", print)
    with pytest.raises(DeviceError, match="expected a number, found 'no reading'"):
        table.get("gain")


def test_where_pymmcore_is_missing_it_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with (
        pytest.raises(
            DevicesError, match=r"package pymmcore, found none on this .* wheels are for x86_64 only"
        ),
        open_devices(instrument({"mm": CORE})),
    ):
        pytest.fail("it opened")

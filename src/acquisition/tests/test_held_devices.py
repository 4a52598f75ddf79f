"""Devices that are looked at: those that fail have their error, the others go on; a property is set and read back."""

import dataclasses
import math
import types
from typing import Literal

import pytest

from nixel.acquisition import held as held_module
from nixel.acquisition import opened
from nixel.acquisition.adapters.adapter import Adapter
from nixel.acquisition.devices import DeviceError, Property, PropertyTable
from nixel.acquisition.held import HeldDevices
from nixel.acquisition.instrument import InstrumentError, load_instrument
from nixel.acquisition.opened import OpenDevices
from nixel.acquisition.readings import PropertyRefusedError, read_open
from nixel.acquisition.settings import DeviceSettings


class Part(DeviceSettings):
    addresses = ("at",)

    adapter: Literal["part"]
    at: str = "127.0.0.1:1"
    after: tuple[str, ...] = ()

    @property
    def needs(self):
        return self.after


@dataclasses.dataclass
class World:
    """What the devices are like at the moment."""

    needs: dict
    unplugged: set = dataclasses.field(default_factory=set)
    broken: dict = dataclasses.field(default_factory=dict)  # "device.property" to what reading it raises
    values: dict = dataclasses.field(default_factory=lambda: {"rate": 2.0, "on": False})
    sticky: bool = False
    asked: list = dataclasses.field(default_factory=list)
    events: list = dataclasses.field(default_factory=list)

    @property
    def instrument(self):
        parts = {name: Part(adapter="part", after=needs) for name, needs in self.needs.items()}
        return types.SimpleNamespace(name="bench", devices=parts)


class Thing:
    axes, travel = ("x",), {"x": (0.0, 1.0)}

    def __init__(self, world, name):
        self.world, self.name, self.where = world, name, f"{name} at shelf {len(name)}"
        self.connected = False
        table = self.table = PropertyTable(self.where)
        rate = Property("rate", "number", "Hz", minimum=0.0, maximum=100.0)
        table.add(rate, lambda: self.read("rate"), lambda value: self.write("rate", value))
        table.add(Property("on", "boolean"), lambda: self.read("on"), lambda value: self.write("on", value))
        table.add(Property("serial", "text", read_only=True), lambda: self.read("serial", "A1"))
        self.get, self.set = table.get, table.set

    @property
    def properties(self):
        return self.table.properties

    def fail(self, what):
        raise DeviceError(what, where=self.where, expected="an answer", found="silence", remedy="Plug it in.")

    def open(self):
        self.world.events.append(f"open {self.name}")
        if self.name in self.world.unplugged:
            self.fail("opening")
        self.connected = True

    def close(self):
        self.world.events.append(f"close {self.name}")
        self.connected = False

    def read(self, name, default=None):
        self.world.asked.append(f"{self.name}.{name}")
        if error := self.world.broken.get(f"{self.name}.{name}"):
            raise error
        if self.name in self.world.unplugged:
            self.connected = False
        if not self.connected:
            self.fail(f"reading {name}")
        return self.world.values.get(name, default)

    def write(self, name, value):
        if not self.world.sticky:
            self.world.values[name] = round(value, 2) if name == "rate" else value

    def move(self, **position):
        raise NotImplementedError

    def position(self):
        raise NotImplementedError

    def home(self):
        raise NotImplementedError

    def halt(self):
        raise NotImplementedError


NEEDS = {"robot": ("daq",), "daq": (), "camera": ()}


@pytest.fixture
def world(monkeypatch):
    world = World(NEEDS)
    adapter = Adapter(Part, lambda name, settings, around: Thing(world, name))
    monkeypatch.setattr(opened, "adapters", lambda: {"part": adapter})
    monkeypatch.setattr(held_module, "_RETRY", 0.0)
    return world


@pytest.fixture
def held(world):
    held = HeldDevices(world.instrument)
    yield held
    held.close()


def by_name(readings):
    return {reading.name: reading for reading in readings}


def values(reading):
    return {one.prop.name: one.value for one in reading.properties}


def test_each_device_says_what_it_is_where_it_is_and_what_its_properties_are(held):
    readings = held.read()
    assert [reading.name for reading in readings] == ["robot", "daq", "camera"], "the order is the file's"
    robot = readings[0]
    assert (robot.adapter, robot.kinds, robot.where, robot.error) == ("part", ("stage",), "shelf 5", "")
    assert values(robot) == {"rate": 2.0, "on": False, "serial": "A1"}
    assert [one.text for one in robot.properties] == ["2.0 Hz", "false", "A1"]


def test_values_are_read_anew_each_time_through_connections_that_stay(world, held):
    held.read()
    world.values["rate"] = 3.0
    assert values(held.read()[0])["rate"] == 3.0
    assert world.events == ["open daq", "open camera", "open robot"]


def test_an_unplugged_device_has_its_error_those_that_need_it_theirs_and_the_others_go_on(world, held):
    world.unplugged = {"daq"}
    found = by_name(held.read())
    assert "opening failed: expected an answer, found silence" in found["daq"].error
    assert found["daq"].where == "shelf 3"
    assert "it needs daq, which does not answer" in found["robot"].error
    assert not found["camera"].error
    assert values(found["camera"])["rate"] == 2.0


def test_a_device_unplugged_while_it_is_looked_at_is_noticed_and_found_again(world, held):
    held.read()
    world.unplugged = {"daq"}
    found = by_name(held.read())
    assert "found silence" in found["daq"].error
    assert "it needs daq" in found["robot"].error
    assert not found["camera"].error
    assert world.events[-2:] == ["close robot", "close daq"]
    world.unplugged = set()
    assert not any(reading.error for reading in held.read())
    assert world.events.count("open camera") == 1, "what answered was left alone"


def test_a_device_that_failed_is_not_tried_at_every_look(world, held, monkeypatch):
    monkeypatch.setattr(held_module, "_RETRY", 60.0)
    world.unplugged = {"camera"}
    first = by_name(held.read())["camera"]
    assert by_name(held.read())["camera"] == first
    assert world.events.count("open camera") == 1


def test_one_property_that_cannot_be_read_hides_no_other(world, held):
    world.broken["camera.on"] = DeviceError("on", where="camera", expected="1", found="2", remedy="Mend it.")
    camera = by_name(held.read())["camera"]
    assert not camera.error
    assert values(camera) == {"rate": 2.0, "on": None, "serial": "A1"}
    assert "expected 1, found 2" in camera.properties[1].error


def test_a_silent_device_is_asked_twice_at_most(world, held):
    held.read()
    world.unplugged, world.asked = {"camera"}, []
    held.read()
    assert [name for name in world.asked if name.startswith("camera")] == ["camera.rate", "camera.on"]


def test_what_an_adapter_should_not_raise_is_its_devices_error_and_nobody_elses(world, held):
    for name in ("rate", "on", "serial"):
        world.broken[f"camera.{name}"] = TypeError("no such thing")
    found = by_name(held.read())
    assert "an error of its adapter's own (TypeError: no such thing)" in found["camera"].error
    assert not found["daq"].error


def test_who_is_interrupted_has_nothing_and_asks_no_further(world, held):
    held.read()
    world.asked = []
    assert held.read(lambda: len(world.asked) == 2) is None
    assert len(world.asked) == 2
    devices = OpenDevices(world.instrument, {"daq": Thing(world, "daq")})
    assert read_open(devices, lambda: True) is None


def test_closing_closes_in_reverse(world, held):
    held.read()
    world.events.clear()
    assert held.close() == {}
    assert world.events == ["close robot", "close camera", "close daq"]


@pytest.mark.parametrize(
    ("text", "asked", "value"), [("20 mHz", 0.02, 0.02), ("0.333333 Hz", 0.333333, 0.33)]
)
def test_a_property_is_set_as_people_write_it_and_read_back(world, held, text, asked, value):
    made = held.change("camera", "rate", text)
    assert (made.before, made.value) == (2.0, value)
    assert math.isclose(made.asked, asked)
    assert world.values["rate"] == value
    assert world.events == ["open camera"], "only what it takes is opened"


@pytest.mark.parametrize(
    ("device", "prop", "text", "reason", "words"),
    [
        ("camera", "rate", "200 Hz", "value", "expected a number from 0 to 100 Hz, found 200"),
        ("camera", "rate", "2", "value", "camera.rate: found the bare number '2'"),
        ("camera", "on", "perhaps", "value", "expected true or false, found 'perhaps'"),
        ("camera", "serial", "B2", "read-only", "camera.serial is read-only"),
        ("camera", "colour", "red", "unknown", r"camera's properties \(rate, on, serial\), found 'colour'"),
        ("piano", "rate", "2 Hz", "unknown", r"devices of bench \(robot, daq, camera\), found 'piano'"),
    ],
)
def test_what_is_refused_changes_nothing(world, held, device, prop, text, reason, words):
    before = dict(world.values)
    with pytest.raises(PropertyRefusedError, match=words) as caught:
        held.change(device, prop, text)
    assert caught.value.reason == reason
    assert world.values == before


def test_a_device_that_holds_another_value_afterwards_is_told(world, held):
    world.sticky = True
    with pytest.raises(DeviceError, match=r"expected 5\.0 Hz when it was read back, found 2\.0 Hz"):
        held.change("camera", "rate", "5 Hz")


def test_setting_works_again_once_the_device_is_back(world, held):
    held.read()
    world.unplugged = {"camera"}
    with pytest.raises(DeviceError, match="found silence"):
        held.change("camera", "rate", "5 Hz")
    world.unplugged = set()
    assert held.change("camera", "rate", "5 Hz").value == 5.0


@pytest.mark.parametrize("name", ["", "two words", "a.b", "a/b", "-x", "\x1b[31m", "ü", "x" * 65])
def test_a_device_whose_name_could_be_mistaken_is_refused(tmp_path, name):
    shipped = load_instrument("virtual-scanner")
    tables = shipped.model_dump(mode="json", exclude_none=True)
    tables["devices"][name] = tables["devices"]["robot"]
    from nixel.acquisition.instrument import Instrument
    from nixel.acquisition.instrument_file import validate

    with pytest.raises(InstrumentError, match=r"devices\."):
        validate(Instrument, tables, "file")

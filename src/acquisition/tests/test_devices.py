"""Properties are refused in one way everywhere, and an instrument's devices open in order and close in reverse."""

import dataclasses
import math
import types
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nixel.acquisition import opened
from nixel.acquisition.adapters.adapter import Adapter
from nixel.acquisition.devices import DeviceError, DevicesError, Property, PropertyTable, from_text, to_text
from nixel.acquisition.devices.order import opening_order
from nixel.acquisition.opened import open_devices
from nixel.acquisition.settings import DeviceSettings

EXPOSURE = Property("exposure", "number", "s", "of a picture", minimum=1e-4, maximum=0.1)
ROWS = Property("rows", "integer", minimum=1, maximum=10)
MODE = Property("mode", "text", choices=("slow", "fast"))


@pytest.mark.parametrize(
    ("prop", "value", "message"),
    [
        (EXPOSURE, 0.2, "expected a number from 0.0001 to 0.1 s, found 0.2"),
        (EXPOSURE, math.nan, "found nan"),
        (EXPOSURE, math.inf, "found inf"),
        (EXPOSURE, "0.01", "found '0.01'"),
        (EXPOSURE, True, "found True"),
        (ROWS, 1.0, "expected an integer from 1 to 10, found 1.0"),
        (ROWS, True, "found True"),
        (ROWS, 0, "found 0"),
        (MODE, "quick", "expected one of slow, fast, found 'quick'"),
        (Property("on", "boolean"), 1, "expected true or false, found 1"),
        (Property("key", "bytes"), "00", "expected bytes, found '00'"),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_refused(prop, value, message):
    with pytest.raises(ValueError, match=message):
        prop.accept(value)


def test_an_integer_is_a_number_and_nothing_else_is_converted():
    assert Property("gain", "number").accept(2) == 2.0
    assert type(Property("gain", "number").accept(2)) is float


@pytest.mark.parametrize(
    ("prop", "text", "value"),
    [
        (EXPOSURE, "2 ms", 0.002),
        (ROWS, "7", 7),
        (Property("gain", "number"), "1.5", 1.5),
        (Property("on", "boolean"), "off", False),
        (Property("on", "boolean"), "Yes", True),
        (MODE, "fast", "fast"),
        (Property("key", "bytes"), "00ff", b"\x00\xff"),
    ],
)
def test_values_are_read_as_people_write_them(prop, text, value):
    assert from_text(prop, text) == value


@pytest.mark.parametrize(
    ("prop", "text"),
    [
        (EXPOSURE, "2"),
        (EXPOSURE, "2 mm"),
        (EXPOSURE, "2 s"),
        (ROWS, "1.5"),
        (MODE, "x"),
        (Property("k", "bytes"), "0"),
    ],
)
def test_other_texts_are_refused(prop, text):
    with pytest.raises(ValueError, match="expected"):
        from_text(prop, text)


@given(st.floats(1e-4, 0.1))
@settings(deadline=None)
def test_what_is_shown_can_be_read_again(value):
    assert from_text(EXPOSURE, to_text(EXPOSURE, value)) == pytest.approx(value, rel=1e-12)


@pytest.fixture
def table():
    held = {"exposure": 0.01}
    table = PropertyTable("camera at /dev/video0")
    table.add(EXPOSURE, lambda: held["exposure"], lambda value: held.update(exposure=value))
    table.add(Property("serial", "text", read_only=True), lambda: held.get("serial", "A1"))
    return types.SimpleNamespace(table=table, held=held)


def test_a_property_is_read_from_and_written_to_the_device(table):
    table.table.set("exposure", 0.02)
    assert table.held["exposure"] == 0.02
    assert table.table.get("exposure") == 0.02
    assert [prop.name for prop in table.table.properties] == ["exposure", "serial"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "exposre",
            0.02,
            r"camera at /dev/video0: setting exposre failed: expected one of its properties \(exposure",
        ),
        (
            "serial",
            "B",
            "setting serial failed: expected a property that can be written, found one that is read-only",
        ),
        ("exposure", 1.0, "setting exposure failed: expected a number from 0.0001 to 0.1 s, found 1"),
    ],
)
def test_what_is_refused_never_reaches_the_device(table, name, value, message):
    before = dict(table.held)
    with pytest.raises(DeviceError, match=message):
        table.table.set(name, value)
    assert table.held == before


def test_nonsense_from_a_device_is_an_error_and_not_a_value(table):
    table.held["serial"] = 7
    with pytest.raises(DeviceError, match="reading serial failed: expected a text, found 7"):
        table.table.get("serial")


def test_a_property_is_either_read_only_or_has_what_writes_it():
    with pytest.raises(ValueError, match="either read-only"):
        PropertyTable("x").add(EXPOSURE, lambda: 1.0)


def test_devices_open_after_those_they_need_and_else_in_the_order_of_the_file():
    needs = {"robot": ("daq",), "light": (), "daq": ("supply",), "supply": ()}
    assert opening_order(needs) == ("light", "supply", "daq", "robot")


def test_a_circle_is_named():
    with pytest.raises(ValueError, match=r"circle, (a needs b needs a|b needs a needs b)"):
        opening_order({"a": ("b",), "b": ("a",), "c": ()})


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.sets(st.integers(0, n - 1)), min_size=n, max_size=n)))
@settings(deadline=None)
def test_no_device_opens_before_what_it_needs(sets):
    # Only what has a smaller number may be needed, so that there is no circle.
    needs = {str(i): tuple(str(j) for j in sorted(s) if j < i) for i, s in enumerate(sets)}
    order = opening_order(needs)
    assert sorted(order) == sorted(needs)
    assert all(order.index(a) > order.index(b) for a, some in needs.items() for b in some)


class Part(DeviceSettings):
    adapter: Literal["part"]
    after: tuple[str, ...] = ()

    @property
    def needs(self):
        return self.after


@dataclasses.dataclass
class Bench:
    """Devices that note what happens to them, and fail when told."""

    needs: dict
    refuse: tuple = ()
    stick: tuple = ()
    events: list = dataclasses.field(default_factory=list)

    @property
    def instrument(self):
        parts = {name: Part(adapter="part", after=needs) for name, needs in self.needs.items()}
        return types.SimpleNamespace(name="bench", devices=parts)

    def make(self, name, settings, around):
        assert set(around.devices) == set(settings.needs)
        return Fake(self, name)


class Fake:
    properties = (Property("number", "integer", read_only=True),)

    def __init__(self, bench, name):
        self.bench, self.name, self.where = bench, name, f"{name} on the bench"

    def open(self):
        self.bench.events.append(f"open {self.name}")
        if self.name in self.bench.refuse:
            raise DeviceError(
                "opening", where=self.where, expected="it", found="none", remedy="Switch it on."
            )

    def close(self):
        self.bench.events.append(f"close {self.name}")
        if self.name in self.bench.stick:
            raise OSError(f"{self.name} sticks")

    def get(self, name):
        return len(self.name)

    def set(self, name, value):
        raise NotImplementedError


@pytest.fixture
def bench(monkeypatch):
    def build(needs, **settings):
        bench = Bench(needs, **settings)
        monkeypatch.setattr(opened, "adapters", lambda: {"part": Adapter(Part, bench.make)})
        return bench

    return build


NEEDS = {"daq": (), "robot": ("daq",), "gripper": ("robot",), "camera": ()}


def test_all_are_open_within_the_block_and_close_in_reverse(bench):
    bench = bench(NEEDS)
    with open_devices(bench.instrument) as devices:
        assert list(devices) == ["daq", "camera", "robot", "gripper"]
        assert devices.snapshot()["robot"] == {"number": 5}
        bench.events.append("use")
    opens = ["open daq", "open camera", "open robot", "open gripper"]
    assert bench.events == [*opens, "use", *(e.replace("open", "close") for e in reversed(opens))]


def test_only_what_is_asked_for_and_what_it_needs_is_opened(bench):
    bench = bench(NEEDS)
    with open_devices(bench.instrument, ["robot"]) as devices:
        assert list(devices) == ["daq", "robot"]
    with pytest.raises(DeviceError, match="found robbot"), open_devices(bench.instrument, ["robbot"]):
        pass


def test_one_error_names_every_device_that_failed_and_why(bench):
    bench = bench(NEEDS, refuse=("robot", "camera"))
    with pytest.raises(DevicesError) as caught, open_devices(bench.instrument):
        pytest.fail("the block ran")
    text = str(caught.value)
    assert set(caught.value.failures) == {"robot", "camera", "gripper"}
    assert "robot on the bench: opening failed" in text
    assert "camera on the bench: opening failed" in text
    assert "gripper: not tried, because it needs robot" in text
    # What was open is closed; what failed to open holds nothing.
    assert bench.events == ["open daq", "open camera", "open robot", "close daq"]


def test_a_device_that_does_not_close_keeps_no_other_open(bench):
    bench = bench(NEEDS, stick=("robot", "camera"))
    with (
        pytest.raises(DevicesError, match="closing failed for robot, camera"),
        open_devices(bench.instrument),
    ):
        pass
    assert bench.events[-4:] == ["close gripper", "close robot", "close camera", "close daq"]


def test_what_went_wrong_first_is_what_is_told(bench):
    bench = bench(NEEDS, stick=("robot",))
    with pytest.raises(KeyError) as caught, open_devices(bench.instrument):
        raise KeyError("first")
    assert caught.value.__notes__ == ["robot sticks"]
    assert bench.events[-1] == "close daq"

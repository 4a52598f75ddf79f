"""Devices of a microscope that live in the test: what a sequence's walk does with them is written down by them."""

import dataclasses
import threading
import time
import tomllib
from pathlib import Path

import numpy as np

import nixel.acquisition
from nixel.acquisition.devices import DeviceError, Frame, Property, PropertyTable
from nixel.acquisition.instrument import Instrument
from nixel.acquisition.opened import OpenDevices

SHAPE = (6, 8)


def instrument(**microscope):
    """The virtual microscope with a small sensor and a stage, changed by what is given for [microscope]."""
    folder = Path(next(iter(nixel.acquisition.__path__))) / "instruments"
    tables = tomllib.loads((folder / "virtual-microscope.toml").read_text())
    own = {"shape": list(SHAPE), "channels": {"green": {"light": "light"}}, "times": {}}
    tables["microscope"] |= own | microscope
    tables["safety"] = {}
    return Instrument.model_validate(tables)


@dataclasses.dataclass
class Diary:
    lines: list = dataclasses.field(default_factory=list)

    def write(self, *words):
        self.lines.append(words)

    def of(self, first):
        return [words for words in self.lines if words[0] == first]


class Part:
    def __init__(self, name, diary):
        self.name = self.where = name
        self.diary = diary
        self.table = PropertyTable(name)

    def open(self):
        pass

    def close(self):
        pass

    @property
    def properties(self):
        return self.table.properties

    def get(self, name):
        return self.table.get(name)

    def set(self, name, value):
        self.diary.write("set", self.name, name, value)
        self.table.set(name, value)


class FreeRunningCamera(Part):
    """Takes a picture every `period` seconds while it is on; its pixels tell stage, light and exposure."""

    shape, bits, pattern = SHAPE, 10, ""

    def __init__(self, diary, scene, period=0.004):
        super().__init__("camera", diary)
        self.scene, self.period = scene, period
        self.exposure = 0.002
        self.loses = ()  # numbers of pictures that never come
        self.fails_at = None
        self.started = None
        self.stamps = True
        self.table.add(Property("time_of_exposure", "boolean", read_only=True), lambda: self.stamps)
        prop = Property("exposure", "number", "s", minimum=1e-5, maximum=0.05)
        self.table.add(prop, lambda: self.exposure, lambda value: setattr(self, "exposure", value))

    def start(self):
        assert self.started is None
        self.diary.write("start")
        self.started, self.number = time.monotonic(), 0

    def stop(self):
        assert self.started is not None
        self.diary.write("stop")
        self.started = None

    def frame(self, timeout):
        assert self.started is not None
        while self.number in self.loses:
            self.number += 1
        if self.fails_at is not None and self.number >= self.fails_at:
            raise DeviceError(
                "taking a frame", where="camera", expected="a frame", found="none", remedy="Mend it."
            )
        began = self.started + self.number * self.period
        time.sleep(max(0.0, began + self.period - time.monotonic()))
        pixels = np.zeros(self.shape, np.uint16)
        pixels[0, :5] = self.scene(began)
        self.number += 1
        self.diary.write("frame", self.number - 1)
        return Frame(self.number - 1, began, pixels)


class Axis(Part):
    """A stage; axes in m."""

    def __init__(self, name, diary, travel):
        super().__init__(name, diary)
        self.axes, self.travel = tuple(travel), travel
        self.at = dict.fromkeys(travel, 0.0)

    def move(self, **position):
        self.diary.write("move", {axis: round(value * 1e6, 6) for axis, value in position.items()})
        self.at |= position

    def position(self):
        return dict(self.at)

    def home(self):
        self.move(**dict.fromkeys(self.axes, 0.0))

    def halt(self):
        pass


class Lamp(Part):
    def __init__(self, name, diary):
        super().__init__(name, diary)
        self.on = False

    def switch(self, on):
        self.diary.write(self.name, on)
        self.on, self.since = on, time.monotonic()

    def is_on(self):
        return self.on


class RecordedGate:
    """Stands for the safety daemon's output."""

    def __init__(self, diary):
        self.diary, self.is_open, self.refuses = diary, False, None

    def open(self):
        self.diary.write("gate", True)
        self.is_open = True

    def close(self):
        if self.is_open:
            self.diary.write("gate", False)
        self.is_open = False

    def check(self):
        if self.refuses:
            raise self.refuses

    def reason(self):
        return None


class Rig:
    """A microscope of such parts."""

    def __init__(self, **microscope):
        self.diary = Diary()
        self.instrument = instrument(**microscope)
        self.stage = Axis("stage", self.diary, {"x": (-1e-3, 1e-3), "y": (-1e-3, 1e-3)})
        self.focus = Axis("focus", self.diary, {"z": (-1e-4, 2e-4)})
        self.lamp = Lamp("light", self.diary)
        self.camera = FreeRunningCamera(self.diary, self.scene)
        self.gate = RecordedGate(self.diary)
        self.pausing = threading.Event()
        parts = (self.camera, self.lamp, self.stage, self.focus)
        self.devices = OpenDevices(self.instrument, {part.name: part for part in parts})

    def scene(self, began):
        x, y = (round((self.stage.at[axis] + 1e-3) * 1e6) for axis in "xy")
        z = round((self.focus.at["z"] + 1e-4) * 1e6)
        return x, y, z, int(self._lit(began)), round(self.camera.exposure * 1e6)

    def _lit(self, began):
        return self.lamp.on and self.gate.is_open and self.lamp.since <= began

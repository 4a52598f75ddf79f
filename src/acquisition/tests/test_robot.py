"""Which stage a scanner's run moves the calibration sample with, and that each of its moves is checked first."""

import pytest

from nixel.acquisition.devices import DeviceError, Stage
from nixel.acquisition.instrument import Instrument, InstrumentError, load_instrument
from nixel.acquisition.instrument_file import path_of
from nixel.acquisition.opened import OpenDevices
from nixel.acquisition.robot import robot_of


class Standing:
    """A stage that is where it was moved to, and counts what it was asked for."""

    properties = ()

    def __init__(self, name, axes=("x", "y")):
        self.name, self.where, self.axes = name, f"{name} on the bench", axes
        self.travel = dict.fromkeys(axes, (-1.0, 1.0))
        self.at, self.asked = dict.fromkeys(axes, 0.0), []

    def open(self): ...

    def close(self): ...

    def get(self, name): ...

    def set(self, name, value): ...

    def move(self, **position):
        self.asked.append(position)
        self.at |= position

    def position(self):
        return dict(self.at)

    def home(self):
        self.asked.append("home")

    def halt(self): ...


@pytest.fixture
def scanner():
    return load_instrument("virtual-scanner")


def named(instrument, robot):
    tables = instrument.model_dump(mode="json", exclude_none=True)
    tables["scanner"]["robot"] = robot
    return Instrument.model_validate(tables)


def opened(instrument, *stages):
    return OpenDevices(instrument, {stage.name: stage for stage in stages})


def test_the_only_stage_is_the_robot(scanner):
    stage = Standing("robot")
    assert isinstance(stage, Stage)
    assert robot_of(opened(scanner, stage)).stage is stage


def test_of_several_the_one_that_the_instrument_file_names(scanner):
    stages = Standing("table"), Standing("robot")
    with pytest.raises(
        DeviceError, match=r"found table, robot, and none of them named\. Name it .*scanner\.robot"
    ):
        robot_of(opened(scanner, *stages))
    assert robot_of(opened(named(scanner, "robot"), *stages)).stage is stages[1]


def test_what_cannot_move_a_sample_is_no_robot(scanner):
    with pytest.raises(DeviceError, match="found none"):
        robot_of(opened(scanner))
    with pytest.raises(DeviceError, match="found daq, which is no stage"):
        robot_of(opened(named(scanner, "daq"), Standing("robot")))
    with pytest.raises(DeviceError, match="found lift with the axes z"):
        robot_of(opened(scanner, Standing("lift", ("z",))))


def test_a_name_that_no_device_has_is_refused_with_its_key(tmp_path):
    path = tmp_path / "scanner.toml"
    path.write_text(
        path_of("virtual-scanner").read_text().replace("[scanner]\n", '[scanner]\nrobot = "arm"\n')
    )
    with pytest.raises(
        InstrumentError,
        match=r"scanner\.robot: found no device 'arm'; expected one of daq, environment, robot",
    ):
        load_instrument(path)


def test_a_move_of_any_stage_is_checked_before_anything_moves(scanner):
    stage = Standing("table")
    robot = robot_of(opened(scanner, stage))
    robot.move(0.01, 0.0)
    # The phantom holder reaches to x = -25 mm, and the sample is 2 mm beyond its centre.
    with pytest.raises(
        DeviceError, match=r"at least 1 mm away from the phantom holder.*Nothing has moved"
    ) as caught:
        robot.move(-0.024, 0.0)
    assert "table on the bench" in str(caught.value)
    assert stage.asked == [{"x": 0.01, "y": 0.0}]
    # Whoever searches switches takes a way that nobody can check: it goes back to where it was.
    robot.home()
    assert stage.asked[1:] == [{"x": 0.0, "y": 0.0}]

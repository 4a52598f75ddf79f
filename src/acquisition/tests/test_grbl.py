"""A Grbl stage over its wire: it is where it says, or says what is wrong; and the simulated controller is a Grbl."""

import threading
import time

import pytest
from pydantic import ValidationError

from nixel.acquisition.adapters.grbl_dialect import ALARMS, ERRORS, Status, alarm_text, parse_status
from nixel.acquisition.adapters.grbl_stage import GrblStage, GrblStageAdapter
from nixel.acquisition.devices import DeviceError, Stage
from nixel.acquisition.virtual.grbl_controller import DEFAULTS, Grbl

LIMIT = 20.0  # s that something may take on a busy machine


def settings(path, **changes):
    given = {
        "adapter": "grbl-stage",
        "path": str(path),
        "feed": "10 mm/s",
        "travel": {"x": ["-15 mm", "-0.5 mm"], "z": ["-15 mm", "-0.5 mm"]},
    }
    return GrblStage.model_validate(given | changes)


@pytest.fixture
def wire(new_serial):
    return new_serial("grbl", "--setting", "25=3000", "--setting", "24=3000")


@pytest.fixture
def stage(wire):
    stage = GrblStageAdapter("stage", settings(wire.link))
    stage.open()
    yield stage
    stage.close()


@pytest.fixture
def homed(stage):
    stage.home()
    return stage


def in_thread(call, *arguments, **keywords):
    """Run a call in a thread; joining it gives the error it raised, or None."""

    class Running(threading.Thread):
        error = None

        def run(self):
            try:
                call(*arguments, **keywords)
            except DeviceError as error:
                self.error = error

        def end(self):
            self.join(LIMIT)
            assert not self.is_alive()
            return self.error

    running = Running()
    running.start()
    return running


def until(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- the stage ---


def test_it_is_a_stage_and_says_where_it_is(homed):
    assert isinstance(homed, Stage)
    assert homed.axes == ("x", "z")
    homed.move(z=-0.005, x=-0.002)
    assert homed.position() == pytest.approx({"x": -0.002, "z": -0.005}, abs=2e-6)
    homed.move(x=-0.001)
    assert homed.position() == pytest.approx({"x": -0.001, "z": -0.005}, abs=2e-6)
    assert homed.get("position_x") == homed.position()["x"]
    assert homed.get("state") == "Idle"


def test_homing_leaves_it_pulled_off_its_switches(homed):
    assert homed.position() == pytest.approx({"x": -0.0005, "z": -0.0005})


def test_it_does_not_move_before_it_is_homed(stage):
    before = stage.position()
    with pytest.raises(DeviceError, match="expected a stage that is homed and idle, found the state Alarm"):
        stage.move(z=-0.001)
    assert stage.position() == before


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"z": -0.016}, r"expected z from -0.015 m to -0.0005 m, found -0.016 m. Nothing was moved"),
        ({"x": -0.002, "z": 0.0}, "expected z from"),
        ({"y": -0.001}, "expected the axes x, z, found y"),
        ({"z": float("nan")}, "expected z from"),
    ],
)
def test_out_of_reach_is_refused_and_nothing_moves(homed, target, message):
    before = homed.position()
    with pytest.raises(DeviceError, match=message):
        homed.move(**target)
    assert homed.position() == before


def test_halt_ends_a_move_and_keeps_the_position(homed):
    moving = in_thread(homed.move, z=-0.015)
    until(lambda: homed.position()["z"] < -0.001)
    homed.halt()
    assert "halted" in str(moving.end())
    there = homed.position()
    assert -0.015 < there["z"] < -0.001
    time.sleep(0.2)
    assert homed.position() == there, "it has come to rest"
    homed.move(z=-0.001)
    assert homed.position()["z"] == pytest.approx(-0.001, abs=2e-6)


def test_a_move_can_be_held_and_resumed(homed):
    moving = in_thread(homed.move, z=-0.01)
    until(lambda: homed.position()["z"] < -0.001)
    homed.hold()
    until(lambda: homed._grbl.status() == homed._grbl.status())
    there = homed.position()
    time.sleep(0.3)
    assert homed.position() == there
    assert homed.get("state") == "Hold"
    homed.resume()
    assert moving.end() is None
    assert homed.position()["z"] == pytest.approx(-0.01, abs=2e-6)


def test_two_threads_do_not_move_it_at_once(homed):
    moving = in_thread(homed.move, z=-0.01)
    until(lambda: homed.get("state") == "Run")
    shown = {prop.name: homed.get(prop.name) for prop in homed.properties}
    assert shown["version"] == "[VER:1.1h.20190830:simulated]"
    assert shown["maximum_rate_x"] == pytest.approx(0.02)
    for call in (lambda: homed.move(x=-0.001), homed.home):
        with pytest.raises(DeviceError, match="one that another thread moves"):
            call()
    assert moving.end() is None


def test_a_limit_switch_stops_a_move_and_says_so(homed, wire):
    moving = in_thread(homed.move, z=-0.015)
    until(lambda: homed.position()["z"] < -0.001)
    wire.hand("limit z")
    error = moving.end()
    assert "ALARM:1 (a limit switch was hit; the position is likely lost)" in str(error)
    assert "home it" in error.remedy
    assert homed.get("state") == "Alarm"
    homed.home()
    homed.move(z=-0.001)


def test_homing_that_fails_names_its_alarm(stage, wire):
    wire.hand("jam y")
    with pytest.raises(DeviceError, match=r"homing failed: .*ALARM:9 .homing did not find the limit switch"):
        stage.home()
    assert stage.get("state") == "Alarm"
    wire.hand("free y")
    stage.home()
    assert stage.get("state") == "Idle"


def test_halt_ends_a_homing(stage):
    stage._grbl.command("$24=20", 2)
    homing = in_thread(stage.home)
    time.sleep(0.2)
    stage.halt()
    assert "ALARM:6" in str(homing.end())


def test_halt_as_homing_begins_or_ends_leaves_a_stage_that_can_be_homed(stage):
    for delay in (0.0, 0.001, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08):
        homing = in_thread(stage.home)
        time.sleep(delay)
        stage.halt()
        homing.end()
        assert stage.get("state") in ("Idle", "Alarm")
    stage.home()
    stage.move(z=-0.002)


def test_the_soft_limits_of_the_controller_are_the_second_line(wire, homed):
    # Past what the adapter checks, as a person at a terminal would.
    with pytest.raises(DeviceError, match=r"ALARM:2 .the target lies beyond the machine's travel"):
        homed._grbl.command("G90G53G0Z-25")
    assert homed.get("state") == "Alarm"
    homed.home()
    with pytest.raises(DeviceError, match=r"error:15 .the jog's target"):
        homed._grbl.command("$J=G53Z-25F100")
    with pytest.raises(DeviceError, match=r"error:20 .it does not support this G-code"):
        homed._grbl.command("G2X1")


def test_settings_are_written_and_read_back(stage):
    stage.set("acceleration_z", 0.3)
    assert stage.get("acceleration_z") == pytest.approx(0.3)
    stage.set("maximum_rate_x", 0.01)
    assert stage._grbl.settings()[110] == 600.0
    with pytest.raises(DeviceError, match="expected a number of at least"):
        stage.set("maximum_rate_x", -1.0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("10=0", "report machine positions .*, found"),
        ("13=1", r"report in mm .\$13=0., found \$13=1"),
        ("20=0", r"have soft limits on .\$20=1., found \$20=0"),
        ("132=10", r"found one from -0.01 m to 0 m .\$132"),
    ],
)
def test_a_controller_that_is_set_for_another_machine_is_refused(new_serial, setting, message):
    wire = new_serial("grbl", "--setting", setting)
    stage = GrblStageAdapter("stage", settings(wire.link))
    with pytest.raises(DeviceError, match="MPos" if setting == "10=0" else message):
        stage.open()
    with pytest.raises(DeviceError, match="a closed one"):
        stage.position()


def test_unplugged_and_plugged_in_again_it_comes_back_when_it_is_opened(homed, wire):
    wire.hand("unplug")
    for expected in ("plugged in", "a closed one"):
        with pytest.raises(DeviceError, match=expected):
            homed.position()
    with pytest.raises(DeviceError, match="No such file"):
        homed.open()
    wire.hand("plug")
    with pytest.raises(DeviceError, match="a closed one"):
        homed.position()
    homed.open()
    assert homed.get("state") == "Alarm", "it has lost its power, and so its position"
    homed.home()
    homed.move(z=-0.002)


def test_unplugged_in_a_move_the_move_fails(homed, wire):
    moving = in_thread(homed.move, z=-0.015)
    until(lambda: homed.position()["z"] < -0.001)
    wire.hand("unplug")
    assert "plugged in" in str(moving.end())


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("garbage", "a line of text"),
        ("cut", "without an end"),
        ("silent", "no answer"),
        ("slow 1.5", "no answer"),
    ],
)
def test_a_disturbed_line_is_an_error_and_mends_by_opening(wire, fault, found):
    stage = GrblStageAdapter("stage", settings(wire.link, timeout="500 ms"))
    stage.open()
    stage.home()
    wire.hand(fault)
    with pytest.raises(DeviceError, match=found):
        stage.position()
    wire.hand("slow 0")
    time.sleep(1.2)  # what was late comes now, and belongs to nobody
    stage.open()
    assert stage.position() == pytest.approx({"x": -0.0005, "z": -0.0005})
    stage.close()


def test_slow_answers_within_the_limit_are_answers(new_serial):
    wire = new_serial("grbl")
    wire.hand("slow 0.15")
    stage = GrblStageAdapter("stage", settings(wire.link, timeout="5 s"))
    stage.open()
    stage.home()
    stage.move(z=-0.002)
    assert stage.position()["z"] == pytest.approx(-0.002, abs=2e-6)
    stage.close()


def test_something_else_at_the_path_is_no_grbl(new_serial):
    wire = new_serial("supply")
    stage = GrblStageAdapter("stage", settings(wire.link, timeout="200 ms"))
    with pytest.raises(DeviceError, match="a status report within 4 s, found no answer"):
        stage.open()


def test_closing_stops_what_moves(homed, wire):
    moving = in_thread(homed.move, z=-0.015)
    until(lambda: homed.position()["z"] < -0.001)
    homed.close()
    assert moving.end() is not None
    assert wire.hand("state").startswith("Idle")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "ttyUSB0"}, "an absolute path"),
        ({"travel": {}}, "found no axis"),
        ({"travel": {"z": ["-1 mm", "-5 mm"]}}, "the lower end first"),
        ({"travel": {"q": ["-5 mm", "-1 mm"]}}, "travel"),
        ({"feed": "0 mm/s"}, "more than zero"),
        ({"feed": "10 mm"}, "m/s"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        settings(**({"path": "/dev/ttyUSB0"} | changes))


# --- the dialect ---


def test_a_status_report_is_read_as_the_interface_document_writes_it():
    line = (
        "<Hold:0|MPos:-1.000,2.500,-0.125|Bf:15,128|FS:500,8000|Pn:XZ|WCO:0.000,1.551,5.664|Ov:100,100,100>"
    )
    status = parse_status(line)
    assert status == Status("Hold", 0, {"x": -0.001, "y": 0.0025, "z": -0.000125}, "XZ")
    assert status.stopped
    assert not parse_status("<Hold:1|MPos:0.000,0.000,0.000>").stopped
    assert not parse_status("<Run|MPos:0.000,0.000,0.000>").stopped


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ok",
        "<>",
        "<Idle>",
        "<Idle|WPos:0,0,0>",
        "<Idle|MPos:0,0>",
        "<Idle|MPos:a,b,c>",
        "<Moo|MPos:0,0,0>",
    ],
)
def test_what_is_no_status_report_is_refused(line):
    with pytest.raises(ValueError, match=r"expected|could not convert"):
        parse_status(line)


def test_the_numbers_of_grbl_1_1_have_their_meaning():
    assert sorted(ALARMS) == list(range(1, 11))
    assert sorted(ERRORS) == [*range(1, 18), *range(20, 39)]
    assert alarm_text("ALARM:99") == "ALARM:99 (a number that Grbl 1.1 does not define)"


# --- the controller, without its wire ---


@pytest.fixture
def grbl():
    grbl = Grbl()
    grbl.power_on(0.0)
    return grbl


def say(grbl, text, now):
    return grbl.receive(text.encode("latin-1"), now).decode()


def test_it_comes_up_locked_with_the_welcome_of_grbl(grbl):
    assert grbl.power_on(0.0) == b"\r\nGrbl 1.1h ['$' for help]\r\n[MSG:'$H'|'$X' to unlock]\r\n"
    assert say(grbl, "G0X-1\n", 0.1) == "error:9\r\n"
    assert say(grbl, "$X\n", 0.2) == "[MSG:Caution: Unlocked]\r\nok\r\n"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("", "ok"), ("g21 g90 (a comment)", "ok"), ("$G", "[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F0 S0]\r\nok"),
        ("1", "error:1"), ("GX", "error:2"), ("$Q", "error:3"), ("$120=-1", "error:4"), ("$0=1", "error:6"),
        ("$22=0", "ok"), ("X" * 90, "error:11"), ("$J=X-1G1F10", "error:16"), ("$J", "error:16"),
        ("$J=X5F10", "error:15"), ("G2X1", "error:20"), ("G0G1X-1", "error:21"), ("G1X-1", "error:22"),
        ("G1X-1X-2F10", "error:25"), ("G1F10", "error:26"), ("G4", "error:28"), ("G0X-1P3", "error:36"),
    ],
)  # fmt: skip
def test_lines_are_answered_with_the_numbers_of_grbl(grbl, line, answer):
    say(grbl, "$X\n", 0.0)
    assert say(grbl, f"{line}\n", 0.1) == f"{answer}\r\n"


def test_settings_are_printed_as_grbl_prints_them(grbl):
    lines = say(grbl, "$$\n", 0.0).splitlines()
    assert lines[-1] == "ok"
    assert [line.partition("=")[0] for line in lines[:-1]] == [f"${number}" for number in sorted(DEFAULTS)]
    assert {"$0=10", "$11=0.010", "$20=1", "$110=1200.000"} <= {*lines}


def test_motion_takes_its_time_and_answers_come_first(grbl):
    say(grbl, "$X\n", 0.0)
    assert say(grbl, "G90G53G1X-3F60\n", 1.0) == "ok\r\n"  # from -1 mm, 1 mm/s
    assert say(grbl, "?", 2.0).startswith("<Run|MPos:-2.000,-1.000,-1.000|FS:60,0")
    assert say(grbl, "$$\n", 2.0) == "error:8\r\n"
    assert say(grbl, "?", 3.1).startswith("<Idle|MPos:-3.000,")


def test_a_hold_completes_and_a_reset_then_keeps_the_position(grbl):
    say(grbl, "$X\nG90G53G1X-3F60\n", 0.0)
    say(grbl, "!", 1.0)
    assert say(grbl, "?", 1.001).startswith("<Hold:1|")
    assert say(grbl, "?", 1.5).startswith("<Hold:0|MPos:-2.000")
    assert say(grbl, "\x18", 1.6) == "\r\nGrbl 1.1h ['$' for help]\r\n"
    assert say(grbl, "?", 1.7).startswith("<Idle|MPos:-2.000")


def test_a_reset_in_motion_is_an_alarm(grbl):
    say(grbl, "$X\nG90G53G1X-3F60\n", 0.0)
    said = say(grbl, "\x18", 1.0)
    assert said.startswith("ALARM:3\r\n")
    assert "to unlock" in said


def test_after_a_critical_alarm_only_a_reset_is_heard(grbl):
    say(grbl, "$X\n", 0.0)
    assert say(grbl, "G90G53G0X-99\n", 0.1) == "ALARM:2\r\n[MSG:Reset to continue]\r\n"
    assert say(grbl, "?", 0.2) == ""
    assert say(grbl, "$X\n", 0.3) == ""
    assert "Grbl 1.1h" in say(grbl, "\x18", 0.4)


def test_homing_answers_nothing_until_it_ends(grbl):
    assert say(grbl, "$H\n", 0.0) == ""
    assert say(grbl, "?", 0.01) == ""
    assert grbl.tick(60.0) == b"ok\r\n"
    assert say(grbl, "?", 60.1).startswith("<Idle|MPos:-0.500,-0.500,-0.500")


def test_homing_in_the_other_direction_ends_at_the_other_end():
    grbl = Grbl({23: 1})
    grbl.power_on(0.0)
    say(grbl, "$H\n", 0.0)
    grbl.tick(60.0)
    assert "MPos:-19.500,-0.500,-0.500" in say(grbl, "?", 60.1)


def test_lines_wait_when_the_planner_is_full(grbl):
    say(grbl, "$X\n", 0.0)
    said = say(grbl, "G4P1\n" * 20, 0.1)
    assert said.count("ok") == 15
    assert grbl.tick(30.0).count(b"ok") == 5


# --- what it carries ---


def carrying(*says):
    """A controller whose load says one thing after another, and the positions that the load was told."""
    told, left = [], list(says)

    def carry(position):
        told.append(dict(position))
        return left.pop(0) if len(left) > 1 else left[0]

    return Grbl({22: 0, 20: 0}, carry), told


def test_a_move_lasts_until_what_the_stage_carries_is_there():
    grbl, told = carrying("there", "moving", "moving", "there")
    grbl.power_on(0.0)
    grbl.receive(b"G90G1Z-2F60\n", 0.0)
    grbl.tick(5.0)
    assert (grbl.state, grbl.busy) == ("Run", True)
    grbl.tick(5.1)
    grbl.tick(5.2)
    assert (grbl.state, grbl.busy) == ("Idle", False)
    assert told[-1]["Z"] == -2.0


def test_what_is_in_the_way_of_what_it_carries_presses_a_switch():
    grbl, _ = carrying("there", "blocked")
    grbl.power_on(0.0)
    grbl.receive(b"G90G1Z-2F60\n", 0.0)
    grbl.tick(5.0)
    assert grbl.tick(5.1).startswith(b"ALARM:1")
    assert grbl.state == "Alarm"


def test_a_stage_is_homed_by_its_property(stage):
    assert stage.get("homed") is False
    stage.set("homed", True)
    assert stage.get("homed") is True
    stage.move(x=-0.002)
    with pytest.raises(DeviceError, match="setting homed failed: expected true, found false"):
        stage.set("homed", False)

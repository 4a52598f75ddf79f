"""The GPIO unit over lines without a chip: what it reads, drives and toggles, and what it does when lines fail."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace

import pytest

from nixel.safety.config.units import GpioChip, GpioInput, GpioOutput, Pull
from nixel.safety.units.gpio import Gpio, LinesError
from nixel.safety.units.unit import RETRY, Command, UnitError

PERIOD = 0.01
PUMP = 27
CHIP = GpioChip(
    chip=0,
    path="",
    inputs=(
        GpioInput(5, Pull.UP, active_high=False),
        GpioInput(6, Pull.DOWN, active_high=True),
        GpioInput(25, Pull.UP, active_high=True),
        GpioInput(26, Pull.UP, active_high=True),
    ),
    outputs=(GpioOutput(17, active_high=True, readback=25), GpioOutput(18, active_high=False, readback=26)),
    charge_pump=PUMP,
)
BOTH = frozenset({"gpio:17", "gpio:18"})


class Wires:
    """What is connected to the lines, and what happened on them."""

    def __init__(self):
        self.levels = {5: False, 6: False, 25: False, 26: False}
        self.driven = []  # line, level
        self.opened = 0
        self.closed = 0
        self.fail = None  # method, error
        self.hang = threading.Event()
        self.hang.set()

    def open(self, chip):
        self.opened += 1
        self._may("open")
        return self

    def read(self):
        self.hang.wait()
        self._may("read")
        return dict(self.levels)

    def write(self, line, level):
        self.driven.append((line, level))
        self._may("write")

    def close(self):
        self.closed += 1
        self._may("close")

    def edges(self):
        return [level for line, level in tuple(self.driven) if line == PUMP]

    def _may(self, what):
        if self.fail and self.fail[0] == what:
            raise self.fail[1]


def wait_until(what, timeout=2.0):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.0005)


@pytest.fixture
def wires():
    return Wires()


@pytest.fixture
def gpio(wires):
    unit = Gpio(CHIP, PERIOD, PERIOD, wires.open)
    unit.start()
    yield unit
    wires.hang.set()
    wires.fail = None
    unit.close(1.0)
    assert not unit.alive()


def values(gpio):
    return {source: reading.value for source, reading in gpio.view.readings.items()}


def running(gpio):
    wait_until(lambda: gpio.view.readings and not gpio.view.fault)


def ticks(gpio, count, on=BOTH, first=1):
    """Command like a loop that ticks: a beat more each time."""
    for beats in range(first, first + count):
        gpio.command(Command(on, permitted=True, beats=beats))
        time.sleep(PERIOD)


def test_levels_are_told_as_active_or_not_and_readbacks_by_their_sinks(gpio, wires):
    running(gpio)
    assert values(gpio) == {
        "gpio:5": True,  # low and active low
        "gpio:6": False,
        "gpio:25": False,
        "gpio:26": False,
        "readback:gpio:17": False,
        "readback:gpio:18": False,
    }
    wires.levels = {5: True, 6: True, 25: True, 26: False}
    wait_until(lambda: values(gpio)["gpio:5"] is False)
    assert (values(gpio)["gpio:6"], values(gpio)["readback:gpio:17"]) == (True, True)


def test_a_line_that_says_nothing_sensible_is_no_reading_of_that_line_alone(gpio, wires):
    running(gpio)
    wires.levels = {5: None, 25: True, 26: True}
    wait_until(lambda: values(gpio)["gpio:5"] is None)
    assert (values(gpio)["gpio:6"], values(gpio)["gpio:25"]) == (None, True)


def test_every_period_is_read_and_stamped_with_the_time_of_reading(gpio):
    running(gpio)
    stamps = []
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        stamp = gpio.view.readings["gpio:5"].time
        assert stamp <= time.monotonic()
        if not stamps or stamp != stamps[-1]:
            stamps.append(stamp)
        time.sleep(0.001)
    gaps = [b - a for a, b in itertools.pairwise(stamps)]
    assert len(stamps) > 30
    assert min(gaps) > PERIOD / 2


def test_while_nothing_may_be_on_it_is_read_at_the_idle_pace_and_else_every_period(wires):
    gpio = Gpio(CHIP, PERIOD, 10 * PERIOD, wires.open)
    gpio.start()
    running(gpio)
    first = gpio.view.readings["gpio:5"].time
    wait_until(lambda: gpio.view.readings["gpio:5"].time > first)
    assert gpio.view.readings["gpio:5"].time - first >= 10 * PERIOD
    ticks(gpio, 10)
    assert time.monotonic() - gpio.view.readings["gpio:5"].time < 5 * PERIOD
    gpio.close(1.0)


def test_while_the_loop_ticks_it_is_read_shortly_before_the_next_tick(gpio):
    running(gpio)
    leads = []
    deadline = time.monotonic()
    for beats in range(1, 60):
        deadline += PERIOD
        time.sleep(max(0.0, deadline - time.monotonic()))
        leads.append(time.monotonic() - gpio.view.readings["gpio:5"].time)
        gpio.command(Command(permitted=True, beats=beats))
    assert sorted(leads[10:])[len(leads[10:]) // 2] < PERIOD / 2


def test_a_thread_that_stands_still_lets_its_readings_grow_old(gpio, wires):
    running(gpio)
    wires.hang.clear()
    time.sleep(0.05)
    stamp = gpio.view.readings["gpio:5"].time
    time.sleep(0.1)
    assert gpio.view.readings["gpio:5"].time == stamp
    began = time.monotonic()
    gpio.command(Command(BOTH, permitted=True, beats=1))
    assert time.monotonic() - began < 0.05, "commanding does not wait for it"
    assert wires.edges() == []
    with pytest.raises(
        UnitError, match="has not let its lines go within 50 ms; the charge pump stands still"
    ):
        gpio.close(0.05)


# --- outputs and the charge pump ---


def test_outputs_go_on_in_their_order_and_off_in_reverse_at_their_active_levels(gpio, wires):
    running(gpio)
    gpio.command(Command(BOTH, permitted=True, beats=1))
    wait_until(lambda: wires.edges())
    assert wires.driven == [(17, True), (18, False), (PUMP, True)]
    gpio.command(Command(frozenset(), permitted=True, beats=2))
    wait_until(lambda: len(wires.edges()) == 2)
    assert wires.driven[3:] == [(18, True), (17, False), (PUMP, False)]


def test_sinks_of_other_units_are_not_its_business(gpio, wires):
    running(gpio)
    gpio.command(Command(frozenset({"ac", "gpio:4"}), permitted=True, beats=1))
    wait_until(lambda: wires.edges())
    assert wires.driven == [(PUMP, True)]


def test_the_pump_toggles_exactly_once_a_tick(gpio, wires):
    running(gpio)
    ticks(gpio, 50)
    wait_until(lambda: len(wires.edges()) >= 50)
    time.sleep(3 * PERIOD)
    assert wires.edges() == [beat % 2 == 0 for beat in range(50)]


@pytest.mark.parametrize(
    "command",
    [Command(), Command(BOTH, permitted=True, beats=5), Command(permitted=False, beats=6)],
    ids=["off", "a loop that ticks no more", "a tick that does not permit"],
)
def test_without_a_completed_tick_that_permits_the_pump_stands_still(gpio, wires, command):
    running(gpio)
    ticks(gpio, 5)
    wait_until(lambda: len(wires.edges()) == 5)
    for _ in range(10):
        gpio.command(command)
        time.sleep(PERIOD)
    assert len(wires.edges()) == 5


def test_a_thread_that_was_late_does_not_make_up_for_the_edges_it_missed(gpio, wires):
    running(gpio)
    wires.hang.clear()
    time.sleep(3 * PERIOD)
    ticks(gpio, 20, on=frozenset())
    wires.hang.set()
    time.sleep(3 * PERIOD)
    assert len(wires.edges()) == 1


def test_relays_that_hold_for_longer_may_stand_still_for_longer(wires):
    gpio = Gpio(replace(CHIP, hold=0.2), PERIOD, PERIOD, wires.open)
    gpio.start()
    try:
        running(gpio)
        ticks(gpio, 5)
        time.sleep(0.1)
        ticks(gpio, 1, first=6)
        wait_until(lambda: len(wires.edges()) == 6)
        assert not gpio.view.fault
        time.sleep(0.25)
        ticks(gpio, 1, first=7)
        wait_until(lambda: gpio.view.fault)
        assert "was not told anything by the control loop for 2" in gpio.view.fault
    finally:
        gpio.close(1.0)


def test_relays_that_may_have_dropped_do_not_pick_up_by_themselves(gpio, wires):
    running(gpio)
    ticks(gpio, 5)
    wait_until(lambda: len(wires.edges()) == 5)
    time.sleep(0.1)
    assert not gpio.view.fault, "the pump lets them drop, as `prove` wants to see"
    assert (17, False) not in wires.driven
    wires.driven.clear()
    ticks(gpio, 1, first=6)
    wait_until(lambda: gpio.view.fault)
    assert "was not told anything by the control loop for 1" in gpio.view.fault
    assert wires.driven == [(18, True), (17, False)]


def test_a_loop_that_stood_still_with_everything_off_is_no_fault(gpio, wires):
    running(gpio)
    ticks(gpio, 2, on=frozenset())
    time.sleep(0.1)
    ticks(gpio, 2, first=3)
    wait_until(lambda: len(wires.edges()) == 4)
    assert not gpio.view.fault


def test_a_chip_without_outputs_is_read_alike():
    wires = Wires()
    gpio = Gpio(GpioChip(0, "", CHIP.inputs), PERIOD, PERIOD, wires.open)
    gpio.start()
    running(gpio)
    ticks(gpio, 3)
    assert values(gpio)["gpio:5"] is True
    gpio.close(1.0)
    assert wires.driven == []


# --- closing, and lines that fail ---


def test_closing_switches_off_in_reverse_and_gives_the_lines_back(gpio, wires):
    running(gpio)
    ticks(gpio, 1)
    wires.driven.clear()
    gpio.close(1.0)
    assert wires.driven[-2:] == [(18, True), (17, False)]
    assert wires.closed == 1
    assert PUMP not in dict(wires.driven)


def test_closing_goes_on_whatever_fails_and_tells_all_of_it(gpio, wires):
    running(gpio)
    wires.driven.clear()
    wires.fail = ("write", LinesError("does not listen"))
    with pytest.raises(UnitError) as caught:
        gpio.close(1.0)
    assert wires.driven == [(18, True), (17, False)]
    assert wires.closed == 1
    assert str(caught.value) == (
        "the GPIO chip 0 could not switch gpio:18 off: it does not listen; "
        "could not switch gpio:17 off: it does not listen; the charge pump stands still, so the relays drop"
    )
    gpio._left = ()


def test_a_chip_that_cannot_be_opened_is_a_fault_and_tried_again():
    wires = Wires()
    wires.fail = ("open", LinesError("cannot be opened: No such file or directory"))
    gpio = Gpio(CHIP, PERIOD, PERIOD, wires.open)
    gpio.start()
    wait_until(lambda: gpio.view.fault)
    assert gpio.view.fault == "the GPIO chip 0 cannot be opened: No such file or directory"
    assert gpio.view.readings == {}
    wires.fail = None
    running(gpio)
    gpio.close(1.0)
    assert wires.driven == [(18, True), (17, False)], "off, and never on"


def test_lines_that_fail_are_switched_off_and_a_fault_for_long_enough_to_be_seen(gpio, wires):
    running(gpio)
    ticks(gpio, 3)
    wires.driven.clear()
    began = time.monotonic()
    wires.fail = ("read", LinesError("was lost"))
    wait_until(lambda: gpio.view.fault)
    assert gpio.view.fault == "the GPIO chip 0 was lost"
    stamp = gpio.view.readings["gpio:5"].time
    assert stamp <= began + PERIOD
    wires.fail = None
    running(gpio)
    assert time.monotonic() - began > RETRY * 0.9
    assert wires.driven == [(18, True), (17, False)]


def test_what_was_commanded_before_the_lines_came_back_is_not_done(gpio, wires):
    running(gpio)
    ticks(gpio, 3)
    wires.fail = ("read", LinesError("was lost"))
    wait_until(lambda: gpio.view.fault)
    wires.fail = None
    wires.driven.clear()
    running(gpio)
    time.sleep(5 * PERIOD)
    assert (17, True) not in wires.driven
    assert wires.edges() == []
    ticks(gpio, 1, first=9)
    wait_until(lambda: wires.edges())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_leaves_everything_off():
    wires = Wires()
    gpio = Gpio(CHIP, PERIOD, PERIOD, wires.open)
    gpio.start()
    running(gpio)
    ticks(gpio, 3)
    wires.driven.clear()
    wires.fail = ("read", ZeroDivisionError("a bug"))
    wait_until(lambda: not gpio.alive())
    assert wires.driven == [(18, True), (17, False)]
    assert wires.closed == 1
    # What it died of is told a moment later, and belongs to this test.
    wait_until(lambda: all(thread.name != "gpio" for thread in threading.enumerate()))

"""Whose turn it is with the devices: a run goes before those who look, and waits for one answer at most."""

import threading
import time
import types
from contextlib import contextmanager
from typing import Literal

import pytest
from whole_system import wait_until

from nixel.acquisition import opened
from nixel.acquisition.adapters.adapter import Adapter
from nixel.acquisition.devices import DeviceError, Property
from nixel.acquisition.readings import PropertyRefusedError
from nixel.acquisition.settings import DeviceSettings
from nixel.imaging import device_desk
from nixel.imaging.device_desk import DeviceDesk
from nixel.imaging.device_turn import Turn


class SlowSettings(DeviceSettings):
    adapter: Literal["slow"]


class Slow:
    """A device with many properties, each of which takes its time; notes whoever opens it twice."""

    def __init__(self, name, world):
        self.name, self.where, self.world = name, name, world
        self.properties = tuple(Property(f"p{n}", "integer") for n in range(20))

    def open(self):
        self.world.open += 1
        self.world.most = max(self.world.most, self.world.open)

    def close(self):
        self.world.open -= 1
        self.world.closed_while_read |= self.world.reading

    def get(self, name):
        self.world.reading = True
        self.world.gate.wait()
        time.sleep(self.world.takes)
        self.world.reading = False
        return self.world.value

    def set(self, name, value):
        self.world.value = value


@pytest.fixture
def world(monkeypatch):
    gate = threading.Event()
    gate.set()
    world = types.SimpleNamespace(
        open=0, most=0, takes=0.0, value=1, gate=gate, reading=False, closed_while_read=False
    )
    adapter = Adapter(SlowSettings, lambda name, settings, around: Slow(name, world))
    monkeypatch.setattr(opened, "adapters", lambda: {"slow": adapter})
    monkeypatch.setattr(device_desk, "LINGER", 0.3)
    world.instrument = types.SimpleNamespace(
        name="bench", simulated=True, devices={"slow": SlowSettings(adapter="slow")}
    )
    return world


@pytest.fixture
def desk(world):
    desk = DeviceDesk(world.instrument)
    desk.start()
    yield desk
    world.gate.set()
    desk.stop()
    assert world.open == 0, "everything is closed in the end"
    assert world.most <= 1, "the device was opened beside itself"
    assert not world.closed_while_read


@contextmanager
def thread(work):
    results = []
    worker = threading.Thread(target=lambda: results.append(work()), daemon=True)
    worker.start()
    yield results
    worker.join(20)
    assert not worker.is_alive()


def test_a_run_interrupts_who_looks_and_waits_for_one_property_at_most(world, desk):
    world.takes = 0.2  # so that all of them take 4 s
    with thread(desk.look):
        wait_until(lambda: world.reading, what="the look's beginning")
        begun = time.monotonic()
        with desk.lent_to("run 1") as opening:
            assert time.monotonic() - begun < 2
            with opening(world.instrument) as devices:
                assert devices["slow"].name == "slow"
                world.takes = 0.0
                answer = desk.look(0.0)
                assert (answer.held_by, answer.devices[0].state) == ("run 1", "answers")
    assert world.most == 1


def test_the_end_of_a_run_waits_for_who_reads_and_closes_nothing_under_it(world, desk):
    with desk.lent_to("run 1") as opening, opening(world.instrument):
        world.takes = 0.1
        looking = threading.Thread(target=desk.look, daemon=True)
        looking.start()
        wait_until(lambda: world.reading, what="the look's beginning")
    world.takes = 0.0
    looking.join(20)


def test_while_a_run_opens_its_devices_nothing_is_known_of_them(world, desk):
    with desk.lent_to("run 2"):
        answer = desk.look(0.0)
        assert answer.held_by == "run 2"
        assert [(one.name, one.state, one.properties) for one in answer.devices] == [("slow", "busy", [])]
        with pytest.raises(PropertyRefusedError, match="run 2 has the devices") as caught:
            desk.set("slow", "p0", "3")
        assert caught.value.reason == "busy"
    assert desk.look(0.0).held_by == ""
    assert world.value == 1


def test_a_run_does_not_wait_for_ever_for_a_device_that_hangs(world, desk, monkeypatch):
    monkeypatch.setattr(device_desk, "_PATIENCE", 0.3)
    world.gate.clear()
    with thread(desk.look):
        wait_until(lambda: world.reading, what="the look's beginning")
        with pytest.raises(DeviceError, match="found one that does neither"), desk.lent_to("run 3"):
            pytest.fail("the devices were lent")
        world.gate.set()


def test_the_devices_are_closed_soon_after_the_last_look(world, desk):
    desk.look()
    assert world.open == 1
    wait_until(lambda: world.open == 0, what="the devices' closing")


def test_they_stay_open_while_somebody_watches_and_no_longer(world, desk):
    with desk.watched(0.2):
        wait_until(lambda: world.open == 1, what="the devices' opening")
        time.sleep(1.0)
        assert world.open == 1
    wait_until(lambda: world.open == 0, what="the devices' closing")


def test_those_who_ask_at_once_share_one_look(world, desk):
    first = desk.look(60.0)
    world.value = 2
    assert desk.look(60.0) is first
    assert desk.look(0.0).devices[0].properties[0].value == 2


def test_what_is_set_is_told_before_the_next_look_is_due(world, desk):
    made = desk.set("slow", "p3", "7")
    assert (made.before, made.text) == ("1", "7")
    assert desk.look(60.0).devices[0].properties[3].value == 7


def test_a_claim_goes_before_those_who_wait_to_look():
    turn, order = Turn(), []
    with turn.looking() as interrupted:
        assert not interrupted()

        def look():
            with turn.looking():
                order.append("look")

        def claim():
            with turn.claimed(20) as mine:
                order.append("claim" if mine else "lost")

        threads = [threading.Thread(target=work) for work in (look, claim)]
        for one in threads:
            one.start()
        wait_until(interrupted, what="the claim")
    for one in threads:
        one.join(20)
    assert order == ["claim", "look"]

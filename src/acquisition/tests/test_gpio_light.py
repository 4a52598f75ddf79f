"""A light on a GPIO line, over the virtual panel's socket and on gpiozero's simulated pins."""

import contextlib
import json
import signal
import socket
import subprocess
import sys

import pytest

pytest.importorskip("gpiozero", reason="gpiozero is not installed (make test installs it)")

from gpiozero.pins.mock import MockFactory

from nixel.acquisition.adapters.gpio_light import GpioLight, GpioLightAdapter
from nixel.acquisition.devices import DeviceError, Light
from nixel.acquisition.instrument import Instrument, InstrumentError, load_instrument
from nixel.acquisition.instrument_file import validate

SELECTOR = 22


def settings(**changes):
    given = {"adapter": "gpio-light", "factory": "virtual-panel", "line": SELECTOR, "path": "/run/panel"}
    return GpioLight.model_validate(given | changes)


@pytest.fixture
def panel(tmp_path):
    path = tmp_path / "panel"
    process = subprocess.Popen(
        [sys.executable, "-m", "nixel.acquisition.virtual.panel_server", "--socket", str(path)],
        stdout=subprocess.PIPE,
    )
    assert json.loads(process.stdout.readline())["panel"] == str(path)
    process.path = path
    yield process
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    process.stdout.close()


def diode(panel):
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(panel.path))
        asked.sendall(b"STATE\n")
        words = dict(word.partition("=")[::2] for word in asked.recv(1000).decode().split()[1:])
    return int(words["diode"]), int(words["relay"])


@pytest.fixture
def light(panel):
    light = GpioLightAdapter("diode", settings(path=str(panel.path)))
    light.open()
    yield light
    with contextlib.suppress(DeviceError):
        light.close()


def test_it_selects_at_the_panel_and_never_energises(light, panel):
    assert isinstance(light, Light)
    assert not light.is_on()
    assert diode(panel) == (1, 0)
    light.switch(True)
    assert light.is_on()
    assert diode(panel) == (2, 0)
    light.set("on", False)
    assert light.get("on") is False
    assert diode(panel) == (1, 0)


def test_closing_leaves_the_line_inactive(light, panel):
    light.switch(True)
    light.close()
    light.close()
    assert diode(panel) == (1, 0)
    with pytest.raises(DeviceError, match="a closed one"):
        light.is_on()
    light.open()
    light.switch(True)
    assert diode(panel) == (2, 0)


def test_a_line_has_one_owner(light, panel):
    with pytest.raises(DeviceError, match=r"opening failed: .*line 22 belongs to another connection"):
        GpioLightAdapter("other", settings(path=str(panel.path))).open()


@pytest.mark.parametrize(("line", "found"), [(5, "line 5 is none of the outputs"), (40, "not a valid pin")])
def test_a_line_that_cannot_be_driven_is_refused(panel, line, found):
    with pytest.raises(DeviceError, match=found):
        GpioLightAdapter("diode", settings(path=str(panel.path), line=line)).open()


def test_a_panel_that_is_gone_is_an_error(light, panel):
    panel.kill()
    panel.wait(10)
    with pytest.raises(DeviceError, match="switching failed"):
        light.switch(True)
    with pytest.raises(DeviceError, match="reading failed"):
        light.is_on()
    with pytest.raises(DeviceError):
        light.close()
    light.close()
    with pytest.raises(DeviceError, match="Connection refused"):
        light.open()


@pytest.mark.parametrize(("active", "level"), [("high", True), ("low", False)])
def test_a_light_may_be_wired_either_way(active, level):
    pins = MockFactory()
    light = GpioLightAdapter("diode", settings(active=active), lambda: pins)
    light.open()
    pin = pins.pin(SELECTOR)
    assert pin.state is not level
    # Never active for a moment while it is taken.
    assert level not in [state.state for state in pin.states[1:]]
    light.switch(True)
    assert pin.state is level
    light.close()
    assert pin.states[-1].state is not level


def test_a_line_that_does_not_follow_is_found():
    pins = MockFactory()
    light = GpioLightAdapter("diode", settings(), lambda: pins)
    light.open()
    pins.pin(SELECTOR)._set_state = lambda value: None
    with pytest.raises(DeviceError, match="expected the line active, found it inactive"):
        light.switch(True)


def test_without_lgpio_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lgpio", None)
    light = GpioLightAdapter("diode", settings(factory="lgpio", path=""))
    with pytest.raises(DeviceError, match=r"Install nixel-acquisition\[gpio\]"):
        light.open()


@pytest.mark.parametrize(
    "changes",
    [
        {"factory": "native"},
        {"factory": "mock"},
        {"factory": "pigpio"},
        {"factory": "lgpio"},  # with a panel's path
        {"path": ""},
        {"line": 54},
    ],
)
def test_wrong_settings_are_refused(changes):
    with pytest.raises(ValueError, match=r"factory|path|line"):
        settings(**changes)


def microscope(simulated=True, **changes):
    tables = load_instrument("virtual-microscope").model_dump(mode="json", exclude_none=True)
    tables["devices"] = {"diode": settings(**changes).model_dump(mode="json")}
    tables["instrument"]["simulated"] = simulated
    for naming in ("channels", "focus"):  # the devices that are not there now
        tables["microscope"].pop(naming, None)
    return validate(Instrument, tables, "instrument")


def test_the_lines_of_the_safety_daemon_are_refused_when_the_file_is_read():
    assert microscope().devices["diode"].line == SELECTOR
    for line in (5, 17, 27):
        with pytest.raises(
            InstrumentError, match=rf"devices.diode.line: found {line}, which is the safety daemon"
        ):
            microscope(line=line)


def test_a_virtual_panel_is_for_simulated_instruments_only():
    with pytest.raises(InstrumentError, match=r"devices.diode.factory: .*instrument.simulated is false"):
        microscope(simulated=False)

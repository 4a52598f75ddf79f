"""The cabinet of the virtual scanner: what its unit says on the serial line and what the scanner knows of it."""

import socket
import threading
import time

import pytest

from nixel.acquisition.adapters.scpi import ScpiConnection
from nixel.acquisition.adapters.scpi_daq import ScpiDaq
from nixel.acquisition.adapters.scpi_robot import ScpiRobot
from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.virtual.cabinet import Cabinet
from nixel.acquisition.virtual.plant import Plant
from nixel.acquisition.virtual.server import Server, listen

HELD_UP = 0.3  # s


@pytest.fixture
def held_up(tmp_path, serial_client):
    """A scanner whose host stands still before it hears of its gate: its control, its unit's line, its cabinet."""
    instrument = load_instrument("virtual-scanner")
    daq, robot = (
        next(device for device in instrument.devices.values() if isinstance(device, kind))
        for kind in (ScpiDaq, ScpiRobot)
    )
    plant = Plant(instrument.scanner, daq, robot, 0)

    def gate(on, reason):
        time.sleep(HELD_UP)
        plant.set_amplifier(on, reason)

    cabinet = Cabinet(tmp_path / "surveillance", gate, 5.0)
    plant.cabinet = cabinet.transmit
    listener = listen("127.0.0.1", 0)
    server = Server(plant, cabinet, "held up")
    threading.Thread(target=server.accept_control, args=(listener,), daemon=True).start()
    line = serial_client(tmp_path / "surveillance")
    host, port = listener.getsockname()[:2]
    with ScpiConnection(f"{host}:{port}", 5.0, "held up") as control:
        yield control, line, cabinet
    line.close()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    cabinet.close()


def open_gate(line):
    for command in ("ENABLE:WD", "RESET:FAIL", "RESET:WD", "ENABLE:AC"):
        assert line.ask(command) == "ACK#"


def test_who_was_told_that_the_gate_is_open_may_transmit_at_once(held_up):
    control, line, _ = held_up
    open_gate(line)
    control.command("RP:TRansmit ON")
    assert control.query("RP:TRansmit?") == "1"


def test_whether_the_amplifier_is_on_is_never_said_too_late(held_up):
    control, line, _ = held_up
    assert control.query("RP:TRansmit:READy?") == "0"
    open_gate(line)
    assert control.query("RP:TRansmit:READy?") == "1"
    assert line.ask("DISABLE:AC") == "ACK#"
    assert control.query("RP:TRansmit:READy?") == "0"


def test_a_unit_that_has_gone_has_closed_the_gate(held_up):
    control, line, cabinet = held_up
    open_gate(line)
    assert control.query("RP:TRansmit:READy?") == "1"
    cabinet.close()
    assert control.query("RP:TRansmit:READy?") == "0"

"""The sensor that the simulated stage carries: where it is, is what the microscope says, and not what was asked for."""

import contextlib
import json
import socket
import threading
import time

import pytest

from nixel.acquisition.cameras.wire import Header, Kind
from nixel.acquisition.instrument import InstrumentError, load_instrument
from nixel.acquisition.instrument_file import path_of
from nixel.acquisition.microscope_tables import MicroscopeFocus
from nixel.acquisition.virtual.carried_sensor import CarriedSensor

LIMIT = 20.0
FOCUS = MicroscopeFocus.model_validate({"stage": "stage", "axis": "z", "offset": "-0.2 mm", "direction": -1})


class Microscope:
    """Takes distances up to 3 mm, and keeps what it was asked for."""

    def __init__(self, path):
        self.asked = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        self._connection, _ = self._listener.accept()
        with self._connection, self._connection.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                self.asked.append((request["control"], request["value"]))
                good = request["value"] <= 3e-3
                reply = {"ok": {}} if good else {"error": "ERANGE", "text": "a distance of at most 3 mm"}
                text = json.dumps(reply).encode()
                self._connection.sendall(Header(Kind.REPLY, len(text)).pack() + text)

    def close(self, path):
        with contextlib.suppress(OSError):  # the other side has hung up already
            self._connection.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(LIMIT)
        path.unlink()


def until(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_moves_until_the_microscope_has_it_and_a_new_one_is_told_again(tmp_path):
    path = tmp_path / "microscope"
    carried = CarriedSensor(path, FOCUS)
    assert carried.carry({"X": 0.0, "Y": 0.0, "Z": -1.2}) == "moving"
    time.sleep(0.5)  # nobody is there to take it
    assert carried.carry({"X": 0.0, "Y": 0.0, "Z": -1.2}) == "moving"
    first = Microscope(path)
    until(lambda: carried.carry({"X": 9.0, "Y": 0.0, "Z": -1.2}) == "there")
    assert first.asked == [("distance", 1e-3)]
    first.close(path)
    second = Microscope(path)
    until(lambda: second.asked == [("distance", 1e-3)])
    until(lambda: carried.carry({"X": 9.0, "Y": 0.0, "Z": -1.2}) == "there")
    carried.close()
    second.close(path)


def test_where_the_microscope_cannot_have_it_it_is_blocked(tmp_path):
    path = tmp_path / "microscope"
    microscope = Microscope(path)
    carried = CarriedSensor(path, FOCUS)
    until(lambda: carried.carry({"Z": -5.0}) == "blocked")
    until(lambda: carried.carry({"Z": -3.2}) == "there")
    assert microscope.asked == [("distance", 4.8e-3), ("distance", 3e-3)]
    carried.close()
    microscope.close(path)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            '"-3.2 mm", "-0.5 mm"',
            '"-10 mm", "-0.5 mm"',
            r"devices\.stage\.travel\.z: found one .* 0\.3 mm to 9\.8 mm",
        ),
        ('stage = "stage"', 'stage = "lift"', r"microscope\.focus\.stage: found no device 'lift'"),
        ("direction = -1", "direction = 2", r"microscope\.focus\.direction"),
    ],
)
def test_a_focus_that_cannot_be_is_refused_with_its_key(tmp_path, old, new, found):
    text = path_of("virtual-microscope").read_text()
    assert old in text
    path = tmp_path / "microscope.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(InstrumentError, match=found):
        load_instrument(path)

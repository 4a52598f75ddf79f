"""A serial line tells what breaks it, and never takes what comes late for the answer to the next question."""

import os
import threading
import time
import tty

import pytest

from nixel.acquisition.adapters.serial_line import SerialConnection
from nixel.acquisition.devices import DeviceError


class Pty:
    """The far end of a line, in this process: what a device would say is written by the test."""

    def __init__(self):
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)

    def say(self, data):
        os.write(self.master, data)

    def hear(self):
        return os.read(self.master, 1000)

    def unplug(self):
        os.close(self.master)
        os.close(self._slave)
        self.master = None


@pytest.fixture
def pty():
    pty = Pty()
    yield pty
    if pty.master is not None:
        pty.unplug()


@pytest.fixture
def line(pty):
    with SerialConnection(pty.path, "sensor", timeout=0.3) as line:
        yield line


def answering(pty, *answers):
    """A thread that answers each line that it hears, in turn."""

    def run():
        for answer in answers:
            pty.hear()
            for part in answer if isinstance(answer, list) else [answer]:
                pty.say(part)
                time.sleep(0.05)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_question_is_a_line_and_so_is_its_answer(pty, line):
    answering(pty, b"23.5\r\n", b"24.0\n")
    assert [line.query("READ?"), line.query("READ?")] == ["23.5", "24.0"]


def test_an_answer_that_comes_in_parts_is_whole(pty, line):
    answering(pty, [b"2", b"3.", b"5\r", b"\n"])
    assert line.query("READ?") == "23.5"


def test_what_was_said_unasked_is_no_answer(pty, line):
    pty.say(b"hello\r\n99.9\r\n")
    answering(pty, b"23.5\r\n")
    assert line.query("READ?") == "23.5"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"", "within 0.3 s, found no answer"),
        (b"23.", r"found only b'23.', without an end"),
        (b"\xff\x00\xa5\n", r"a line of text, found b'\\xff\\x00\\xa5'"),
        (b"23\x07\n", "a line of text"),
        (b"x" * 3000 + b"x" * 3000, "bytes without an end"),
    ],
)
def test_what_is_no_answer_closes_the_line_with_its_reason(pty, line, answer, found):
    answering(pty, answer)
    with pytest.raises(DeviceError, match=f"sensor at {pty.path}: READ[?] failed: .*{found}"):
        line.query("READ?")
    assert not line.is_open
    with pytest.raises(DeviceError, match="expected an open line, found a closed one"):
        line.query("READ?")


def test_a_late_answer_is_not_taken_for_the_next_one(pty, line):
    with pytest.raises(DeviceError, match="no answer"):
        line.query("FIRST?")
    pty.hear()
    pty.say(b"first\n")
    line.open()
    answering(pty, b"second\n")
    assert line.query("SECOND?") == "second"


def test_an_unplugged_line_is_an_error_of_reading_and_is_not_opened_again_by_itself(pty, line):
    pty.unplug()
    with pytest.raises(DeviceError, match="plugged in") as caught:
        line.query("READ?")
    assert "open it again" in caught.value.remedy
    with pytest.raises(DeviceError, match="a closed one"):
        line.query("READ?")


def test_a_line_that_is_not_there_or_in_use_cannot_be_opened(pty, line, tmp_path):
    with pytest.raises(DeviceError, match="expected a serial line, found No such file or directory"):
        SerialConnection(str(tmp_path / "none"), "x").open()
    (tmp_path / "file").write_text("no terminal")
    with pytest.raises(DeviceError, match="opening failed"):
        SerialConnection(str(tmp_path / "file"), "x").open()
    with pytest.raises(DeviceError, match="found one that another program has open"):
        SerialConnection(pty.path, "x").open()


def test_a_device_that_talks_without_end_cannot_be_opened(pty):
    stop = threading.Event()

    def chatter():
        while not stop.wait(0.01):
            pty.say(b"a")

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        with pytest.raises(DeviceError, match="talked for 2 s unasked"):
            SerialConnection(pty.path, "x").open()
    finally:
        stop.set()
        thread.join()


def test_threads_do_not_get_each_others_answers(pty, line):
    def echo():
        received = b""
        while True:
            try:
                received += pty.hear()
            except (OSError, TypeError):
                return
            *lines, received = received.split(b"\n")
            for asked in lines:
                pty.say(asked.lower() + b"\n")

    threading.Thread(target=echo, daemon=True).start()
    wrong = []

    def ask(name):
        wrong.extend(text for n in range(100) if line.query(text := f"{name}{n}") != text.lower())

    threads = [threading.Thread(target=ask, args=(name,)) for name in "ABCD"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong
    line.query("END")


def test_a_line_that_another_thread_keeps_is_not_waited_for_without_end(pty):
    line = SerialConnection(pty.path, "x", timeout=0.01)
    line.open()
    taken, done = threading.Event(), threading.Event()

    def keep():
        with line.conversation("keeping"):
            taken.set()
            done.wait(10)

    thread = threading.Thread(target=keep)
    thread.start()
    taken.wait(10)
    with pytest.raises(DeviceError, match=r"one that another thread has kept for 0.3 s"):
        line.query("READ?")
    done.set()
    thread.join()
    line.close()
    line.close()

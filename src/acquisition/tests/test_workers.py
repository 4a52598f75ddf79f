"""A worker process answers, refuses, dies and hangs, and only it is gone then."""

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.workers import frames
from nixel.acquisition.workers.worker import Worker, WorkerRefused

PROGRAM = """
import os, sys, time
from nixel.acquisition.workers.serve import Refusal, serve
def refuse():
    raise Refusal("no", "not today")
def say(text):
    print(text, flush=True)
def nonsense():
    os.write(int(sys.argv[1]), b"HTTP/1.1 200 OK")
def half():
    os.write(int(sys.argv[1]), b"\\x64\\0\\0\\0\\0\\0\\0\\0{")
    os.abort()
def note():
    open(sys.argv[2], "a").write("closed")
    time.sleep(float(sys.argv[3]))
methods = {"echo": lambda *things: list(things), "refuse": refuse, "say": say, "nonsense": nonsense, "half": half,
           "abort": os.abort, "exit": os._exit, "sleep": time.sleep, "pid": os.getpid, "divide": lambda: 1 / 0}
serve(int(sys.argv[1]), methods, note, 1.0)
"""


@pytest.fixture
def make(tmp_path):
    """Worker processes of PROGRAM; its notes are in `notes`."""
    (tmp_path / "worker_under_test.py").write_text(PROGRAM)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    def end(worker):
        with contextlib.suppress(DeviceError):
            worker.stop(10)

    with contextlib.ExitStack() as stack:

        def start(closing=0.0):
            worker = Worker(
                "worker_under_test",
                [str(tmp_path / "notes"), str(closing)],
                where="stage at plugin.so",
                environment={"PYTHONPATH": path},
            )
            worker.start()
            stack.callback(end, worker)
            return worker

        yield start


def call(worker, method, *arguments, timeout=60.0):
    return worker.call(method, *arguments, timeout=timeout)


def wait_until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_gone(pid):
    """A zombie waits for whoever adopted it and is gone as well."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_what_is_said_arrives_as_it_was(make):
    worker = make()
    things = [1, -(2**63), 0.1, True, None, "µ\0\ud800", b"", b"\0\xff", {"a": [b"one", b"two"]}, "x" * 2**20]
    assert call(worker, "echo", *things) == things
    assert call(worker, "echo", memoryview(bytearray(10))) == [bytes(10)]


def test_a_refusal_is_an_answer_and_the_worker_goes_on(make):
    worker = make()
    with pytest.raises(WorkerRefused, match="not today") as caught:
        call(worker, "refuse")
    assert caught.value.kind == "no"
    with pytest.raises(WorkerRefused, match="ZeroDivisionError: division by zero"):
        call(worker, "divide")
    assert call(worker, "echo", 1) == [1]


@pytest.mark.parametrize(
    ("method", "arguments", "says"),
    [
        ("abort", (), "died of SIGABRT"),
        ("exit", (3,), "ended with status 3"),
        ("half", (), "died of SIGABRT"),
    ],
)
def test_a_death_is_named_with_the_last_words_and_the_worker_can_be_started_again(
    make, method, arguments, says
):
    worker = make()
    call(worker, "say", "the bus is on fire")
    with pytest.raises(DeviceError, match=f"stage at plugin.so: .*{says}.*the bus is on fire"):
        call(worker, method, *arguments)
    with pytest.raises(DeviceError, match=r"found none\. Open the device again"):
        call(worker, "echo")
    worker.start()
    assert call(worker, "echo", 1) == [1]


def test_one_that_hangs_is_killed(make):
    worker = make()
    pid = call(worker, "pid")
    with pytest.raises(
        DeviceError, match=r"expected an answer within 0\.5 s, found none, so its worker .* killed"
    ):
        call(worker, "sleep", 600, timeout=0.5)
    assert is_gone(pid)


def test_one_that_speaks_nonsense_is_killed(make):
    worker = make()
    pid = call(worker, "pid")
    with pytest.raises(DeviceError, match="expected a message of at most"):
        call(worker, "nonsense")
    assert is_gone(pid)


def test_what_it_holds_is_brought_to_rest_once(make, tmp_path):
    worker = make()
    call(worker, "echo")
    worker.stop(30)
    worker.stop(30)
    assert (tmp_path / "notes").read_text() == "closed"


def test_closing_has_a_time_limit(make):
    worker = make(closing=600)
    pid = call(worker, "pid")
    with pytest.raises(DeviceError, match=r"expected it at rest within 0\.3 s"):
        worker.stop(0.3)
    assert is_gone(pid)


@pytest.mark.parametrize("doing", ["nothing", "hanging"])
def test_it_ends_with_the_one_who_started_it(make, tmp_path, doing):
    worker = make()
    pid = call(worker, "pid")
    if doing == "hanging":
        frames.send(worker._connection, {"method": "sleep", "arguments": [600]})
    # As the kernel does when the process that holds it is gone.
    worker._connection.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: is_gone(pid))
    assert (tmp_path / "notes").exists() == (doing == "nothing")


def test_calls_of_threads_come_one_after_another(make):
    worker = make()
    answers = {}

    def ask(number):
        answers[number] = [call(worker, "echo", number, step) for step in range(20)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: [[number, step] for step in range(20)] for number in range(8)}


def test_ctrl_c_is_not_for_the_worker(make):
    worker = make()
    pid = call(worker, "pid")
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGTERM)
    with pytest.raises(DeviceError, match="SIGTERM"):
        call(worker, "echo")


@pytest.mark.parametrize(
    "wire",
    [
        b"\x01",
        struct.pack("<II", 5, 0) + b"{}",
        struct.pack("<II", 2, 0) + b"{]",
        struct.pack("<II", 1, 0) + b"\xff",
        struct.pack("<II", 2**32 - 1, 2**32 - 1),
        struct.pack("<II", 100000, 0) + b"[" * 100000,
        struct.pack("<II", 23, 2) + b'{"\\u0000bytes": [1, 2]}' + b"ab",
        struct.pack("<II", 24, 2) + b'{"\\u0000bytes": [-1, 1]}' + b"ab",
    ],
)
def test_what_is_no_message_is_refused(wire):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=lambda: (theirs.sendall(wire), theirs.close()))
        sender.start()
        with pytest.raises(frames.FrameError):
            frames.receive(ours, time.monotonic() + 30)
        sender.join()


def test_nothing_of_a_message_that_is_too_large_is_sent(monkeypatch):
    monkeypatch.setattr(frames, "LARGEST", 1000)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(frames.FrameTooLarge):
            frames.send(ours, bytes(1001))
        frames.send(ours, [bytes(10)])
        assert frames.receive(theirs) == [bytes(10)]

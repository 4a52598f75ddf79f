"""What the tests do and look at on the machine itself, with our programs' own Python; prints one line of JSON.

probe.py walls                          what can be reached and done from where this was started
probe.py scan                           measure a calibration and a scan through the imaging service: the picture
probe.py correlation PICTURE SUBJECT    how like the phantom a picture is
probe.py energise                       hold the amplifier on until this is ended; says so when it is on
probe.py ask LINE                       what the virtual scanner's front panel answers
"""

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
import time
from pathlib import Path

# sched.h, sys/mount.h
CLONE_NEWUSER, MS_BIND = 0x10000000, 4096
PROT_CODE = mmap.PROT_WRITE | mmap.PROT_EXEC
DONE = "done"
FILE = "written"
PLACES = [
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/nix/store",
    "/opt",
    "/root",
    "/run",
    "/run/nixel",
    "/run/nixel-update",
    "/usr",
    "/var/lib",
    "/var/lib/nixel-imaging",
    "/var/lib/nixel-provision",
    "/var/lib/nixel-safety",
    "/var/lib/nixel-update",
]
AMPLIFIER = "amplifier"
CONTROL = ("127.0.0.1", 5025)
# Another machine of the lab, whose sshd listens.
ELSEWHERE = ("10.77.0.1", 22)


def attempt(action):
    """The name of the error that an action ends with, or `None`; in a process of its own, which it may change."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            action()
            os.write(writing, DONE.encode())
        except OSError as error:
            os.write(writing, errno.errorcode.get(error.errno, str(error)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        name = said.read()
    os.wait()
    if not name:
        raise RuntimeError("an action ended with neither success nor a refusal")
    return None if name == DONE else name


def connect(address, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.settimeout(2)
        try:
            made.connect(address)
        except TimeoutError as error:
            raise OSError(errno.ETIMEDOUT, "timed out") from error


def write(path):
    place = Path(path)
    place.write_text("")
    place.unlink()


def call(name, *arguments):
    """A function of the C library that answers -1 when it is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def names(folder):
    return sorted(each.name for each in Path(folder).iterdir())


def make_folder(path):
    place = Path(path)
    place.mkdir()
    place.rmdir()


def set_user_id(folder):
    place = Path(folder) / "program"
    place.write_text("")
    place.chmod(0o4755)


def walls():
    state = os.environ.get("STATE_DIRECTORY", "")
    own = f"{state}/{FILE}"
    seen = [each for each in Path("/proc").iterdir() if each.name.isdigit()]
    network = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    return {
        "own": attempt(lambda: write(own)) if state else "none",
        "write": {place: attempt(lambda place=place: write(f"{place}/{FILE}")) for place in PLACES},
        "temporary": names("/tmp"),
        "home": attempt(lambda: names("/root")),
        "interfaces": [line.split(":")[0].strip() for line in network],
        "connect": {
            "itself": attempt(lambda: connect(("127.0.0.1", 22))),
            "elsewhere": attempt(lambda: connect(ELSEWHERE)),
            "packet": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
            "netlink": attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()),
        },
        "processes": sorted({each.stat().st_uid for each in seen if each.exists()}),
        "user": os.getuid(),
        "devices": names("/dev"),
        "do": {
            "user namespace": attempt(lambda: call("unshare", CLONE_NEWUSER)),
            "mount": attempt(lambda: call("mount", b"/tmp", b"/mnt", None, MS_BIND, None)),
            "realtime": attempt(lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))),
            "writable code": attempt(lambda: mmap.mmap(-1, 4096, prot=PROT_CODE).close()),
            "set-user-ID": attempt(lambda: set_user_id("/tmp")),
            "personality": attempt(lambda: call("personality", 0x0008)),
            "kernel log": attempt(lambda: call("klogctl", 3, ctypes.create_string_buffer(64), 64)),
            "clock": attempt(lambda: call("adjtimex", ctypes.create_string_buffer(b"\1", 256))),
            "host name": attempt(lambda: socket.sethostname(socket.gethostname())),
            "become root": attempt(lambda: os.setuid(0)),
            "kernel settings": attempt(lambda: Path("/proc/sys/kernel/hostname").open("w").close()),
            "control groups": attempt(lambda: make_folder("/sys/fs/cgroup/made")),
            "priority": attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, -20)),
        },
        "status": dict(
            line.split(":\t")
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith(("Cap", "NoNewPrivs", "Seccomp:"))
        ),
    }


def scan():
    from nixel.imaging.client import ServiceClient

    client = ServiceClient()
    calibration = client.perform({"kind": "calibration", "protocol": {"seed": 1}})["dataset_ids"][-1]
    run = client.perform({"kind": "scan", "protocol": {"seed": 2}, "calibration_id": calibration})
    return client.get(f"/pictures/{run['picture_ids'][-1]}") | {"subject": run["protocol"]["subject"]}


def correlation(picture, subject):
    from nixel.acquisition.virtual.truth import correlation_with_phantom

    return float(correlation_with_phantom(Path(picture), subject))


def energise():
    from nixel.safety.client import SafetyClient

    with SafetyClient().lease("test") as lease:
        lease.enable(AMPLIFIER)
        print(json.dumps("on"), flush=True)
        while True:
            time.sleep(1)


def ask(line):
    with socket.create_connection(CONTROL, timeout=5) as made, made.makefile("r") as lines:
        made.sendall(line.encode() + b"\n")
        return lines.readline().strip()


if __name__ == "__main__":
    actions = {each.__name__: each for each in (walls, scan, correlation, energise, ask)}
    print(json.dumps(actions[sys.argv[1]](*sys.argv[2:])), flush=True)

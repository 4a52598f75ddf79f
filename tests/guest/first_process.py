"""What the first process of a virtual machine begins with, and how it tells what came out.

Every function named `check_...` of a module is a check; each is told of in a line "CHECK name passed" or
"CHECK name FAILED", the latter with a traceback after it.
"""

import ctypes
import os
import sys
import traceback
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
FINIT_MODULE = 313
RB_AUTOBOOT = 0x01234567


def mount(kind, place):
    Path(place).mkdir(parents=True, exist_ok=True)
    if LIBC.mount(b"none", place.encode(), kind.encode(), 0, None):
        raise OSError(ctypes.get_errno(), f"mount {kind}")


def load(module, options=""):
    descriptor = os.open(f"/modules/{module}", os.O_RDONLY)
    if LIBC.syscall(FINIT_MODULE, descriptor, options.encode(), 0):
        raise OSError(ctypes.get_errno(), f"load {module}")
    os.close(descriptor)


def run(prepare, checks):
    """Run what prepares the machine and every check, then end the machine."""
    try:
        prepare()
        for name, check in list(checks.items()):
            if name.startswith("check_"):
                try:
                    check()
                except BaseException:  # noqa: BLE001  whatever it is, it is told outside
                    print(f"CHECK {name} FAILED", flush=True)
                    traceback.print_exc(file=sys.stdout)
                else:
                    print(f"CHECK {name} passed", flush=True)
    except BaseException:  # noqa: BLE001  a first process that ends takes the kernel with it
        traceback.print_exc(file=sys.stdout)
    print("THE END", flush=True)
    os.sync()
    LIBC.reboot(RB_AUTOBOOT)

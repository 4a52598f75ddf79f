"""The GPIO lines on a chip of the kernel: its own simulator, in a virtual machine, under gpiozero and lgpio.

The kernel and the emulator are Debian's, fetched once by apt and unpacked as a user; the simulator's module, which
Debian leaves out, is built from the same kernel's source. Where that cannot be done these tests say so.
"""

from __future__ import annotations

import re

import emulated
import guest
import pytest
import virtual_machine

CHECKS = [name for name in vars(guest) if name.startswith("check_")]


@pytest.fixture(scope="module")
def said():
    try:
        folder = emulated.prepare()
        return virtual_machine.boot(folder, emulated.file_system(folder))
    except virtual_machine.MissingError as error:
        pytest.skip(f"GPIO on the kernel's simulated chip: {error}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("check", CHECKS)
def test_on_a_chip_of_the_kernel(said, check):
    found = re.search(rf"CHECK {check} (passed|FAILED)(.*?)(?=CHECK |THE END|\Z)", said, re.DOTALL)
    assert found is not None, f"it was not reached:\n{said[-4000:]}"
    assert found[1] == "passed", found[2]

"""The V4L2 adapter against the kernel's own virtual camera, vivid, in an emulated machine.

The kernel and the emulator are Debian's, fetched once by apt and unpacked as a user. Where that cannot be done these
tests say so.
"""

from __future__ import annotations

import re

import pytest
import virtual_machine
import vivid_guest
import vivid_machine

CHECKS = [name for name in vars(vivid_guest) if name.startswith("check_")]


@pytest.fixture(scope="module")
def said():
    try:
        folder = virtual_machine.prepare()
        return virtual_machine.boot(folder, vivid_machine.file_system(folder), memory=vivid_machine.MEMORY)
    except virtual_machine.MissingError as error:
        pytest.skip(f"V4L2 on the kernel's virtual camera: {error}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("check", CHECKS)
def test_on_the_kernels_virtual_camera(said, check):
    found = re.search(rf"CHECK {check} (passed|FAILED)(.*?)(?=CHECK |THE END|\Z)", said, re.DOTALL)
    assert found is not None, f"it was not reached:\n{said[-4000:]}"
    assert found[1] == "passed", said[max(0, found.start() - 1500) : found.end()]

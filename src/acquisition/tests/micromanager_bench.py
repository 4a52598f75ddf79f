"""Micro-Manager's demo adapters as a microscope, for tests."""

import contextlib
import os
from pathlib import Path

import pytest

from nixel.acquisition.instrument import Instrument
from nixel.acquisition.opened import open_devices

pymmcore = pytest.importorskip(
    "pymmcore", reason="pymmcore is missing (pip install pymmcore; it is built for x86_64 only)"
)
mm_test_adapters = pytest.importorskip(
    "mm_test_adapters", reason="mm-test-adapters is missing (pip install mm-test-adapters; for x86_64 only)"
)

MICROSCOPE = {
    "wavelength": "500 nm",
    "medium_index": 1.0,
    "pixel_size": "1 um",
    "shape": [512, 512],
    "distance_range": ["1 mm", "2 mm"],
    "limits": {"exposure": "1 s", "on_time": "1 s"},
}
FOLDER = str(mm_test_adapters.device_adapter_path())
PLANE = {"x": ["-10 mm", "10 mm"], "y": ["-10 mm", "10 mm"]}
LONG = 60.0  # s: so long a busy machine may take


def part(kind="device", **keys):
    return {"adapter": f"micro-manager-{kind}", "core": "mm"} | keys


def demo(device, kind="device", **keys):
    return part(kind, library="DemoCamera", device=device, **keys)


CORE = {"adapter": "micro-manager", "adapters": [FOLDER]}
CONFIGURED = {
    "mm": CORE | {"configuration": "MMConfig_demo.cfg"},
    "camera": part("camera", label="Camera"),
    "plane": part("stage", label="XY", travel=PLANE),
    "focus": part("stage", label="Z", travel={"z": ["-100 um", "100 um"]}),
    "light": part("light", label="White Light Shutter"),
    "dichroic": part(label="Dichroic"),
}
SLOW = part(
    "stage",
    library="NotificationTester",
    device="NTAsyncXYStage",
    travel=PLANE,
    properties={"SlewTimePerStep_s": 0.01},  # 0.1 µm a step: 0.1 s for a µm
)


def instrument(devices, simulated=True):
    return Instrument.model_validate(
        {
            "instrument": {"name": "bench", "kind": "microscope", "description": "", "simulated": simulated},
            "microscope": MICROSCOPE,
            "devices": devices,
        }
    )


def opened(devices):
    return open_devices(instrument({"mm": CORE} | devices))


def gone(pid):
    return not Path(f"/proc/{pid}").exists()


def children():
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                yield stat.parent.name

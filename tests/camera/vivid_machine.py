"""The file system of a virtual machine with the kernel's virtual camera."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import virtual_machine
import vivid_guest
from virtual_machine import ROOT, SITE, FileSystem, MissingError

PACKAGES = (
    "annotated_types",
    "flexcache",
    "flexparser",
    "numpy",
    "pint",
    "platformdirs",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
)
MEMORY = 1024  # MiB


def file_system(folder: Path) -> bytes:
    """Put together Python, NumPy, the camera's adapter, the modules and what runs there."""
    made = FileSystem()
    libraries = virtual_machine.python(made, Path(vivid_guest.__file__))
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        if found is None:
            raise MissingError(f"{name} is not installed (make setup brings it)")
        origin = Path(found.origin)
        if origin.name != "__init__.py":
            made.copy(origin, SITE / origin.name)
            continue
        libraries += made.tree(origin.parent, SITE / name)
        beside = origin.parent.with_name(f"{name}.libs")
        if beside.is_dir():  # what a wheel brings along
            libraries += made.tree(beside, SITE / beside.name)
    made.tree(ROOT / "src/acquisition/nixel", SITE / "nixel")
    made.libraries(*libraries)
    for module in vivid_guest.MODULES:
        path = folder / "lib/modules" / folder.name / "kernel" / module
        made.copy(path, Path("/modules") / path.name)
    return made.finish()

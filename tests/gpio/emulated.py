"""The file system of a virtual machine with a simulated GPIO chip, whose module is built here.

Debian's kernel has no GPIO simulator, so its module is built from the same kernel's source.
"""

from __future__ import annotations

import importlib.util
import sys
import tarfile
from pathlib import Path

import guest
import virtual_machine
from virtual_machine import ROOT, SITE, FileSystem, MissingError, fetch, run

NEEDED = ("make", "gcc-12")
SOURCES = ("drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "kernel/irq/irq_sim.c")


def prepare() -> Path:
    """Fetch and build what is not here yet.

    Returns
    -------
    Path
        The folder with everything.

    Raises
    ------
    MissingError
        If that cannot be done on this machine.
    """
    virtual_machine.need(NEEDED)
    folder = virtual_machine.prepare()
    release = folder.name
    if (folder / "complete").exists():
        return folder
    short = ".".join(release.split(".")[:2])
    headers = f"linux-headers-{release}"
    common = headers.replace("-amd64", "-common")
    fetch([headers, common, f"linux-kbuild-{short}", f"linux-source-{short}"], folder)
    build_module(folder, release, short)
    fetch_lgpio(folder / "site")
    (folder / "complete").touch()
    return folder


def build_module(folder: Path, release: str, short: str) -> None:
    """Build the kernel's GPIO simulator as a module of its own."""
    sources = folder / "module"
    sources.mkdir(exist_ok=True)
    archive = folder / f"usr/src/linux-source-{short}.tar.xz"
    with tarfile.open(archive) as tar:
        wanted = {f"linux-source-{short}/{name}" for name in SOURCES}
        for member in tar:
            if member.name in wanted:
                (sources / Path(member.name).name).write_bytes(tar.extractfile(member).read())
                wanted.remove(member.name)
                if not wanted:
                    break
    archive.unlink()
    # The one function that the kernel keeps to itself; its exported sister takes the number as it is.
    simulated = (sources / "irq_sim.c").read_text()
    simulated = simulated.replace("handle_simple_irq(irq_to_desc(irqnum))", "generic_handle_irq(irqnum)")
    (sources / "irq_sim.c").write_text(simulated)
    (sources / "Kbuild").write_text("obj-m := gpio-simulator.o\ngpio-simulator-y := gpio-sim.o irq_sim.o\n")
    headers = folder / "usr/src" / f"linux-headers-{release}"
    common = headers.with_name(headers.name.replace("-amd64", "-common"))
    (headers / "Makefile").write_text(f"include {common}/Makefile\n")
    command = ["make", "-s", "-C", str(headers), f"M={sources}", "modules"]
    run(command, folder, "the kernel's GPIO simulator")


def fetch_lgpio(site: Path) -> None:
    """Fetch lgpio by its hash, for this very Python."""
    lock = Path(__file__).with_name("lgpio.lock")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--target", str(site), "-r", str(lock)]
    run(command, site.parent, "lgpio for this Python")


def file_system(folder: Path) -> bytes:
    """Put together Python, the libraries, the safety daemon, the modules and what runs there."""
    made = FileSystem()
    libraries = virtual_machine.python(made, Path(guest.__file__))
    libraries += made.tree(folder / "site", SITE)
    for name in ("gpiozero", "colorzero"):
        found = importlib.util.find_spec(name)
        if found is None:
            raise MissingError(f"{name} is not installed (make setup brings it)")
        made.tree(Path(found.origin).parent, SITE / name)
    made.tree(ROOT / "services/safety/nixel", SITE / "nixel")
    made.libraries(*libraries)
    modules = folder / "lib/modules" / folder.name / "kernel/fs/configfs/configfs.ko"
    made.copy(modules, Path("/modules/configfs.ko"))
    made.copy(folder / "module/gpio-simulator.ko", Path("/modules/gpio-simulator.ko"))
    return made.finish()

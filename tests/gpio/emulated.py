"""A virtual machine with a simulated GPIO chip: its kernel, emulator and file system, fetched and built as a user.

Debian's kernel has no GPIO simulator, so its module is built from the same kernel's source. Everything is unpacked
into a folder of its own; nothing is installed and nothing needs root.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import guest

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nixel" / "gpio-sim"
NEEDED = ("apt-get", "apt-cache", "dpkg-deb", "make", "gcc-12", "ldd")
EMULATOR = "qemu-system-x86"
SOURCES = ("drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "kernel/irq/irq_sim.c")
# The rest of a Python that a daemon never asks for.
LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "ensurepip",
    "site-packages",
    "tkinter",
    "lib2to3",
    "__pycache__",
    "turtledemo",
}


class MissingError(Exception):
    """Something that the machine needs is not here; the text says what."""


def run(command: list[str], folder: Path, why: str, **more: object) -> str:
    """Run a command; its failure is something missing."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise MissingError(f"{why}: {' '.join(command[:3])} ends with {done.returncode}: {' '.join(words)}")
    return done.stdout


def depends(package: str) -> str:
    """The package that a package for every version depends on."""
    text = run(["apt-cache", "depends", package], Path("/"), f"Debian's package {package}")
    found = re.search(r"Depends: (\S+-[0-9]\S+)", text)
    if found is None:
        raise MissingError(
            f"Debian's package {package}: this machine's apt does not know it (apt-get update)"
        )
    return found[1]


def fetch(packages: list[str], folder: Path) -> None:
    """Fetch Debian packages and unpack them into a folder."""
    debs = folder / "debs"
    shutil.rmtree(debs, ignore_errors=True)
    debs.mkdir(parents=True)
    user = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    run(["apt-get", "-q", *user, "download", *packages], debs, "Debian's archive")
    for deb in sorted(debs.glob("*.deb")):
        run(["dpkg-deb", "-x", str(deb), str(folder)], folder, "unpacking")
    shutil.rmtree(debs)


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
    for program in NEEDED:
        if shutil.which(program) is None:
            raise MissingError(f"no {program} on this machine")
    if sysconfig.get_platform() != "linux-x86_64":
        raise MissingError("this machine is no x86_64, and another's kernel would have to be emulated")
    release = depends("linux-image-amd64").removeprefix("linux-image-")
    folder = CACHE / release
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    emulator = run(["apt-get", "-s", "--no-install-recommends", "install", EMULATOR], folder, "Debian's QEMU")
    wanted = sorted({EMULATOR, *re.findall(r"^Inst (\S+)", emulator, re.MULTILINE)})
    short = ".".join(release.split(".")[:2])
    headers = f"linux-headers-{release}"
    common = headers.replace("-amd64", "-common")
    fetch(
        [
            *wanted,
            f"linux-image-{release}",
            headers,
            common,
            f"linux-kbuild-{short}",
            f"linux-source-{short}",
        ],
        folder,
    )
    build_module(folder, release, short)
    fetch_lgpio(folder / "site")
    (folder / "complete").touch()
    return folder


def build_module(folder: Path, release: str, short: str) -> None:
    """Build the kernel's GPIO simulator as a module of its own."""
    sources = folder / "module"
    sources.mkdir()
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


class FileSystem:
    """An initial file system, in the format "newc" of cpio."""

    def __init__(self) -> None:
        self._written = io.BytesIO()
        self._names: set[str] = set()

    def folder(self, path: Path) -> None:
        """Add a folder, and those above it."""
        for each in (*reversed(path.parents), path):
            self._entry(str(each), 0o040755, b"")

    def file(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        """Add a file, and the folders above it."""
        self.folder(path.parent)
        self._entry(str(path), 0o100000 | mode, content)

    def copy(self, source: Path, target: Path | None = None) -> None:
        """Add a file of this machine, in the same place if no other is named."""
        self.file(target or source, source.read_bytes(), source.stat().st_mode & 0o777)

    def tree(self, source: Path, target: Path | None = None) -> list[Path]:
        """Add a folder of this machine; give the libraries in it."""
        libraries = []
        for path in sorted(source.rglob("*")):
            inside = path.relative_to(source)
            if path.is_file() and LEFT_OUT.isdisjoint(inside.parts) and path.suffix != ".a":
                self.copy(path, (target or source) / inside)
                if ".so" in path.suffixes:
                    libraries.append(path)
        return libraries

    def libraries(self, *of: Path) -> None:
        """Add what these programs and libraries load."""
        for path in of:
            text = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
            for found in re.findall(r"(/\S+) \(0x", text):
                self.copy(Path(found))

    def finish(self) -> bytes:
        """Give the archive."""
        self._names.discard("TRAILER!!!")
        self._entry("/TRAILER!!!", 0, b"")
        return self._written.getvalue()

    def _entry(self, path: str, mode: int, content: bytes) -> None:
        name = path.lstrip("/").encode()
        if not name or path in self._names:
            return
        self._names.add(path)
        links, size = 1, len(content)
        fields = (len(self._names), mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + "".join(f"{field:08X}" for field in fields).encode() + name + b"\0"
        for part in (head, content):
            self._written.write(part + b"\0" * (-len(part) % 4))


def file_system(folder: Path) -> bytes:
    """Put together Python, the libraries, the safety daemon, the modules and what runs there."""
    made = FileSystem()
    python = Path(sys._base_executable).resolve()
    made.copy(python)
    libraries = made.tree(Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix})))
    site = Path("/site")
    libraries += made.tree(folder / "site", site)
    for name in ("gpiozero", "colorzero"):
        found = importlib.util.find_spec(name)
        if found is None:
            raise MissingError(f"{name} is not installed (make setup brings it)")
        made.tree(Path(found.origin).parent, site / name)
    made.tree(ROOT / "services/safety/nixel", site / "nixel")
    made.libraries(python, *libraries)
    modules = folder / "lib/modules" / folder.name / "kernel/fs/configfs/configfs.ko"
    made.copy(modules, Path("/modules/configfs.ko"))
    made.copy(folder / "module/gpio-simulator.ko", Path("/modules/gpio-simulator.ko"))
    head = (
        f"#!{python} -B\nimport os, sys\nos.environ['PYTHONPATH'] = '{site}'\nsys.path.insert(0, '{site}')\n"
    )
    head += "os.environ['PYTHONDONTWRITEBYTECODE'] = '1'\n"
    head += f"sys.executable = '{python}'\n"
    made.file(Path("/init"), (head + Path(guest.__file__).read_text()).encode(), 0o755)
    made.folder(Path("/dev"))
    return made.finish()


def boot(folder: Path, timeout: float = 480.0) -> str:
    """Run the machine until it ends; give what it said.

    Raises
    ------
    MissingError
        If it cannot be put together.
    """
    image = folder / f"initrd.{os.getpid()}"
    image.write_bytes(file_system(folder))
    libraries = [folder / "usr/lib/x86_64-linux-gnu", folder / "lib/x86_64-linux-gnu"]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    command = [
        str(folder / "usr/bin/qemu-system-x86_64"),
        # Emulated, slow as it is: whether a machine's own virtualisation works shows only when it does not.
        *("-accel", "tcg", "-cpu", "max", "-m", "512", "-no-reboot"),
        *("-L", str(folder / "usr/share/qemu"), "-L", str(folder / "usr/share/seabios")),
        *("-net", "none", "-display", "none", "-vga", "none", "-monitor", "none", "-serial", "stdio"),
        *("-kernel", str(folder / "boot" / f"vmlinuz-{folder.name}"), "-initrd", str(image)),
        *("-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=on rdinit=/init"),
    ]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")
        return f"{said}\nthe machine did not end within {timeout:g} s"
    finally:
        image.unlink()
    return done.stdout + done.stderr

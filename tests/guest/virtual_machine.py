"""A virtual machine of Debian's kernel, fetched and put together as a user, and emulated.

Everything is unpacked into a folder of its own; nothing is installed and nothing needs root. What runs in it is Python,
from an initial file system that a test makes; `first_process.py` is what every one of them begins with.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nixel" / "gpio-sim"
NEEDED = ("apt-get", "apt-cache", "dpkg-deb", "ldd")
EMULATOR, EMULATOR_PROGRAM = "qemu-system-x86", "qemu-system-x86_64"
SITE = Path("/site")
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
    """Fetch the kernel and the emulator, if they are not here yet; a machine's own emulator is one.

    Returns
    -------
    Path
        Their folder, named after the kernel's release.

    Raises
    ------
    MissingError
        If that cannot be done on this machine.
    """
    need(NEEDED)
    if sysconfig.get_platform() != "linux-x86_64":
        raise MissingError("this machine is no x86_64, and another's kernel would have to be emulated")
    release = depends("linux-image-amd64").removeprefix("linux-image-")
    folder = CACHE / release
    here = shutil.which(EMULATOR_PROGRAM) or (folder / "usr/bin" / EMULATOR_PROGRAM).exists()
    if here and ((folder / "fetched").exists() or (folder / "complete").exists()):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # Nothing, where it is installed.
    listed = run(["apt-get", "-s", "--no-install-recommends", "install", EMULATOR], folder, "Debian's QEMU")
    fetch([*re.findall(r"^Inst (\S+)", listed, re.MULTILINE), f"linux-image-{release}"], folder)
    (folder / "fetched").touch()
    return folder


def need(programs: tuple[str, ...]) -> None:
    """Make sure that there are such programs."""
    for program in programs:
        if shutil.which(program) is None:
            raise MissingError(f"no {program} on this machine")


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


def python(made: FileSystem, first: Path) -> list[Path]:
    """Add this Python and what runs first; give the libraries that it loads."""
    program = Path(sys._base_executable).resolve()
    made.copy(program)
    libraries = made.tree(Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix})))
    made.copy(Path(__file__).with_name("first_process.py"), SITE / "first_process.py")
    head = (
        f"#!{program} -B\nimport os, sys\nos.environ['PYTHONPATH'] = '{SITE}'\nsys.path.insert(0, '{SITE}')\n"
    )
    head += "os.environ['PYTHONDONTWRITEBYTECODE'] = '1'\n"
    head += f"sys.executable = '{program}'\n"
    made.file(Path("/init"), (head + first.read_text()).encode(), 0o755)
    made.folder(Path("/dev"))
    return [program, *libraries]


def emulator(folder: Path) -> tuple[str, dict[str, str], list[str]]:
    """The emulator's program, its environment and arguments that tell it where its parts are."""
    own = shutil.which(EMULATOR_PROGRAM)
    if own is not None:
        return own, dict(os.environ), []
    libraries = [folder / "usr/lib/x86_64-linux-gnu", folder / "lib/x86_64-linux-gnu"]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    parts = ["-L", str(folder / "usr/share/qemu"), "-L", str(folder / "usr/share/seabios")]
    return str(folder / "usr/bin" / EMULATOR_PROGRAM), environment, parts


def boot(folder: Path, content: bytes, memory: int = 512, timeout: float = 800.0) -> str:
    """Run the machine with an initial file system and so many MiB until it ends; give what it said."""
    image = folder / f"initrd.{os.getpid()}"
    image.write_bytes(content)
    program, environment, also = emulator(folder)
    command = [
        program,
        # Emulated, slow as it is: whether a machine's own virtualisation works shows only when it does not.
        *("-accel", "tcg", "-cpu", "max", "-m", str(memory), "-no-reboot"),
        *also,
        *("-net", "none", "-display", "none", "-vga", "none", "-monitor", "none", "-serial", "stdio"),
        *("-kernel", str(folder / "boot" / f"vmlinuz-{folder.name}"), "-initrd", str(image)),
        # On a busy machine the kernel misses ticks, takes its timer for broken and stops: it need not check.
        *("-append", "console=ttyS0 quiet panic=-1 no_timer_check random.trust_cpu=on rdinit=/init"),
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

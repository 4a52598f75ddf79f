"""Libraries, programs and .debs to examine: compiled, patched, or written byte for byte."""

import ctypes.util
import io
import lzma
import re
import shutil
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

COMPILERS = {".c": "cc", ".cpp": "c++", ".rs": "rustc"}


def compiled(folder, name, source, *flags, language=".c", shared=True):
    """Compile a text; returns the library or program."""
    compiler = COMPILERS[language]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine to compile with")
    text = folder / f"{name}{language}"
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_text(source)
    out = folder / name
    usual = ["-fPIC", "-O1", *(["-shared"] if shared else [])] if language != ".rs" else []
    done = subprocess.run(
        [compiler, *usual, "-o", out, text, *map(str, flags)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    text.unlink()
    return out


def opened(path, folder=None, **environment):
    """What the loader says of a library when a program opens it; empty if it does."""
    script = "import ctypes, os, sys; ctypes.CDLL(sys.argv[1], mode=os.RTLD_NOW)"
    done = subprocess.run(
        [sys.executable, "-c", script, path],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def version_hash(name):
    """The hash of a version's name, as the System V ABI defines it (figure 5-13)."""
    value = 0
    for letter in name.encode():
        value = (value << 4) + letter
        if high := value & 0xF0000000:
            value ^= high >> 24
        value &= ~high & 0xFFFFFFFF
    return value


def with_newer_version(path, family):
    """Let a file need a version of a library that will never be: all digits of its newest one become 9."""
    data = path.read_bytes()
    found = re.findall(rb"\0(" + family.encode() + rb"_[0-9.]+)(?=\0)", data)
    old = max(found, key=lambda each: [int(number) for number in re.findall(rb"\d+", each)])
    new = re.sub(rb"\d", b"9", old)
    was, becomes = (struct.pack("=I", version_hash(each.decode())) for each in (old, new))
    assert data.count(was) == 1
    path.write_bytes(data.replace(b"\0" + old + b"\0", b"\0" + new + b"\0").replace(was, becomes))
    return new.decode()


def for_machine(path, out, number, *, bits=None):
    """A copy that says it is for another machine (e_machine)."""
    data = bytearray(path.read_bytes())
    data[18:20] = struct.pack("<H", number)
    if bits:
        data[4] = bits // 32
    out.write_bytes(data)
    return out


def system_library(name):
    """A library of this machine, by its short name, or a skip."""
    found = ctypes.util.find_library(name)
    if found is None:
        pytest.skip(f"this machine has no lib{name}")
    return found


def archive(entries, packing="xz"):
    """A tar archive, packed. Of each entry: a name and what is in it, a folder if None, or a TarInfo by itself."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
                continue
            name, content = entry
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
                continue
            content = content.encode() if isinstance(content, str) else content
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed(raw.getvalue(), packing)


def packed(data, packing):
    if packing == "xz":
        return lzma.compress(data)
    if packing == "gz":
        import gzip

        return gzip.compress(data)
    if packing == "bz2":
        import bz2

        return bz2.compress(data)
    if packing == "zst":
        from nixel.acquisition.doctor.deb import zstd

        return zstd.compress(data)
    return data


def ar(*members):
    """An ar archive of names and contents."""
    out = b"!<arch>\n"
    for name, content in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        out += b"\n" * (len(content) % 2)
    return out


def deb(path, data, *, control=(), packing="xz", fields="Package: acme\nArchitecture: amd64\n"):
    """Write a .deb of entries, as `archive` takes them."""
    ending = f".{packing}" if packing else ""
    path.write_bytes(
        ar(
            ("debian-binary", b"2.0\n"),
            (f"control.tar{ending}", archive([("./control", fields), *control], packing)),
            (f"data.tar{ending}", data if isinstance(data, bytes) else archive(data, packing)),
        )
    )
    return path


def link(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def of_kind(report, kind):
    """The findings of a kind."""
    return [finding for finding in report.findings if finding.kind == kind]


def only(report, kind):
    """The one finding of a kind."""
    (finding,) = of_kind(report, kind)
    return finding


def everything_below(folder):
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*")}

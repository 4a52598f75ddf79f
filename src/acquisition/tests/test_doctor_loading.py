"""The doctor on everything but symbols: machine, libraries, versions, search paths, places, and what is no ELF file."""

import json
import os
import random
import re
import shutil
import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from elf_files import (
    compiled,
    for_machine,
    of_kind,
    only,
    opened,
    version_hash,
    with_newer_version,
)

from nixel.acquisition.doctor import examine
from nixel.acquisition.doctor.checks import _order
from nixel.acquisition.doctor.elf import ElfError, read_elf
from nixel.acquisition.doctor.examine import Doctor, DoctorError
from nixel.acquisition.doctor.findings import Severity, printable
from nixel.acquisition.doctor.report import as_json, as_text
from nixel.acquisition.doctor.system import closure, read_cache, this_search
from nixel.acquisition.doctor.tables import gnu_hash, sysv_hash

PLAIN = "int f(void) { return 1; }"
# e_machine of those that this is not.
STRANGERS = {"x86_64": (183, "aarch64"), "aarch64": (62, "x86_64")}


@pytest.fixture
def plain(tmp_path):
    return compiled(tmp_path, "plain.so", PLAIN)


def test_hashes_are_those_of_the_specifications():
    # Of the System V ABI's text and of glibc's tests: the values of "printf" and "exit".
    assert sysv_hash(b"printf") == 0x077905A6
    assert sysv_hash(b"exit") == 0x0006CF04
    assert sysv_hash(b"") == 0
    assert gnu_hash(b"printf") == 0x156B2BB8
    assert gnu_hash(b"exit") == 0x7C967E3F
    assert gnu_hash(b"") == 0x1505
    assert sysv_hash(b"GLIBC_2.2.5") == version_hash("GLIBC_2.2.5") == 0x09691A75


def test_a_sound_library(plain):
    report = Doctor().examine(plain)
    assert report.healthy
    assert report.findings == ()
    assert "Nothing is wrong with it." in " ".join(as_text(report).split())
    assert "What to do" not in as_text(report)


class TestMachine:
    def test_another_machine(self, plain, tmp_path):
        here = os.uname().machine
        if here not in STRANGERS:
            pytest.skip(f"this machine, {here}, is none of the two that the test knows")
        number, name = STRANGERS[here]
        other = for_machine(plain, tmp_path / "other.so", number)
        assert opened(other)
        report = Doctor().examine(other)
        finding = only(report, "machine")
        assert finding.severity is Severity.FAULT
        assert finding.facts == {"expected": f"{here}, 64 bits", "found": f"{name}, 64 bits"}
        # Nothing else is said of it: this system's libraries are not those that it would find.
        assert report.findings == (finding,)

    def test_a_file_of_32_bits(self, tmp_path):
        path = tmp_path / "small.so"
        path.write_bytes(elf32())
        finding = only(Doctor().examine(path), "machine")
        assert finding.facts["found"] == "i386, 32 bits"

    def test_a_host_of_another_machine(self, plain, tmp_path):
        host = tmp_path / "host.so"
        host.write_bytes(elf32())
        assert only(Doctor(host=host).examine(plain), "machine").facts["expected"] == "i386, 32 bits"


def elf32():
    """A library of 32 bits for i386 that needs nothing: one loaded part, and a dynamic table of names alone."""
    names = b"\0small.so\0"
    base = 52 + 2 * 32
    dynamic = base + 16
    tags = struct.pack("<10I", 5, base, 10, len(names), 14, 1, 6, base, 0, 0)
    size = dynamic + len(tags)
    header = (
        b"\x7fELF\x01\x01\x01"
        + bytes(9)
        + struct.pack("<HHIIIIIHHHHHH", 3, 3, 1, 0, 52, 0, 0, 52, 32, 2, 40, 0, 0)
    )
    load = struct.pack("<8I", 1, 0, 0, 0, size, size, 5, 4096)
    table = struct.pack("<8I", 2, dynamic, dynamic, dynamic, len(tags), len(tags), 4, 4)
    return header + load + table + names.ljust(16, b"\0") + tags


def test_static_programs_need_no_loader(tmp_path):
    for name, flag in (("static", "-static"), ("pie", "-static-pie")):
        program = compiled(tmp_path, name, "int main(void) { return 0; }", flag, shared=False)
        report = Doctor().examine(program)
        assert report.loads
        assert report.elves[0].kind == "static program"


class TestLibraries:
    def test_a_missing_library(self, tmp_path):
        compiled(tmp_path / "build", "libgone.so.3", PLAIN, "-Wl,-soname,libgone.so.3")
        source = "int f(void);\nint g(void) { return f(); }"
        library = compiled(tmp_path, "user.so", source, tmp_path / "build/libgone.so.3")
        assert "libgone.so.3: cannot open shared object file" in opened(library)

        elsewhere = Doctor(within=[tmp_path / "build"]).examine(library)
        finding = only(elsewhere, "library")
        assert finding.facts["found"] == str(tmp_path / "build/libgone.so.3")
        assert f"LD_LIBRARY_PATH={tmp_path / 'build'}" in as_text(elsewhere)
        # Were it found, nothing would be left.
        assert not of_kind(elsewhere, "symbol")
        assert opened(library, LD_LIBRARY_PATH=str(tmp_path / "build")) == ""
        assert Doctor(environment={"LD_LIBRARY_PATH": str(tmp_path / "build")}).examine(library).healthy

        shutil.rmtree(tmp_path / "build")
        gone = Doctor().examine(library)
        assert only(gone, "library").facts["library"] == "libgone.so.3"
        assert "nix-locate" in as_text(gone)
        # The symbol is that library's, most likely.
        assert only(gone, "symbol").severity is Severity.NOTE

    def test_a_needed_one_lacks_another(self, tmp_path):
        compiled(tmp_path, "libdeep.so", PLAIN, "-Wl,-soname,libdeep.so")
        compiled(tmp_path / "b", "libb.so", "int f(void);\nint b(void) { return f(); }", tmp_path / "libdeep.so",
                 "-Wl,-soname,libb.so", "-Wl,--disable-new-dtags")  # fmt: skip
        source = "int b(void);\nint g(void) { return b(); }"
        flags = (tmp_path / "b/libb.so", "-Wl,--enable-new-dtags", "-Wl,--allow-shlib-undefined")
        library = compiled(tmp_path, "user.so", source, *flags, f"-Wl,-rpath,{tmp_path / 'b'}:{tmp_path}")
        # libdeep.so lies in the RUNPATH of the one that does not need it.
        assert "libdeep.so: cannot open" in opened(library)
        finding = only(Doctor().examine(library), "library")
        assert finding.facts["needed_by"] == str(tmp_path / "b/libb.so")
        assert "serves only what that file itself needs" in finding.text
        # An RPATH serves all.
        old = compiled(
            *(tmp_path, "old.so", source, flags[0], "-Wl,--disable-new-dtags", flags[2]),
            f"-Wl,-rpath,{tmp_path / 'b'}:{tmp_path}",
        )
        assert opened(old) == ""
        assert not of_kind(Doctor().examine(old), "library")

    def test_one_for_another_machine_is_passed_over(self, tmp_path):
        compiled(tmp_path, "libx.so", PLAIN, "-Wl,-soname,libx.so")
        source = "int f(void);\nint g(void) { return f(); }"
        library = compiled(tmp_path, "user.so", source, tmp_path / "libx.so", "-Wl,-rpath,$ORIGIN")
        assert opened(library) == ""
        (tmp_path / "libx.so").write_bytes(elf32())
        assert "libx.so: " in opened(library)
        finding = only(Doctor().examine(library), "library")
        assert finding.facts["passed_over"] == [str(tmp_path / "libx.so")]
        assert "i386" in finding.text

    def test_what_may_be_of_a_missing_library_is_no_second_fault(self, tmp_path):
        """Another version of the missing library is here: to need that instead would be a guess, and is not advised."""
        for number in (1, 2):
            name = f"libsdk.so.{number}"
            compiled(tmp_path / str(number), name, "int sdk_open(void) { return 1; }", f"-Wl,-soname,{name}")
        source = "int sdk_open(void);\nint g(void) { return sdk_open(); }"
        library = compiled(tmp_path, "user.so", source, tmp_path / "1/libsdk.so.1")
        shutil.rmtree(tmp_path / "1")
        report = Doctor(within=[tmp_path / "2"]).examine(library)
        assert only(report, "library").facts["library"] == "libsdk.so.1"
        finding = only(report, "symbol")
        assert finding.severity is Severity.NOTE
        assert finding.facts["provider"]["soname"] == "libsdk.so.2"
        assert report.advice.also_needs == ()
        assert report.advice.link == ()

    def test_the_graphics_drivers_library(self, tmp_path):
        compiled(
            tmp_path / "b", "libcuda.so.1", "int cuInit(unsigned f) { return 0; }", "-Wl,-soname,libcuda.so.1"
        )
        source = "int cuInit(unsigned);\nint g(void) { return cuInit(0); }"
        library = compiled(tmp_path, "gpu.so", source, tmp_path / "b/libcuda.so.1")
        report = Doctor().examine(library)
        if not of_kind(report, "library"):
            pytest.skip("this machine has a graphics driver's libcuda.so.1")
        assert report.advice.from_deb() == ['mayStayMissing = [ "libcuda.so.1" ];']


class TestVersions:
    def test_what_is_no_number_is_no_newest(self):
        # Newer C libraries define the last of them, too; its digits say nothing of an order.
        names = ["GLIBC_2.9", "GLIBC_2.36", "GLIBC_PRIVATE", "GLIBC_ABI_DT_X86_64_PLT"]
        assert max(names, key=_order) == "GLIBC_2.36"

    def test_a_newer_c_library(self, tmp_path):
        source = "#include <stdlib.h>\nvoid *g(void) { return malloc(2); }"
        library = compiled(tmp_path, "new.so", source, "-Wl,-z,now")
        version = with_newer_version(library, "GLIBC")
        assert re.search(f"version .{re.escape(version)}' not found", opened(library))
        report = Doctor().examine(library)
        finding = only(report, "version")
        assert finding.severity is Severity.FAULT
        assert finding.facts["library"] == "libc.so.6"
        assert finding.facts["needed"] == [version]
        assert f"malloc, of {version}" in finding.items
        assert re.fullmatch(r"GLIBC_2\.\d+", finding.facts["found"])
        # The one here is the newest that it has, as it says of itself.
        ours = int(os.confstr("CS_GNU_LIBC_VERSION").split(".")[-1])
        assert int(finding.facts["found"].split(".")[-1]) <= ours
        # It is said once, and not again as a symbol that nobody has.
        assert not of_kind(report, "symbol")

    def test_a_newer_compiler(self, tmp_path):
        source = '#include <stdexcept>\nextern "C" void g() { throw std::runtime_error("x"); }'
        library = compiled(tmp_path, "new.so", source, language=".cpp")
        version = with_newer_version(library, "GLIBCXX")
        assert version in opened(library)
        report = Doctor().examine(library)
        finding = only(report, "version")
        assert finding.facts["library"] == "libstdc++.so.6"
        assert finding.facts["found"].startswith("GLIBCXX_3.4.")
        assert report.advice.libraries == ("(lib.getLib stdenv.cc.cc)",)
        assert any("std::runtime_error" in item for item in finding.items)


def entries(library):
    return {finding.facts["entry"]: finding for finding in of_kind(Doctor().examine(library), "search-path")}


class TestSearchPaths:
    @pytest.mark.parametrize(
        ("entry", "says"),
        [
            ("", "empty entry"),
            ("lib", "counts from the folder in which the program is started"),
            ("../lib", "counts from the folder in which the program is started"),
            ("/home/builder/acme/lib", "a folder of the machine that built it"),
            ("/tmp/build/lib", "a folder of the machine that built it"),
            ("/no/such/folder", "there is no such folder here"),
            ("$ORIGIN/../nowhere", "no such folder"),
            ("/../lib", "was meant to be $ORIGIN/../lib"),
            ("RIGIN/../lib", "was meant to be $ORIGIN/../lib"),
            ("ORIGIN/../lib", "was meant to be $ORIGIN/../lib"),
            ("$$ORIGIN/../lib", "was meant to be $ORIGIN/../lib"),
            ("\\$ORIGIN/../lib", "was meant to be $ORIGIN/../lib"),
            ("$(ORIGIN)/../lib", "was meant to be $ORIGIN/../lib"),
            ("@loader_path/../lib", "only macOS understands; here it is $ORIGIN/../lib"),
        ],
    )
    @pytest.mark.parametrize("kind", ["RPATH", "RUNPATH"])
    def test_what_is_wrong(self, tmp_path, entry, says, kind):
        tags = f"-Wl,--{'enable' if kind == 'RUNPATH' else 'disable'}-new-dtags"
        # A good entry beside it, of which nothing is said.
        library = compiled(tmp_path, "lib.so", PLAIN, tags, f"-Wl,-rpath,{entry}:{tmp_path}")
        if str(tmp_path).startswith(("/tmp/", "/build/")):
            found = {key: value for key, value in entries(library).items() if key != str(tmp_path)}
        else:
            found = entries(library)
        assert set(found) == {entry}
        assert says in found[entry].text
        assert found[entry].facts["kind"] == kind
        assert found[entry].severity is Severity.RISK

    @pytest.mark.parametrize("entry", ["$ORIGIN", "${ORIGIN}/sub", "$ORIGIN/../lib", "/usr/lib"])
    def test_what_is_right(self, tmp_path, entry):
        (tmp_path / "lib" / "sub").mkdir(parents=True)
        if not Path("/usr/lib").is_dir() and entry == "/usr/lib":
            pytest.skip("this machine has no /usr/lib")
        assert entries(compiled(tmp_path / "lib", "lib.so", PLAIN, f"-Wl,-rpath,{entry}")) == {}

    def test_origin_finds_what_lies_beside(self, tmp_path):
        compiled(tmp_path / "lib", "libx.so", PLAIN, "-Wl,-soname,libx.so")
        source = "int f(void);\nint g(void) { return f(); }"
        for name, entry, found in (("right", "$ORIGIN/../lib", True), ("wrong", "$ORIGIN/lib", False)):
            library = compiled(
                tmp_path / "plugins", f"{name}.so", source, tmp_path / "lib/libx.so", f"-Wl,-rpath,{entry}"
            )
            assert (opened(library) == "") is found
            assert (not of_kind(Doctor().examine(library), "library")) is found

    def test_the_folder_of_a_link_is_the_origin(self, tmp_path):
        compiled(tmp_path / "real", "libx.so", PLAIN, "-Wl,-soname,libx.so")
        source = "int f(void);\nint g(void) { return f(); }"
        library = compiled(
            tmp_path / "real", "user.so", source, tmp_path / "real/libx.so", "-Wl,-rpath,$ORIGIN"
        )
        (tmp_path / "links").mkdir()
        link = tmp_path / "links" / "user.so"
        link.symlink_to(library)
        assert bool(opened(link)) is bool(of_kind(Doctor().examine(link), "library"))


def test_built_in_places(tmp_path):
    source = """
        const char *a(void) { return "/opt/acme/firmware.bin"; }
        const char *b(void) { return "/usr/share/acme/luts:/usr/local/lib/acme.so"; }
        const char *c(void) { return "/src/acme/camera.cpp: /usr/include/acme.h"; }
        const char *d(void) { return "/bin/sh"; }
        const char *e(void) { return "/etc/acme.conf"; }
    """
    # Debugging information names sources and is not loaded.
    report = Doctor().examine(compiled(tmp_path, "lib.so", source, "-g"))
    gone, settings = of_kind(report, "place")
    assert gone.severity is Severity.RISK
    assert gone.items == ("/opt/acme/firmware.bin", "/usr/local/lib/acme.so", "/usr/share/acme/luts")
    assert settings.severity is Severity.NOTE
    assert settings.items == ("/etc/acme.conf",)
    assert not report.healthy
    assert report.loads


def test_texts_that_run_into_each_other_are_no_places(tmp_path):
    # As a compiler for Rust leaves them: no file system takes such a name, and asking for it is an error of its own.
    text = "/usr/src/acme/" + "section.rsImageDosHeadere_magic" * 200
    report = Doctor().examine(compiled(tmp_path, "lib.so", f'const char *a(void) {{ return "{text}"; }}'))
    assert report.healthy
    assert not of_kind(report, "place")


def test_what_the_system_has_installed_may_name_what_is_not_there(tmp_path, monkeypatch):
    source = 'const char *a(void) { return "/usr/share/acme/luts"; }'
    library = compiled(tmp_path, "lib.so", source, "-Wl,-rpath,$ORIGIN/../nowhere")
    assert {each.severity for each in Doctor().examine(library).findings} == {Severity.RISK}
    plainly = this_search(read_elf(library), None, {})
    folders = (*plainly.folders, str(tmp_path))
    monkeypatch.setattr(examine, "this_search", lambda *_: replace(plainly, folders=folders))
    report = Doctor().examine(library)
    assert {each.severity for each in report.findings} == {Severity.NOTE}
    assert {each.kind for each in report.findings} == {"place", "search-path"}


def test_an_executable_stack(tmp_path):
    library = compiled(tmp_path, "lib.so", PLAIN, "-Wl,-z,execstack")
    assert only(Doctor().examine(library), "stack").severity is Severity.RISK


def test_a_program_whose_loader_is_not_there(tmp_path):
    flags = ("-Wl,--dynamic-linker=/no/such/ld.so",)
    program = compiled(tmp_path, "program", "int main(void) { return 0; }", *flags, shared=False)
    with pytest.raises(FileNotFoundError):
        os.posix_spawn(program, [str(program)], {})
    finding = only(Doctor().examine(program), "loader")
    assert finding.facts == {"loader": "/no/such/ld.so"}


class TestNoElf:
    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"", "found an empty file"),
            (b"hello", "found no ELF file"),
            (b"#!/bin/sh\n", "found a script"),
            (b"MZ\x90", "for Windows"),
            (b"/* GNU ld script */\nGROUP ( /lib/libc.so.6 )", "found a script for the linker"),
            (b"!<arch>\nx.o/", "found a static library"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"\x7fELF", "damaged or cut off"),
            (b"\x7fELF" + b"\xff" * 200, "damaged or cut off"),
        ],
    )
    def test_it_says_what_it_is(self, tmp_path, content, says):
        path = tmp_path / "file"
        path.write_bytes(content)
        with pytest.raises(DoctorError, match=says) as error:
            Doctor().examine(path)
        assert str(path) in str(error.value)

    def test_nothing_there_and_folders(self, tmp_path):
        with pytest.raises(DoctorError, match="found nothing there"):
            Doctor().examine(tmp_path / "no")
        with pytest.raises(DoctorError, match="found a folder"):
            Doctor().examine(tmp_path)
        with pytest.raises(DoctorError, match=r"--in .*found nothing there"):
            Doctor(within=[tmp_path / "no"]).examine(tmp_path)
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(DoctorError, match="no regular file"):
            Doctor().examine(tmp_path / "pipe")

    def test_an_object_file(self, tmp_path):
        with pytest.raises(DoctorError, match="object file"):
            Doctor().examine(compiled(tmp_path, "x.o", PLAIN, "-c", shared=False))

    def test_cut_off_anywhere(self, plain, tmp_path):
        whole = plain.read_bytes()
        end = max(start + length for start, length in read_elf(plain).loaded)
        for length in (*range(0, 1200, 37), end - 1):
            path = tmp_path / "cut.so"
            path.write_bytes(whole[:length])
            with pytest.raises(DoctorError):
                Doctor().examine(path)

    def test_damaged_anywhere(self, tmp_path):
        """Whatever the bytes are: an answer or an ElfError, and soon."""
        source = "#include <stdlib.h>\nvoid *g(void) { return malloc(2); }"
        whole = compiled(tmp_path, "lib.so", source, "-Wl,-s").read_bytes()
        chance = random.Random(7)
        path = tmp_path / "damaged.so"
        outcomes = set()
        for _ in range(300):
            data = bytearray(whole)
            for _ in range(chance.choice((1, 4, 40))):
                data[chance.randrange(4, 4096 if chance.random() < 0.7 else len(data))] = chance.choice(
                    (0, 1, 255, 128)
                )
            path.write_bytes(data)
            try:
                outcomes.add(read_elf(path).kind)
            except ElfError:
                outcomes.add("damaged")
        assert {"library", "damaged"} <= outcomes


class TestSystem:
    def test_the_cache_of_this_machine(self):
        cache = Path("/etc/ld.so.cache")
        if not cache.is_file():
            pytest.skip("this machine has no /etc/ld.so.cache")
        found = read_cache(cache.read_bytes())
        assert "libc.so.6" in found
        assert all(
            path.startswith("/") and path.endswith(name) for name, paths in found.items() for path in paths
        )
        whole = cache.read_bytes()
        for length in range(0, len(whole), len(whole) // 50):
            assert set(read_cache(whole[:length])) <= {
                *found,
                *(name[:n] for name in found for n in range(len(name))),
            }

    def test_the_closure_is_what_nix_says(self, tmp_path):
        boost = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-boost-1.87.0"
        fake = tmp_path / "nix-store"
        fake.write_text(
            f'#!/bin/sh\n[ "$*" = "--query --requisites {boost}" ] && echo {boost} && echo /nix/store/x-zlib\n'
        )
        fake.chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        found = closure([Path(boost) / "lib/x.so", Path("/usr/lib/y.so")], environment)
        assert found == [Path(boost), Path("/nix/store/x-zlib")]
        assert closure([Path("/usr/lib/y.so")], environment) == []
        # Without Nix's program, what is known without it.
        assert closure([Path(boost) / "lib/x.so"], {"PATH": str(tmp_path / "none")}) == [Path(boost)]

    def test_what_only_the_closure_has(self, tmp_path, monkeypatch):
        """A store of our own in the place of /nix/store, and a nix-store that knows its references."""
        store = f"{tmp_path}/store/"
        monkeypatch.setattr("nixel.acquisition.doctor.system.STORE", store)
        acme, sdk = (Path(store) / f"0123456789abcdfghijklmnpqrsvwxyz-{name}-1.0" for name in ("acme", "sdk"))
        source = "int sdk_open(void);\nint g(void) { return sdk_open(); }"
        lacking = compiled(acme / "lib", "lacking.so", source)
        compiled(sdk / "lib", "libsdk.so.1", "int sdk_open(void) { return 1; }", "-Wl,-soname,libsdk.so.1")
        needing = compiled(acme / "lib", "needing.so", source, sdk / "lib/libsdk.so.1")
        assert only(Doctor().examine(lacking), "symbol").facts["provider"] is None
        fake = tmp_path / "nix-store"
        fake.write_text(f"#!/bin/sh\necho {acme}\necho {sdk}\n")
        fake.chmod(0o755)
        doctor = Doctor(environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
        monkeypatch.setenv("PATH", doctor.environment["PATH"])
        provider = only(doctor.examine(lacking), "symbol").facts["provider"]
        assert provider == {
            "place": str(sdk / "lib/libsdk.so.1"),
            "soname": "libsdk.so.1",
            "where": "closure",
        }
        assert only(doctor.examine(needing), "library").facts["found"] == provider["place"]

    def test_asking_the_whole_system_takes_seconds(self, tmp_path):
        import time

        library = compiled(
            tmp_path, "lib.so", "int nobody_has_this(void);\nint g(void) { return nobody_has_this(); }"
        )
        Doctor().examine(library)
        start = time.monotonic()
        Doctor().examine(library)
        assert time.monotonic() - start < 5


def test_the_report_obeys_no_name(tmp_path):
    """Names come out of the file; a terminal must not do what they say, and the JSON has them as they are."""
    library = compiled(tmp_path, "lib.so", "int evil____name(void);\nint g(void) { return evil____name(); }")
    library.write_bytes(library.read_bytes().replace(b"evil____name", b"evil\033[2Jname"))
    report = Doctor().examine(library)
    assert "\033" not in as_text(report)
    assert "evil\N{REPLACEMENT CHARACTER}[2Jname" in as_text(report)
    document = json.loads(json.dumps(as_json(report)))
    assert document["findings"][0]["symbols"][0]["symbol"] == "evil\033[2Jname"
    assert printable("µ Å ok") == "µ Å ok"


def test_a_library_of_the_machine_that_runs_this():
    assert Doctor().examine(Path(os.path.realpath(sys.executable))).loads

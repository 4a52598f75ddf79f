"""The doctor on symbols: whose they are is found as the loader would, by itself, and named for a person."""

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from elf_files import compiled, of_kind, only, opened, system_library

from nixel.acquisition.doctor.examine import Doctor
from nixel.acquisition.doctor.findings import Severity
from nixel.acquisition.doctor.report import as_text
from nixel.acquisition.doctor.tables import Wanted, open_tables

# A device adapter in Micro-Manager's manner: its interface, and boost::filesystem in what it does. The declarations are
# Boost's own, of <boost/filesystem/operations.hpp>.
BOOST = """
namespace boost {
namespace system { class error_code; }
namespace filesystem {
class path;
namespace detail {
bool create_directories(path const &, system::error_code *);
bool remove(path const &, system::error_code *);
}}}
"""
ADAPTER = (
    BOOST
    + """
extern "C" {
long GetModuleVersion() { return 10; }
long GetDeviceInterfaceVersion() { return 70; }
void InitializeModuleData() {}
void *CreateDevice(const char *name) {
  const boost::filesystem::path &place = *reinterpret_cast<const boost::filesystem::path *>(name);
  boost::filesystem::detail::create_directories(place, nullptr);
  boost::filesystem::detail::remove(place, nullptr);
  return nullptr;
}
void DeleteDevice(void *) {}
}
"""
)
SYMBOLS = (
    "boost::filesystem::detail::create_directories(boost::filesystem::path const&, boost::system::error_code*)",
    "boost::filesystem::detail::remove(boost::filesystem::path const&, boost::system::error_code*)",
)
STAND_IN = (
    BOOST
    + """
bool boost::filesystem::detail::create_directories(path const &, system::error_code *) { return true; }
bool boost::filesystem::detail::remove(path const &, system::error_code *) { return true; }
"""
)


@pytest.fixture
def adapter(tmp_path):
    return compiled(tmp_path, "libmmgr_dal_Acme.so.0", ADAPTER, language=".cpp")


def test_a_camera_adapter_that_forgot_boost_filesystem(adapter, tmp_path):
    said = opened(adapter)
    assert "undefined symbol: _ZN5boost10filesystem6detail" in said
    assert "libboost" not in said

    boost = tmp_path / "opt" / "libboost_filesystem.so.1.74.0"
    compiled(boost.parent, boost.name, STAND_IN, f"-Wl,-soname,{boost.name}", language=".cpp")
    report = Doctor(within=[tmp_path / "opt"]).examine(adapter)
    finding = only(report, "symbol")
    assert finding.severity is Severity.FAULT
    assert finding.items == SYMBOLS
    assert finding.facts["provider"] == {"place": str(boost), "soname": boost.name, "where": "folder"}
    assert {each["symbol"] for each in finding.facts["symbols"]} == {
        "_ZN5boost10filesystem6detail18create_directoriesERKNS0_4pathEPNS_6system10error_codeE",
        "_ZN5boost10filesystem6detail6removeERKNS0_4pathEPNS_6system10error_codeE",
    }
    assert report.advice.link == (f"-L{boost.parent}", "-lboost_filesystem")
    assert report.advice.nixpkgs == ("boost",)
    assert report.advice.from_deb() == [
        "libraries = [ boost ];",
        'alsoNeeds."lib/libmmgr_dal_Acme.so.0" = [ "libboost_filesystem.so.1.74.0" ];',
    ]
    assert not report.loads
    text = as_text(report)
    for part in (*SYMBOLS, str(boost), "-lboost_filesystem", "libraries = [ boost ];"):
        assert part in text

    # And what it says to do is right; the linker looks for the name without a version, which a -dev package brings.
    (boost.parent / "libboost_filesystem.so").symlink_to(boost.name)
    linked = compiled(
        *(tmp_path, "linked.so", ADAPTER, *report.advice.link, f"-Wl,-rpath,{boost.parent}"), language=".cpp"
    )
    assert opened(linked) == ""
    assert not of_kind(Doctor().examine(linked), "symbol")


def test_this_machines_own_boost(adapter):
    found = sorted(Path("/usr/lib").glob("*-linux-gnu/libboost_filesystem.so.1.*"))
    if not found:
        pytest.skip("this machine has no libboost_filesystem in /usr/lib (Debian: libboost-filesystem-dev)")
    report = Doctor().examine(adapter)
    finding = only(report, "symbol")
    assert finding.items == SYMBOLS
    assert Path(finding.facts["provider"]["place"]).resolve() in found
    assert finding.facts["provider"]["where"] == "system"
    assert report.advice.link == ("-lboost_filesystem",)
    assert report.advice.nixpkgs == ("boost",)


def test_a_symbol_that_nobody_has_is_guessed_at_by_its_namespace(tmp_path):
    source = (
        "namespace boost { namespace nosuchpart { int f(); } }\nint g() { return boost::nosuchpart::f(); }"
    )
    library = compiled(tmp_path, "lib.so", source, language=".cpp")
    report = Doctor().examine(library)
    finding = only(report, "symbol")
    assert finding.items == ("boost::nosuchpart::f()",)
    assert finding.facts["provider"] is None
    assert report.advice.link == ("-lboost_nosuchpart",)
    assert report.advice.nixpkgs == ("boost",)

    library = compiled(
        tmp_path, "other.so", "int nobody_has_this(void);\nint g(void) { return nobody_has_this(); }"
    )
    report = Doctor().examine(library)
    assert only(report, "symbol").items == ("nobody_has_this",)
    assert report.advice.symbols_from_host == ("nobody_has_this",)


def test_a_weak_symbol_is_no_fault(tmp_path):
    source = "__attribute__((weak)) int perhaps(void);\nint g(void) { return perhaps ? perhaps() : 0; }"
    library = compiled(tmp_path, "lib.so", source)
    assert opened(library) == ""
    assert Doctor().examine(library).healthy


def test_a_symbol_of_a_library_that_a_needed_one_needs(tmp_path):
    compiled(tmp_path, "liba.so", "int deep(void) { return 1; }", "-Wl,-soname,liba.so")
    between = ("-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed", tmp_path / "liba.so")
    compiled(tmp_path, "libb.so", "int b(void) { return 2; }", "-Wl,-soname,libb.so", *between)
    source = "int deep(void); int b(void);\nint g(void) { return deep() + b(); }"
    library = compiled(tmp_path, "libc1.so", source, "-Wl,-rpath,$ORIGIN", tmp_path / "libb.so")
    assert opened(library) == ""
    assert Doctor().examine(library).healthy


def test_a_program_that_brings_symbols_along(tmp_path):
    plugin = compiled(tmp_path, "plugin.so", "int host_log(int);\nint start(void) { return host_log(1); }")
    assert "host_log" in opened(plugin)
    assert only(Doctor().examine(plugin), "symbol").items == ("host_log",)

    program = "int host_log(int x) { return x; }\nint main(void) { return 0; }"
    host = compiled(tmp_path, "host", program, "-rdynamic", shared=False)
    assert Doctor(host=host).examine(plugin).healthy
    # A program keeps its symbols to itself unless it is linked with -rdynamic.
    silent = compiled(tmp_path, "silent", program, shared=False)
    assert only(Doctor(host=silent).examine(plugin), "symbol").items == ("host_log",)


def test_an_extension_of_python(tmp_path):
    source = "void *PyLong_FromLong(long);\nvoid *PyInit_x(void) { return PyLong_FromLong(1); }"
    library = compiled(tmp_path, "x.so", source)
    report = Doctor().examine(library)
    finding = only(report, "symbol")
    assert finding.severity is Severity.NOTE
    assert report.healthy
    assert report.advice.symbols_from_host == ("Py*",)
    assert opened(library) == ""


def versioned(folder, name, default="V2"):
    """A library with f in two versions, of which one is the default."""
    old = "V1" if default == "V2" else "V2"
    script = folder / "versions"
    script.write_text("V1 { global: f; local: *; };\nV2 { global: f; } V1;\n")
    source = (
        f'int old(void) {{ return 1; }}\n__asm__(".symver old,f@{old}");\n'
        f'int new(void) {{ return 2; }}\n__asm__(".symver new,f@@{default}");\n'
    )
    flags = ("-fno-lto", f"-Wl,-soname,{name}", f"-Wl,--version-script={script}")
    return compiled(folder, name, source, *flags)


def test_versions_decide_as_in_the_loader(tmp_path):
    both = open_tables(versioned(tmp_path, "libf.so"))
    assert both.defines(Wanted("f", "V1", "libf.so"))
    assert both.defines(Wanted("f", "V2", "libf.so"))
    assert both.defines(Wanted("f"))
    assert not both.defines(Wanted("f", "V3", "libf.so"))
    assert not both.defines(Wanted("old"))
    assert not both.defines(Wanted("g", "V1", "libf.so"))
    # A library without versions serves whoever asks for one.
    plain = open_tables(compiled(tmp_path, "libp.so", "int f(void) { return 3; }"))
    assert plain.defines(Wanted("f", "V9", "libf.so"))


@pytest.mark.parametrize("style", ["gnu", "sysv", "both"])
def test_either_hash_table(tmp_path, style):
    names = [f"symbol_{number}" for number in range(300)]
    source = "".join(f"int {name}(void) {{ return 0; }}\n" for name in names)
    tables = open_tables(compiled(tmp_path, "lib.so", source, f"-Wl,--hash-style={style}"))
    assert all(tables.defines(Wanted(name)) for name in names)
    assert not any(tables.defines(Wanted(f"{name}_not")) for name in names)


def test_a_stripped_library_says_as_much(adapter, tmp_path):
    if shutil.which("strip") is None:
        pytest.skip("no strip on this machine")
    stripped = tmp_path / "stripped.so"
    subprocess.run(["strip", "--strip-all", "-o", stripped, adapter], check=True)
    assert only(Doctor().examine(stripped), "symbol").items == SYMBOLS
    # Without section headers, too: the loader needs none.
    data = bytearray(stripped.read_bytes())
    assert data[4] == 2, "written for 64 bits"
    data[40:48] = bytes(8)
    data[58:64] = bytes(6)
    stripped.write_bytes(data)
    assert only(Doctor().examine(stripped), "symbol").items == SYMBOLS


def test_a_plugin_in_rust(tmp_path):
    source = """
        extern "C" { fn crc32(crc: u64, data: *const u8, length: u32) -> u64; }
        #[no_mangle] pub extern "C" fn check() -> u64 { unsafe { crc32(0, b"x".as_ptr(), 1) } }
    """
    zlib = system_library("z")
    flags = (
        "--crate-type=cdylib",
        "--crate-name=plugin",
        "-Copt-level=1",
        "-Clink-arg=-Wl,--unresolved-symbols=ignore-all",
    )
    library = compiled(tmp_path, "libplugin.so", source, *flags, language=".rs")
    finding = only(Doctor().examine(library), "symbol")
    assert finding.items == ("crc32",)
    assert finding.facts["provider"]["soname"] == zlib
    assert finding.advice.nixpkgs == ("zlib",)


LOADED = """
import ctypes, ctypes.util, re
for name in ("c", "m", "stdc++", "z", "expat", "ssl"):
    if found := ctypes.util.find_library(name):
        ctypes.CDLL(found)
print(*sorted(set(re.findall(r"(/\\S+\\.so[.\\d]*)$", open("/proc/self/maps").read(), re.M))), sep="\\n")
"""


def test_the_libraries_of_this_machine_are_well():
    """What a process has open is without a fault."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    here = done.stdout.split()
    assert len(here) > 3
    for path in here:
        report = Doctor(host=Path(os.path.realpath(sys.executable))).examine(Path(path))
        assert report.loads, as_text(report)


def test_it_says_of_the_systems_libraries_what_the_loader_says():
    """A sample of what Debian or another distribution has installed: no fault that the loader does not find, either."""
    found = sorted(Path("/usr/lib/x86_64-linux-gnu").glob("*.so.*"))
    libraries = [path for path in found if path.is_file() and not path.is_symlink()]
    if shutil.which("ldd") is None or len(libraries) < 20:
        pytest.skip("no ldd, or no libraries in /usr/lib/x86_64-linux-gnu on this machine")
    asked = random.Random(7).sample(libraries, 20)
    for library in asked:
        said = subprocess.run(["ldd", "-r", str(library)], capture_output=True, text=True, check=False)
        complains = re.search("undefined symbol|not found", said.stdout + said.stderr) is not None
        report = Doctor().examine(library)
        assert report.loads == (not complains), (library, said.stdout, as_text(report))

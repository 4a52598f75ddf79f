"""The vendor-plugin examples, in C and in Rust: built with this machine's compilers and with Nix, loaded, spoken to."""

import json
import re
import shutil
import subprocess

import nix_tools
import plugin_host
import pytest
import vendor_build

PLUGINS = nix_tools.ROOT / "pkgs" / "plugins"
INCLUDE = PLUGINS / "include"
# A leak, even one that is still pointed to, is an error like any other.
VALGRIND = [
    "valgrind",
    "--leak-check=full",
    "--show-leak-kinds=all",
    "--errors-for-leak-kinds=all",
    "--error-exitcode=9",
    "-q",
]
TYPES = {"averaging": int, "offset": float, "enabled": bool, "label": str, "calibration": bytes}
KINDS = {int: "int64", float: "float64", bool: "bool", str: "string", bytes: "bytes"}


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"no {program} on this machine")


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def c_plugin(tmp_path_factory):
    """The C example with its own Makefile, and beside it `speak`, the small host in C."""
    need("cc")
    need("make")
    work = tmp_path_factory.mktemp("c")
    shutil.copytree(PLUGINS / "example-c", work / "example-c", ignore=shutil.ignore_patterns("*.so", "speak"))
    run("make", "-C", work / "example-c", f"INCLUDE={INCLUDE}", "CFLAGS=-g", "all", "check")
    return work / "example-c" / "thermometer.so"


@pytest.fixture(scope="session")
def rust_plugin(tmp_path_factory):
    need("cargo")
    work = tmp_path_factory.mktemp("rust")
    shutil.copytree(PLUGINS / "example-rust", work / "source", ignore=shutil.ignore_patterns("target"))
    cargo = ("--offline", "--locked", "--release", "--target-dir", work / "target")
    run("cargo", "test", *cargo, cwd=work / "source")
    run("cargo", "build", *cargo, cwd=work / "source")
    return work / "target" / "release" / "libnixel_plugin_example.so"


@pytest.fixture(params=["c", "rust"])
def file(request):
    return request.getfixturevalue(f"{request.param}_plugin")


@pytest.fixture
def plugin(file):
    return plugin_host.Plugin(file)


@pytest.fixture
def device(plugin):
    with plugin.open(simulated=True) as opened:
        yield opened


def refusal(function, *arguments, **more):
    with pytest.raises(plugin_host.RefusedError) as caught:
        function(*arguments, **more)
    return caught.value


def test_one_function_is_exported(file):
    need("nm")
    symbols = run("nm", "--dynamic", "--defined-only", file).split("\n")
    assert [line.split()[-1] for line in symbols if line] == ["nixel_device_plugin"]


def test_the_version_is_answered_for_every_question(plugin):
    assert plugin.version == plugin_host.ABI
    table = plugin_host.ctypes.c_void_p(1)
    for wanted in (0, 2, 2**32 - 1):
        assert plugin.library.nixel_device_plugin(wanted, table) == plugin_host.ABI
        assert table.value is None


def test_a_plugin_of_a_later_version_only_is_refused(tmp_path):
    need("cc")
    source = tmp_path / "later.c"
    source.write_text(
        '#include "nixel_device.h"\n'
        "uint32_t nixel_device_plugin(uint32_t wanted, const void **table) {\n"
        "  *table = wanted == 2 ? table : NULL;\n  return 2;\n}\n"
    )
    run("cc", "-shared", "-fPIC", f"-I{INCLUDE}", "-o", tmp_path / "later.so", source)
    assert (
        "speaks version 2 of nixel_device.h, expected 1"
        in refusal(plugin_host.Plugin, tmp_path / "later.so").message
    )


def test_the_header_serves_c_and_cxx(tmp_path):
    for compiler, language, standard in (("cc", "c", "c11"), ("c++", "c++", "c++17")):
        need(compiler)
        options = [
            "-fsyntax-only",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            f"-std={standard}",
            "-x",
            language,
        ]
        run(compiler, *options, INCLUDE / "nixel_device.h")


def test_the_properties_say_what_they_are(device):
    described = {each["name"]: each for each in device.properties()}
    assert {each["tag"] for each in described.values()} == set(plugin_host.TAGS)
    for name, each in described.items():
        assert re.fullmatch("[a-z][a-z0-9_]*", name)
        assert each["description"].endswith(".")
    assert described["temperature"]["unit"] == "K"
    assert described["temperature"]["read_only"]
    assert described["averaging"]["range"] == [1, 1024]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("averaging", [1, 1024]),
        ("offset", [-5.0, 0.1, 5.0]),
        ("enabled", [False, True]),
        ("label", ["", "Körperwärme, 2 µm", "温度", "with a \0 inside"]),
        ("calibration", [b"", bytes(range(32))]),
    ],
)
def test_a_value_comes_back_as_it_was_set(device, name, values):
    for value in values:
        device.set(name, value)
        found = device.get(name)
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name, expected in TYPES.items()
        for value in (1, 1.0, True, "1", b"1")
        if type(value) is not expected
    ],
)
def test_a_wrong_type_is_refused_in_words(device, name, value):
    before = device.get(name)
    refused = refusal(device.set, name, value)
    assert refused.status == "WRONG_TYPE"
    for part in (f'"{name}"', f"expected {KINDS[TYPES[name]]}", f"found {KINDS[type(value)]}"):
        assert part in refused.message
    assert device.get(name) == before


@pytest.mark.parametrize(
    ("name", "value", "status", "says"),
    [
        ("averaging", 0, "OUT_OF_RANGE", "1 to 1024"),
        ("averaging", 2**63 - 1, "OUT_OF_RANGE", "1 to 1024"),
        ("offset", 5.5, "OUT_OF_RANGE", "-5 to 5 K"),
        ("offset", float("nan"), "OUT_OF_RANGE", "-5 to 5 K"),
        ("calibration", bytes(33), "OUT_OF_RANGE", "32 bytes, found 33"),
        ("label", "x" * 65, "OUT_OF_RANGE", "64 bytes, found 65"),
        ("temperature", 300.0, "READ_ONLY", "read only"),
        ("pressure", 1.0, "NO_SUCH_PROPERTY", '"pressure"'),
    ],
)
def test_an_impossible_value_is_refused_in_words(device, name, value, status, says):
    refused = refusal(device.set, name, value)
    assert refused.status == status
    assert says in refused.message


def test_a_bool_beyond_one_and_broken_utf8_are_refused(device):
    value, _ = plugin_host.to_value(True)
    value.payload.boolean = 2
    assert refusal(device._call, device.table.set, b"enabled", value).status == "OUT_OF_RANGE"
    for broken in (b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"):
        value, _kept = plugin_host.to_value(broken)
        value.tag = plugin_host.STRING
        assert refusal(device._call, device.table.set, b"label", value).status == "WRONG_TYPE", broken


def test_a_long_name_leaves_a_whole_message(device):
    refused = refusal(device.get, "µ" * 600)
    assert refused.status == "NO_SUCH_PROPERTY"


def test_a_simulation_is_asked_for_and_says_so(plugin, device):
    assert refusal(plugin.open).status == "DEVICE_FAILED"
    assert "simulated = true" in refusal(plugin.open, simulated=False).message
    assert refusal(plugin.open, simulated=1).status == "WRONG_TYPE"
    assert '"port"' in refusal(plugin.open, simulated=True, port="/dev/null").message
    assert device.get("simulated") is True


def test_a_reading_is_one(device):
    readings = [device.get("temperature") for _ in range(5)]
    device.set("offset", 2.0)
    moved = [device.get("temperature") for _ in range(5)]
    assert [round(b - a, 9) for a, b in zip(readings, moved, strict=True)] == [2.0] * 5
    device.set("enabled", False)
    refused = refusal(device.get, "temperature")
    assert refused.status == "DEVICE_FAILED"
    assert "enabled" in refused.message


def test_two_devices_share_nothing(plugin):
    with plugin.open(simulated=True) as one, plugin.open(simulated=True) as other:
        one.set("label", "one")
        other.set("label", "other")
        assert (one.get("label"), other.get("label")) == ("one", "other")


def test_every_device_is_freed_and_no_memory_misused(file, c_plugin):
    """`speak` opens, refuses and frees; valgrind counts every block and sees every access."""
    need("valgrind")
    assert "as nixel_device.h says" in run(*VALGRIND, c_plugin.parent / "speak", file)


def test_a_second_free_is_seen(c_plugin, tmp_path):
    """The check above would notice a device that is freed twice, or not at all."""
    need("valgrind")
    speak = (PLUGINS / "example-c" / "speak.c").read_text()
    last = "  api->free(device);\n"
    assert speak.count(last) == 1
    for fault in ("", last * 2):
        (tmp_path / "wrong.c").write_text(speak.replace(last, fault))
        run("cc", f"-I{INCLUDE}", "-o", tmp_path / "wrong", tmp_path / "wrong.c", "-ldl")
        done = subprocess.run([*VALGRIND, tmp_path / "wrong", c_plugin], capture_output=True, check=False)
        assert done.returncode == 9


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("language", ["c", "rust"])
def test_nix_builds_it_and_it_answers(nixpkgs, language):
    if vendor_build.why_not():
        pytest.skip(f"Nix, packages built for real: {vendor_build.why_not()}")
    built = vendor_build.build(f"nixel-plugin-example-{language}")
    library = f"{built}/lib/nixel/plugins/example-{language}.so"
    said = json.loads(nixpkgs.run("/usr/bin/python3", nixpkgs.ROOT / "tests/nix/plugin_host.py", library))
    assert said["version"] == plugin_host.ABI
    assert said["answers"]["label"] == "Körperwärme"
    assert said["answers"]["simulated"] is True


@pytest.mark.parametrize("system", ["x86_64-linux", "aarch64-linux"])
@pytest.mark.parametrize("language", ["c", "rust"])
def test_the_flake_offers_it(nixpkgs, system, language):
    path = nixpkgs.evaluate(f"packages.{system}.nixel-plugin-example-{language}.drvPath")
    assert f"nixel-plugin-example-{language}" in path

"""The conformance suite passes what does as nixel_device.h says, and finds each fault by the rule that it breaks."""

import shutil
import subprocess

import pytest

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.plugins.checking import suite
from nixel.acquisition.plugins.checking.rules import RULES
from nixel.acquisition.plugins.checking.tools import Sanitizer, Valgrind

SIMULATED = {"simulated": True}
SANITIZED = ("-fsanitize=address", "-fno-omit-frame-pointer")


def check(library, mode="plain", trips=1000, settings=SIMULATED):
    return {result.rule: result for result in suite.check(library, settings, mode=mode, trips=trips)}


def broken(results):
    return {name: result.found for name, result in results.items() if result.verdict == "fail"}


@pytest.mark.parametrize("fault", ["NONE", "NEWER_SERVES_OLD", "PRINTS"])
def test_a_plugin_without_fault_keeps_every_rule(faulty_plugin, fault):
    results = check(faulty_plugin(fault))
    assert not broken(results)
    assert {result.verdict for result in results.values()} == {"pass"}
    assert [*results] == [*(rule.name for rule in RULES), "ends", "time"]


@pytest.mark.parametrize("language", ["c", "rust"])
def test_both_examples_keep_every_rule(example_plugin, language):
    results = check(example_plugin(language), trips=10_000)
    assert {name: result.verdict for name, result in results.items() if result.verdict != "pass"} == {}
    assert "10000 round trips" in results["no-growth"].found


@pytest.mark.parametrize(
    ("fault", "rule", "says"),
    [
        ("CRASH_LOAD", "loads", "SIGSEGV"),
        ("OLD_VERSION", "versions", "the plugin is older"),
        ("NEWER_VERSION", "versions", "the plugin is newer"),
        ("NO_TABLE", "versions", "has no table"),
        ("SERVES_ALL", "versions", "asked for version 0 it gives a table"),
        ("NULL_ENTRY", "table", "found none for set"),
        ("CRASH_NAME", "name", "SIGSEGV"),
        ("CRASH_OPEN", "open", "SIGSEGV"),
        ("OPEN_GIVES_NULL", "open", "null pointer"),
        ("CRASH_FREE", "open", "SIGSEGV"),
        ("FREES_TWICE", "open", "SIGABRT"),
        ("FAILED_OPEN_GIVES_DEVICE", "open-refused", "where NULL belongs"),
        ("TAKES_ANY_SETTING", "open-refused", "returned NIXEL_OK"),
        ("NAME_TWICE", "properties", "several properties of the name number"),
        ("NAME_WRONG", "properties", "'Count 1'"),
        ("TEXT_NULL", "properties", "null pointer"),
        ("TEXT_NOT_UTF8", "properties", "expected UTF-8"),
        ("LIMITS_WRONG", "properties", "found 20 and 10"),
        ("TAG_UNKNOWN", "properties", "the tag 9"),
        ("COUNT_HUGE", "properties", "property(7)"),
        ("COUNT_CHANGES", "index", "7 properties, and later 6"),
        ("ANY_INDEX", "index", "property(7) of 7 returned NIXEL_OK"),
        ("CRASH_GET", "get", "SIGSEGV"),
        ("EXIT_IN_GET", "get", "ended with status 0"),
        ("VALUE_NOT_UTF8", "get", "expected UTF-8"),
        ("VALUE_WRONG_TAG", "get", "expected float64, found int64"),
        ("VALUE_BOOL_TWO", "get", "0 or 1, found 2"),
        ("VALUE_HUGE", "get", "at most"),
        ("VALUE_NULL", "get", "null pointer"),
        ("FORGETS", "round-trip", "then it reads 0.0"),
        ("TAKES_ANY_TYPE", "wrong-type", "instead of NIXEL_WRONG_TYPE"),
        ("CHANGED_BY_FAILURE", "wrong-type", "and yet changed"),
        ("TAKES_ANY_NUMBER", "out-of-range", "instead of NIXEL_OUT_OF_RANGE"),
        ("TAKES_BROKEN_TEXT", "utf-8", "a string that is none"),
        ("UNKNOWN_IS_FAILED", "unknown", "NIXEL_DEVICE_FAILED"),
        ("TAKES_READ_ONLY", "read-only", "instead of NIXEL_READ_ONLY"),
        ("UNKNOWN_STATUS", "messages", "the unknown status 77"),
        ("STATUS_DISAGREES", "messages", "the error says NIXEL_OK"),
        ("MESSAGE_WITHOUT_NUL", "messages", "without a NUL"),
        ("MESSAGE_EMPTY", "messages", "empty message"),
        ("MESSAGE_NOT_UTF8", "messages", "not UTF-8"),
        ("SHARED_STATE", "two-devices", "after another device was set"),
        ("NEVER_FREES", "frees", "for each"),
        ("LEAKS_IN_GET", "no-growth", "for each"),
        ("LEAKS_IN_FAILURE", "no-growth", "for each"),
    ],
)
def test_each_fault_is_found_by_the_rule_that_it_breaks(faulty_plugin, fault, rule, says):
    results = check(faulty_plugin(fault))
    found = broken(results)
    assert says in found.get(rule, ""), found
    # The first rule that fails is the one that says what is wrong.
    assert next(iter(found)) in (rule, "open-refused", "index", "frees", "wrong-type")
    assert results[rule].do


def test_without_its_foundation_a_rule_is_not_tried(faulty_plugin):
    results = check(faulty_plugin("NULL_ENTRY"))
    after = [*results][[*results].index("table") + 1 : -2]
    assert {results[name].verdict for name in after} == {"none"}
    assert results["get"].found == "not tried, because table does not hold"
    assert results["ends"].verdict == "pass"


def test_one_that_hangs_is_told_and_keeps_nobody_waiting(faulty_plugin, monkeypatch):
    monkeypatch.setattr(suite, "_TIME", 1.0)
    results = check(faulty_plugin("HANG_GET"))
    assert broken(results) == {"get": "no return within 1 s"}
    assert results["round-trip"].found == "not tried, because the plugin hangs"


def test_one_that_does_not_open_says_so_in_its_own_words(example_plugin):
    results = check(example_plugin("c"), settings={})
    assert "Open it with simulated = true" in results["open"].found
    assert "--setting" in results["open"].do


def test_what_is_no_library_cannot_be_checked(tmp_path):
    with pytest.raises(DeviceError, match="found no such file"):
        check(tmp_path / "none.so")
    (tmp_path / "text.so").write_text("no library")
    assert "nixel doctor" in check(tmp_path / "text.so")["loads"].do


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("NONE", ""),
        ("WRITES_AFTER_FREE", "heap-use-after-free, in free_device"),
        ("FREES_TWICE", "double-free"),
        ("WRITES_BEYOND", "heap-buffer-overflow, in store"),
        ("NEVER_FREES", "direct leak of what was allocated in open_device"),
    ],
)
def test_the_sanitizer_sees_what_no_call_shows(faulty_plugin, fault, says):
    try:
        library = faulty_plugin(fault, *SANITIZED)
        Sanitizer(library, library.parent)
    except (subprocess.CalledProcessError, DeviceError) as error:
        pytest.skip(f"AddressSanitizer: {error}")
    results = check(library, "sanitize", trips=20)
    assert says in results["memory"].found, results["memory"].found
    assert (results["memory"].verdict == "fail") == bool(says)
    if not says:
        assert not broken(results)


def test_a_plugin_without_the_sanitizer_is_told_how_to_be_built(faulty_plugin):
    with pytest.raises(
        DeviceError, match=r"without __asan_init.*Build it again: in C with -fsanitize=address"
    ):
        check(faulty_plugin(), "sanitize")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "says"),
    [("NONE", ""), ("WRITES_BEYOND", "Invalid write of size 1, in store")],
)
def test_valgrind_sees_it_too(faulty_plugin, fault, says):
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind on this machine")
    results = check(faulty_plugin(fault), "valgrind", trips=20)
    assert says in results["memory"].found, results["memory"].found
    assert (results["memory"].verdict == "fail") == bool(says)


def test_without_valgrind_the_package_is_named(faulty_plugin, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        DeviceError, match=r"found none on this machine. Install it .Debian: apt install valgrind"
    ):
        Valgrind(faulty_plugin(), tmp_path)

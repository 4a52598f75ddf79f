"""What changes between two systems, and what is said of it."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_systems import MadeSystems, store_path

from nixel.update import words
from nixel.update.describe import describe
from nixel.update.difference import difference
from nixel.update.switching import Change, Happens

GOLDEN = Path(__file__).parents[3] / "tests" / "nix" / "golden" / "demo-vm"
SAFETY = "[Unit]\nDescription=nixel safety daemon\n[Service]\nExecStart=/nix/store/a/bin/nixel-safetyd\n"
DAY = 86400


@pytest.fixture
def made(tmp_path):
    return MadeSystems(tmp_path)


def compare(made, old, new, before=(), after=(), active=None):
    """The difference of two systems given by what `MadeSystems.system` takes."""
    documents = [
        describe(
            made.place(made.system(salt, **each)), dict.fromkeys(map(store_path, names), 1000), made.root
        )
        for salt, each, names in (("old", old, before), ("new", new, after))
    ]
    return difference(*documents, active)


def said(found, everything=False):
    return "\n".join(words.sentences(found, everything))


def test_nothing_changes_from_a_system_to_itself(made):
    document = describe(made.place(made.system(units={"a.service": SAFETY})), {}, made.root)
    found = difference(document, document)
    assert found.same
    assert found.empty
    assert "Nothing changes: both are the same system" in said(found)


def test_another_system_with_all_the_same_in_it_says_so(made):
    found = compare(made, {}, {}, ["zlib-1.3"], ["zlib-1.3"])
    assert found.empty
    assert not found.same
    assert "No program's version, service, configuration file or kernel changes" in said(found)


def test_an_older_system_is_said_first(made):
    found = compare(made, {"date": 1_790_000_000}, {"date": 1_790_000_000 - 22 * DAY})
    assert found.newer_by == -22 * DAY
    text = said(found)
    assert "3 weeks older" in text
    assert text.split("\n\n")[1].startswith("OLDER: the offered system was made 3 weeks before")
    assert "of 2026-09-21 14:13 UTC" in text


def test_another_machine_s_system_is_said_before_all_else(made):
    found = compare(made, {"host": "scanner"}, {"host": "microscope", "kernel": "6.19.1"})
    text = said(found)
    assert text.index("NOT FOR THIS MACHINE: its host is scanner") < text.index("NEEDS A RESTART")


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ({"kernel": "6.18.37"}, {"kernel": "6.18.41"}, "the kernel (6.18.37 -> 6.18.41)"),
        ({"parameters": "quiet"}, {"parameters": "debug"}, "the kernel's parameters"),
    ],
)
def test_a_restart_is_needed_for_a_reason(made, old, new, part):
    found = compare(made, old, new)
    assert found.restart
    assert "NEEDS A RESTART" in said(found)
    assert part in said(found)


@pytest.mark.parametrize("part", ["dtbs", "firmware", "initrd"])
def test_other_parts_that_only_a_restart_replaces(made, part):
    systems = [made.system(salt) for salt in ("1", "2")]
    for salt, top in enumerate(systems):
        made.write(f"{store_path(part, salt)}/file")
        made.place(f"{top}/{part}").unlink(missing_ok=True)
        made.link(f"{top}/{part}", store_path(part, salt))
    found = difference(*(describe(made.place(top), {}, made.root) for top in systems))
    assert [each.part for each in found.restart] == [part]


def test_kernel_parameters_are_named(made):
    found = compare(made, {"parameters": "quiet a=1"}, {"parameters": "quiet a=2"})
    assert (found.parameters_gone, found.parameters_new) == (("a=1",), ("a=2",))
    assert "new kernel parameters: a=2" in said(found)


def test_no_restart_for_systemd_but_its_version_is_told(made):
    found = compare(made, {"systemd": "259.3"}, {"systemd": "260.1"})
    assert found.systemd == ("259.3", "260.1")
    assert not found.restart
    assert "from 259.3 to 260.1 without a restart" in said(found)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"interface": "systemd 2"}, {"interface": "systemd 3"}),
        ({"inhibitors": {"dbus": "dbus"}}, {"inhibitors": {"dbus": "broker"}}),
    ],
)
def test_a_system_that_cannot_be_switched_to_is_told(made, old, new):
    assert "NOT WHILE THE MACHINE RUNS" in said(compare(made, old, new))


def test_a_fact_that_only_one_system_states_hinders_no_switch(made):
    found = compare(made, {"inhibitors": {}}, {"inhibitors": {"dbus": "broker"}})
    assert found.untried == ()


@pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="tests/nix/golden, the rendered units, is not part of this build"
)
def test_services_that_a_technician_knows_come_first_in_plain_words(made):
    texts = {path.name: path.read_text() for path in sorted(GOLDEN.iterdir())}
    assert "nixel-safety.service" in texts
    texts["another.service"] = SAFETY
    wants = [
        ("multi-user.target", name) for name in texts if name.endswith(("safety.service", "scanner.service"))
    ]
    wants += [("sockets.target", "nixel-imaging.socket"), ("multi-user.target", "another.service")]
    newer = {
        name: text.replace("/nix/store/", "/nix/store/newer-").replace("/nix/store/a/", "/b/")
        for name, text in texts.items()
    }
    found = compare(made, {"units": texts, "wants": wants}, {"units": newer, "wants": wants})
    assert {each.name: each.happens for each in found.units} == {
        "another.service": Happens.RESTARTS,
        "nixel-imaging.service": Happens.STOPS_UNTIL_USED,
        "nixel-imaging.socket": Happens.RESTARTS,
        "nixel-safety.service": Happens.RESTARTS,
        "nixel-virtual-scanner.service": Happens.RESTARTS,
    }
    text = said(found)
    safety = "The safety daemon restarts: outputs go off, and it must be reset and armed again."
    order = [text.index(each) for each in (safety, "The imaging service stops", "Also restarting: another")]
    assert order == sorted(order)


def test_programs_ours_first_with_all_their_versions(made):
    before = ["nixel-0.4.1", "openssl-3.6.0", "zlib-1.3", "zlib-1.2", "gone-1"]
    after = ["nixel-0.5.0", "openssl-3.6.1", "zlib-1.3", "zlib-1.4", "fresh-2"]
    found = compare(made, {}, {"version": "0.5.0"}, before, after)
    assert {each.name: (each.before, each.after) for each in found.programs} == {
        "nixel": (("0.4.1",), ("0.5.0",)),
        "openssl": (("3.6.0",), ("3.6.1",)),
        "zlib": (("1.2", "1.3"), ("1.3", "1.4")),
        "gone": (("1",), ()),
        "fresh": ((), ("2",)),
    }
    lines = said(found).split("Programs:\n")[1].splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["nixel", "openssl", "zlib", "fresh", "gone"]
    assert (found.new_paths, found.new_bytes, found.all_paths) == (4, 4000, 5)
    assert "New: 4 of 5 store paths, 4.0 kB unpacked." in said(found)


def test_lists_are_short_unless_everything_is_asked_for(made):
    before = [f"program-{letter}-1.0" for letter in "abcdefghijklmnopqrstuvwx"]
    after = [name.replace("1.0", "1.1") for name in before]
    found = compare(made, {}, {}, before, after)
    assert "and 14 more" in said(found)
    assert "program-x" not in said(found)
    assert "more" not in said(found, everything=True)
    assert all(name.removesuffix("-1.0") in said(found, everything=True) for name in before)


def test_configuration_files(made):
    old = {"a": "1", "b": "1", "c": f"{store_path('bash-1')}/sh", "same": "1"}
    new = {"a": "2", "d": "1", "c": f"{store_path('bash-2')}/sh", "same": "1"}
    found = compare(made, {"etc": old}, {"etc": new})
    assert {each.path: each.change for each in found.files} == {
        "a": Change.DIFFERS,
        "b": Change.GONE,
        "c": Change.STORE_PATHS,
        "d": Change.NEW,
    }
    text = said(found)
    assert "/etc/a\n" in text
    assert "/etc/d (new)" in text
    assert "1 more configuration file differs only in which programs are named there" in text


def test_mounts(made):
    found = compare(
        made, {"fstab": "/dev/a /var ext4 rw\n/dev/b /b ext4\n"}, {"fstab": "/dev/a /var ext4 ro\n"}
    )
    assert [(each.path, each.change) for each in found.mounts] == [
        ("/b", Change.GONE),
        ("/var", Change.DIFFERS),
    ]
    assert "The file system at /b is unmounted." in said(found)


def test_a_name_cannot_steer_the_terminal(made):
    found = compare(made, {}, {"etc": {"a\x1b[2Jb": "1"}})
    assert "\x1b" not in said(found)


def test_a_table_that_was_cut_is_compared_where_both_have_it(made):
    old = describe(made.place(made.system("1")), {store_path("a-1"): 1, store_path("z-1"): 1}, made.root)
    new = {**old, "path": "/nix/store/other", "packages": {"a": ["2"]}, "left_out": {"packages": 1}}
    found = difference(old, new)
    assert [each.name for each in found.programs] == ["a"]
    assert found.incomplete == ("packages",)
    assert "NOT EVERYTHING IS KNOWN" in said(found)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "less than a minute"),
        (60, "1 minute"),
        (7200, "2 hours"),
        (DAY, "24 hours"),
        (3 * DAY, "3 days"),
        (-21 * DAY, "3 weeks"),
        (70 * DAY, "2 months"),
        (800 * DAY, "2 years"),
    ],
)
def test_ages_in_words(seconds, expected):
    assert words.age(seconds) == expected


def test_lines_are_broken_between_words():
    lines = ["", "  The safety daemon restarts: outputs go off", "/nix/store/" + "a" * 60]
    found = words.wrapped(lines, 24)
    assert found == ["", "  The safety daemon", "      restarts: outputs", "      go off", lines[2]]


# --- of any two documents ---

NAMES = st.sampled_from(["a", "b", "c", "d"])
UNIT = st.fixed_dictionaries(
    {
        "digest": st.sampled_from(["1", "2"]),
        "when_changed": st.sampled_from(["restart", "stop-start", "reload", "leave", "apply"]),
        "wanted": st.just(True),
    }
)


@st.composite
def documents(draw):
    return {
        "format": 1,
        "path": draw(st.sampled_from(["/nix/store/1", "/nix/store/2"])),
        "identity": None,
        "nixos": "",
        "systemd": draw(st.sampled_from(["259", "260"])),
        "kernel": "6",
        "interface": "systemd 2",
        "inhibitors": {},
        "parts": draw(st.dictionaries(st.sampled_from(["kernel", "initrd"]), st.sampled_from(["1", "2"]))),
        "parameters": draw(st.lists(st.sampled_from(["quiet", "debug"]), unique=True)),
        "packages": draw(
            st.dictionaries(NAMES, st.lists(st.sampled_from(["1", "2"]), min_size=1, unique=True))
        ),
        "paths": draw(st.dictionaries(NAMES, st.integers(0, 9))),
        "units": draw(st.dictionaries(NAMES.map(lambda name: f"{name}.service"), UNIT)),
        "mounts": {},
        "etc": draw(st.dictionaries(NAMES, st.lists(st.sampled_from(["1", "2"]), min_size=2, max_size=2))),
        "left_out": {},
    }


@given(documents())
def test_a_document_does_not_differ_from_itself(document):
    found = difference(document, document)
    assert found.empty
    assert found.same
    assert (found.new_paths, found.new_bytes) == (0, 0)


def apply(names, changed, is_new, is_gone):
    """The names that there are after the changes."""
    return (set(names) | {each for each in changed if is_new(each)}) - {
        each for each in changed if is_gone(each)
    }


@settings(max_examples=200)
@given(documents(), documents())
def test_the_changes_lead_from_the_old_to_the_new(old, new):
    found = difference(old, new)
    packages = {name: tuple(versions) for name, versions in old["packages"].items()}
    packages |= {each.name: each.after for each in found.programs}
    assert {name: versions for name, versions in packages.items() if versions} == {
        name: tuple(versions) for name, versions in new["packages"].items()
    }
    for table, changes in (
        ("units", {each.name: each.change for each in found.units}),
        ("etc", {each.path: each.change for each in found.files}),
    ):
        after = apply(
            old[table],
            changes,
            lambda each, changes=changes: changes[each] is Change.NEW,
            lambda each, changes=changes: changes[each] is Change.GONE,
        )
        assert after == set(new[table])
        differing = {
            name for name in set(old[table]) & set(new[table]) if old[table][name] != new[table][name]
        }
        told = {name for name, change in changes.items() if change not in (Change.NEW, Change.GONE)}
        if table == "etc":
            assert told == differing
        else:
            assert {
                name for name in differing if old[table][name]["digest"] != new[table][name]["digest"]
            } == told
    assert [name for name in words.as_json(found)["sentences"] if "\n" in name] == []
    assert json.loads(json.dumps(words.as_json(found)))["same"] == found.same

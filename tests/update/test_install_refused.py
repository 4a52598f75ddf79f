"""Sticks that a machine must not take: each is refused in words, and nothing of the machine or the stick is changed."""

import json
import os
import shutil
import time

import installs
import pytest
import systems
from installs import DATE, DAY, copied, discard, entry, held, install, manifest, pin, put, refused, written

GIGABYTE = 10**9


@pytest.fixture(scope="module")
def old(lab):
    return systems.build(lab, "alpha", "1.0", DATE)


@pytest.fixture(scope="module")
def new(lab):
    return systems.build(lab, "alpha", "1.1", DATE + DAY, packages={"imaging": "1.1", "safety": "1.0"})


@pytest.fixture(scope="module")
def good(lab, new):
    """A stick for two hosts that nothing is wrong with."""
    folder = written(lab, "good", {"alpha": new, "beta": systems.build(lab, "beta", "1.1", DATE + DAY)})
    yield folder
    discard(lab, "good")


@pytest.fixture(scope="module")
def secret(lab, tmp_path_factory):
    return installs.secret(lab, tmp_path_factory.mktemp("key") / "secret")


@pytest.fixture(scope="module")
def machine(lab, old):
    """One machine for all of these: each of them leaves it as it was, and shows that."""
    started = lab.start("alpha", system=old)
    yield started
    lab.remove(started)


@pytest.fixture
def spoilt(lab, good, machine):
    """A copy of the good stick, and where it is plugged in."""
    folder = copied(lab, good, "spoilt")
    yield folder, machine.plug("spoilt")
    machine.pull("spoilt")
    discard(lab, "spoilt")


def check(machine, spoilt, words, *options):
    """Refused, and the stick as it was."""
    folder, place = spoilt
    before = installs.files(folder)
    said = refused(machine, place, words, *options)
    assert installs.files(folder) == before
    return said


def change(folder, document, secret=None):
    put(folder, document, signed=secret)


# --- for whom, and from whom ---


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ({"host": "beta"}, "This stick is for beta, and this machine is alpha."),
        ({"product": "other"}, "This is a system for the product 'other', and this product is 'nixel'."),
    ],
    ids=["another host", "another product"],
)
def test_a_system_that_is_not_for_this_machine(lab, machine, identity, words):
    whose = {"host": "alpha", "version": "2.0", "date": DATE + DAY, **identity}
    folder = written(lab, "other", {whose["host"]: systems.build(lab, **whose)})
    check(machine, (folder, machine.plug("other")), words, "--allow-older")
    machine.pull("other")
    discard(lab, "other")


def test_the_manifest_of_another_host_in_this_ones_folder(machine, spoilt):
    shutil.copytree(spoilt[0] / "hosts" / "beta", spoilt[0] / "hosts" / "alpha", dirs_exist_ok=True)
    check(machine, spoilt, "is for the host beta")


@pytest.mark.parametrize("name", ["stranger-1", installs.KEY])
def test_a_key_that_the_machine_does_not_trust(lab, machine, new, name):
    """Another key, also one that calls itself by the trusted one's name."""
    lab.developer.run(f"umask 077 && nix key generate-secret --key-name {name} > /root/other.key")
    folder = written(lab, "other", {"alpha": new}, key="other")
    words = "trusts nixel-lab-1" if name != installs.KEY else "is not what 'nixel-lab-1' signed"
    check(machine, (folder, machine.plug("other")), words)
    machine.pull("other")
    discard(lab, "other")


def test_no_signature(machine, spoilt):
    signature = spoilt[0] / "hosts" / "alpha" / "manifest.sig"
    content = signature.read_text()
    signature.unlink()
    check(machine, spoilt, "manifest.sig is missing")
    signature.write_text("")
    check(machine, spoilt, "is not one line of text")
    signature.write_text(content.partition(":")[0] + ":" + "A" * 86 + "==\n")
    check(machine, spoilt, "is not what 'nixel-lab-1' signed")


@pytest.mark.parametrize(
    "change_it",
    [
        lambda found: found.update(note="Trust me"),
        lambda found: found.update(made=found["made"] + 1),
        lambda found: found["paths"].pop(),
        lambda found: found["system"]["identity"].update(date=DATE + 99 * DAY),
    ],
    ids=["note", "time", "path", "date"],
)
def test_a_manifest_that_was_altered(machine, spoilt, change_it):
    found = manifest(spoilt[0])
    change_it(found)
    change(spoilt[0], found)
    check(machine, spoilt, "is not what 'nixel-lab-1' signed")


# --- the paths ---


@pytest.mark.parametrize("pinned", [False, True], ids=["only there", "and the manifest says so"])
def test_a_narinfo_whose_signature_was_stripped(machine, spoilt, secret, pinned):
    found = manifest(spoilt[0])
    path = entry(found, "imaging-1.1")
    narinfo = spoilt[0] / path["narinfo"]["name"]
    lines = narinfo.read_text().splitlines(keepends=True)
    narinfo.write_text("".join(line for line in lines if not line.startswith("Sig:")))
    words = "is damaged or was changed"
    if pinned:
        pin(spoilt[0], path["narinfo"])
        change(spoilt[0], found, secret)
        words = f"{path['path']} is signed by no key that this machine trusts"
    check(machine, spoilt, words)


def test_archives_and_narinfos_that_are_missing_or_swapped(machine, spoilt):
    found = manifest(spoilt[0])
    # Of the same size, so that only their content tells.
    one, two = (entry(found, f"{name}-6.12.1") for name in ("linux", "linux-modules"))
    for kind in ("nar", "narinfo"):
        files = [spoilt[0] / each[kind]["name"] for each in (one, two)]
        contents = [each.read_bytes() for each in files]
        files[0].unlink()
        check(machine, spoilt, f"{files[0].name} is missing")
        files[0].write_bytes(contents[1])
        files[1].write_bytes(contents[0])
        check(machine, spoilt, "is damaged or was changed")
        files[0].write_bytes(contents[0] + b"\0")
        files[1].write_bytes(contents[1])
        check(machine, spoilt, "is damaged or was changed")
        files[0].write_bytes(contents[0])


def test_entries_that_contradict_what_they_name(machine, spoilt, secret):
    """What only the holder of the key can make, by mistake."""
    good = manifest(spoilt[0])
    one, two = (entry(good, f"{name}-6.12.1") for name in ("linux", "linux-modules"))
    found = manifest(spoilt[0])
    entry(found, "linux-6.12.1").update(narinfo=two["narinfo"], nar=two["nar"])
    entry(found, "linux-modules-6.12.1").update(narinfo=one["narinfo"], nar=one["nar"])
    change(spoilt[0], found, secret)
    check(machine, spoilt, "manifest.json")

    found = manifest(spoilt[0])
    found["paths"] = [each for each in good["paths"] if each != one]
    change(spoilt[0], found, secret)
    check(machine, spoilt, f"The manifest does not list {one['path']}, which its system needs.")

    stray = dict(one, path="/nix/store/" + "a" * 32 + "-stray", references=[])
    stray["narinfo"] = dict(one["narinfo"], name="cache/" + "a" * 32 + ".narinfo")
    found["paths"] = sorted([*good["paths"], stray], key=lambda each: each["path"])
    change(spoilt[0], found, secret)
    check(machine, spoilt, "-stray, which its system does not need.")


def test_a_content_addressed_system(lab, machine, spoilt, secret, new):
    """Nix itself takes one from anybody. It is not even written; if it were, it would be refused."""
    path = systems.content_addressed(lab, new)
    lab.stick("other")
    done = installs.write(lab, "other", {"alpha": path})
    assert (done.returncode, "is content-addressed" in done.stderr) == (2, True), done.stderr
    assert not (lab.seen(lab.folder / "sticks" / "other") / "hosts").exists()
    discard(lab, "other")

    found = manifest(spoilt[0])
    top = entry(found, "nixos-system-alpha-1.1")
    top["ca"] = "fixed:r:" + top["nar_hash"]
    change(spoilt[0], found, secret)
    check(machine, spoilt, "is content-addressed: anyone could have made it")


# --- what leads out of the stick, or never ends ---


def _escape(found):
    return entry(found, "imaging-1.1")


@pytest.mark.parametrize(
    "change_it",
    [
        lambda found: _escape(found)["nar"].update(name="cache/nar/../../../../etc/shadow"),
        lambda found: _escape(found)["nar"].update(name="/etc/shadow"),
        lambda found: _escape(found)["narinfo"].update(name="../../etc/passwd"),
        lambda found: _escape(found).update(path="/nix/store/../../etc/passwd"),
        lambda found: _escape(found).update(path="/nix/store/" + "a" * 32 + "-x/../../../etc"),
        lambda found: _escape(found)["references"].append("/etc/passwd"),
        lambda found: found["system"].update(path="/etc"),
        lambda found: found.update(since="/nix/store/.."),
        lambda found: found.update(host="../beta"),
        lambda found: found["files"].update({"../README.txt": found["files"]["README.txt"]}),
    ],
)
def test_a_signed_manifest_that_leads_out_of_the_stick(machine, spoilt, secret, change_it):
    found = manifest(spoilt[0])
    change_it(found)
    change(spoilt[0], found, secret)
    check(machine, spoilt, "manifest.json")


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "narinfo", "nar", "README.txt"])
def test_a_file_of_a_gigabyte(machine, spoilt, name):
    folder, place = spoilt
    path = entry(manifest(folder), "imaging-1.1")
    place_of = {"narinfo": path["narinfo"]["name"], "nar": path["nar"]["name"], "README.txt": "README.txt"}
    file = folder / place_of.get(name, f"hosts/alpha/{name}")
    os.truncate(file, GIGABYTE)
    before = held(machine)
    began = time.monotonic()
    # It would not fit: the program and what it starts may have 400 MB of addresses each.
    done = machine.attempt(f"ulimit -v 400000; nixel-update install {place} --yes")
    assert time.monotonic() - began < 10
    assert done.returncode == 2, done.stderr
    assert f"{file.name} " in done.stderr
    assert f"{GIGABYTE} bytes" in done.stderr
    installs.untouched(machine, before, "refused")


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "nar", "narinfo", "hosts/alpha", "cache"])
def test_something_else_in_a_files_place(machine, spoilt, name, what):
    folder, place = spoilt
    path = entry(manifest(folder), "imaging-1.1")
    places = {"nar": path["nar"]["name"], "narinfo": path["narinfo"]["name"]}
    spoil = folder / places.get(name, name if "." not in name else f"hosts/alpha/{name}")
    spoil.rename(folder / "aside")
    if what == "link":
        # With the right content: it is not the content that is refused.
        spoil.symlink_to(os.path.relpath(folder / "aside", spoil.parent))
    elif what == "pipe":
        os.mkfifo(spoil)
    else:
        spoil.mkdir()
    began = time.monotonic()
    check(machine, spoilt, str(place))
    assert time.monotonic() - began < 20
    if what == "link":
        spoil.unlink()
        (folder / "aside").rename(spoil)
        assert machine.attempt(["nixel-update", "offer", str(place)]).returncode == 0


def test_folders_that_are_no_sticks(machine):
    for place, words in (("/media/none", "is not a folder"), ("/usr", "is no stick of nixel")):
        refused(machine, place, words)


def test_a_clock_that_is_years_off(machine, spoilt):
    _, place = spoilt
    for date, words in (
        ("2001-01-01 12:00:00", "clock says 2001"),
        ("2099-01-01 12:00:00", "clock says 2099"),
    ):
        before = held(machine)
        done = machine.attempt(["faketime", date, "nixel-update", "install", str(place), "--yes"])
        assert (done.returncode, words in done.stderr, "set-clock" in done.stderr) == (2, True, True)
        installs.untouched(machine, before, "refused")


def test_a_program_is_told_of_a_refusal(machine, spoilt):
    (spoilt[0] / "README.txt").write_text("Hello")
    done = install(machine, spoilt[1], "--json")
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told["verdict"] == "refused"
    assert "README.txt is damaged or was changed" in told["why"][0]


def test_the_good_stick_is_taken_after_all_that(lab, target, good, old, new):
    """What was refused was refused for what was done to it."""
    machine = target("alpha2", system=old)
    assert install(machine, machine.plug("good")).returncode == 0
    installs.settled(machine, new, booted=old, verdict="kept")

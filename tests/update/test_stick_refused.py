"""A stick on which anything is wrong is refused, before anything is copied and without being touched.

Each test starts from a stick that was found good, and changes one thing. Where the manifest itself is what is wrong, it
is signed with the trusted key, and refused all the same.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sticks

from nixel.update import keys
from nixel.update.manifest.model import PREFIX, encode
from nixel.update.refusal import Refusal
from nixel.update.stick import layout, narinfo, verify

FLIPS = 200


@pytest.fixture(scope="module")
def good(nix):
    with sticks.good_stick() as stick:
        check(stick)
        yield stick


@pytest.fixture
def stick(good):
    with good.copy() as copied:
        check(copied)
        yield copied


def check(stick, *, running=None, **more):
    running = running or stick.identity
    return verify(stick.folder, running.host, stick.trusted, running=running, **more)


def refused(stick, says=".", **more):
    """That the stick is refused, says so, and is as it was."""
    before = sticks.state(stick.folder)
    with pytest.raises(Refusal, match=says) as caught:
        check(stick, **more)
    assert sticks.state(stick.folder) == before
    assert caught.value.todo
    return caught.value


def manifest_file(stick):
    return stick.folder / layout.manifest(stick.identity.host)


def signature_file(stick):
    return stick.folder / layout.signature(stick.identity.host)


def sign(stick, content, key=None):
    manifest_file(stick).write_bytes(content)
    signature_file(stick).write_text(keys.sign(key or stick.secret, PREFIX + content) + "\n")


def change(stick, how):
    """Change the manifest's plain data, and sign it with the trusted key."""
    found = json.loads(manifest_file(stick).read_bytes())
    how(found)
    sign(stick, encode(found))


def entries(stick):
    return {each.path: each for each in check(stick).manifest.paths}


def entry_of(stick, word):
    (found,) = [each for path, each in entries(stick).items() if word in path]
    return found


def repin(stick, path, content):
    """Put another narinfo on the stick, and have the manifest pin it."""
    sha256, size = sticks.pin(content)

    def how(found):
        (entry,) = [each for each in found["paths"] if each["path"] == path]
        entry["narinfo"].update(sha256=sha256, size=size)
        (stick.folder / entry["narinfo"]["name"]).write_bytes(content)

    change(stick, how)


# --- who signed ---


def test_another_key(stick, tmp_path):
    other = sticks.make_key(tmp_path / "other", "nixel-other-1")
    sign(stick, manifest_file(stick).read_bytes(), other)
    refused(stick, "signed by 'nixel-other-1', and this machine trusts nixel-test-1")


def test_another_key_of_the_same_name(stick, tmp_path):
    other = sticks.make_key(tmp_path / "other")
    sign(stick, manifest_file(stick).read_bytes(), other)
    refused(stick, "not what 'nixel-test-1' signed")


def test_a_whole_stick_by_another_key(nix, good, tmp_path):
    with sticks.shared_folder() as place:
        other = sticks.make_key(tmp_path / "other")
        sticks.write_stick(place / "stick", [good.system], other)
        refused(
            sticks.Stick(place / "stick", good.system, good.identity, good.secret),
            "not what 'nixel-test-1' signed",
        )


def test_an_unsigned_manifest(stick):
    signature_file(stick).unlink()
    refused(stick, "manifest.sig is missing")
    signature_file(stick).touch()
    refused(stick, "not one line")


def test_an_altered_manifest(stick):
    content = manifest_file(stick).read_bytes()
    manifest_file(stick).write_bytes(content.replace(b"for a test", b"for a jest"))
    refused(stick, "not what 'nixel-test-1' signed")


@pytest.mark.parametrize("word", ["system-alpha", "nixel.conf"])
@pytest.mark.parametrize("pinned", [False, True])
def test_a_path_whose_signature_was_stripped(stick, word, pinned):
    """The text is content-addressed: Nix itself would take it without one."""
    entry = entry_of(stick, word)
    place = stick.folder / entry.narinfo.name
    lines = place.read_bytes().splitlines(keepends=True)
    stripped = b"".join(line for line in lines if not line.startswith(b"Sig: "))
    assert stripped != place.read_bytes()
    if pinned:
        repin(stick, entry.path, stripped)
        refused(stick, f"{entry.path} is signed by no key")
    else:
        place.write_bytes(stripped)
        refused(stick, "damaged or was changed")


@pytest.mark.parametrize("word", ["system-alpha", "nixel.conf"])
def test_a_path_that_another_key_signed(stick, word, tmp_path):
    entry = entry_of(stick, word)
    other = sticks.make_key(tmp_path / "other")
    repin(stick, entry.path, narinfo.render(entry, entry.nar, keys.sign(other, entry.fingerprint)))
    refused(stick, f"{entry.path} is signed by no key")


# --- what is there ---


def test_narinfos_of_two_paths_swapped(stick):
    one, other = entry_of(stick, "system-alpha"), entry_of(stick, "program-alpha")
    first, second = (stick.folder / each.narinfo.name for each in (one, other))
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    refused(stick, "damaged or was changed")
    # And where whoever signed the manifest swapped them.
    repin(stick, one.path, contents[1])
    repin(stick, other.path, contents[0])
    refused(stick, "says another StorePath")


@pytest.mark.parametrize("kind", ["nar", "narinfo"])
def test_a_missing_file(stick, kind):
    for path, entry in entries(stick).items():
        place = stick.folder / getattr(entry, kind).name
        content = place.read_bytes()
        place.unlink()
        refused(stick, f"{place.name} is missing")
        place.write_bytes(content)
        assert path in entries(stick)


@pytest.mark.parametrize("name", ["README.txt", "cache/nix-cache-info", "hosts/alpha/manifest.json"])
def test_a_missing_file_of_the_stick(stick, name):
    (stick.folder / name).unlink()
    refused(stick, f"{Path(name).name} is missing")


def test_a_nar_replaced(stick):
    library, program = entry_of(stick, "library"), entry_of(stick, "program")
    place = stick.folder / library.nar.name
    place.write_bytes((stick.folder / program.nar.name).read_bytes())
    refused(stick, "damaged or was changed: it has")
    place.write_bytes(random.Random(1).randbytes(library.nar.size))
    refused(stick, "damaged or was changed: its SHA-256")


def test_a_nar_cut_short_and_one_too_long(stick):
    place = stick.folder / entry_of(stick, "library").nar.name
    content = place.read_bytes()
    for other in (content[:-1], content + b"\0", b""):
        place.write_bytes(other)
        refused(stick, f"it has {len(other)} bytes, and {len(content)} were expected")


def find_bit(files, sizes, position):
    for place, size in zip(files, sizes, strict=True):
        if position < 8 * size:
            return place, position
        position -= 8 * size
    raise IndexError(position)


def test_every_single_bit_counts(good):
    """Each of 200 positions, drawn over all bytes of the stick."""
    drawn = random.Random(20_260_101)
    with good.copy() as stick:
        files = stick.files()
        assert {each.relative_to(stick.folder).parts[0] for each in files} == {"README.txt", "cache", "hosts"}
        sizes = [each.stat().st_size for each in files]
        touched = set()
        began = time.monotonic()
        for position in drawn.sample(range(8 * sum(sizes)), FLIPS):
            place, bit = find_bit(files, sizes, position)
            whole = place.read_bytes()
            content = bytearray(whole)
            content[bit // 8] ^= 1 << bit % 8
            place.write_bytes(content)
            with pytest.raises(Refusal):
                check(stick)
            place.write_bytes(whole)
            touched.add(place.suffix)
        assert time.monotonic() - began < 60
        assert touched >= {".txt", ".narinfo", ".xz", ".json"}
        check(stick)


def test_every_bit_of_the_small_files_counts(good):
    """A signature's text and a key's name have spare bits; none of them is spare here."""
    with good.copy() as stick:
        for place in (signature_file(stick), stick.folder / "cache" / "nix-cache-info"):
            whole = place.read_bytes()
            for position in range(8 * len(whole)):
                content = bytearray(whole)
                content[position // 8] ^= 1 << position % 8
                place.write_bytes(content)
                with pytest.raises(Refusal):
                    check(stick)
            place.write_bytes(whole)
        check(stick)


# --- what the manifest lists ---


def test_a_content_addressed_toplevel(nix, stick):
    """Nix would install it whoever made it; a maker who writes one by mistake is told, and a machine takes none."""
    made = json.loads(nix.run("nix", "store", "make-content-addressed", "--json", stick.system))
    system = made["rewrites"][stick.system]
    with sticks.shared_folder() as place:
        with pytest.raises(Refusal, match="content-addressed"):
            sticks.write_stick(place / "stick", [system], stick.secret)
        assert not list(place.iterdir())

    def how(found):
        (entry,) = [each for each in found["paths"] if each["path"] == stick.system]
        entry["ca"] = sticks.nix().closure(system)[system].ca

    change(stick, how)
    refused(stick, f"{stick.system} is content-addressed")


@pytest.mark.parametrize("word", ["library", "nixel.conf"])
def test_a_path_missing_in_the_manifest(stick, word):
    path = entry_of(stick, word).path
    change(stick, lambda found: found["paths"].remove(next(e for e in found["paths"] if e["path"] == path)))
    refused(stick, f"does not list {path}")


def test_a_superfluous_path(nix, stick):
    other = sticks.identity(version="other")
    with sticks.shared_folder() as place:
        sticks.write_stick(place / "stick", [sticks.build(other, series="other")], stick.secret)
        another = sticks.Stick(place / "stick", "", other, stick.secret)
        extra = json.loads(manifest_file(another).read_bytes())["paths"]
        for each in another.files():
            if each.suffix in (".narinfo", ".xz"):
                (stick.folder / each.relative_to(another.folder)).write_bytes(each.read_bytes())
    check(stick)  # what is on the stick for others is no matter

    def how(found):
        known = {each["path"] for each in found["paths"]}
        found["paths"] = sorted(
            [*found["paths"], *(each for each in extra if each["path"] not in known)],
            key=lambda each: each["path"],
        )

    change(stick, how)
    refused(stick, "which its system does not need")


TRAVERSAL = "../../../../etc/passwd"


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (lambda found: found["paths"][0], "path"),
        (lambda found: found["paths"][0]["nar"], "name"),
        (lambda found: found["paths"][0]["narinfo"], "name"),
        (lambda found: found["system"], "path"),
        (lambda found: found, "host"),
        (lambda found: found, "since"),
        (lambda found: found["system"]["identity"], "host"),
    ],
)
@pytest.mark.parametrize(
    "form", ["{}", "/nix/store/{}", "cache/nar/{}.nar.xz", "cache/{}.narinfo", "/etc/passwd"]
)
def test_a_name_that_leads_elsewhere(stick, where, name, form):
    change(stick, lambda found: where(found).__setitem__(name, form.format(TRAVERSAL)))
    refused(stick)


@pytest.mark.parametrize("form", ["{}", "/etc/passwd", "cache/{}"])
def test_a_pinned_file_that_leads_elsewhere(stick, form):
    def how(found):
        found["files"][form.format(TRAVERSAL)] = found["files"].pop("README.txt")

    change(stick, how)
    refused(stick)
    change(stick, lambda found: found.__setitem__("files", {}))
    refused(stick, "pins no README.txt")


def test_a_narinfo_that_leads_elsewhere(stick):
    entry = entry_of(stick, "library")
    content = (stick.folder / entry.narinfo.name).read_bytes()
    repin(stick, entry.path, content.replace(b"URL: nar/", b"URL: ../../../../etc/nar/"))
    refused(stick, "says another URL")


@pytest.mark.parametrize("host", ["../alpha", "..", ".", "", "a/b", "/alpha", "a" * 64])
def test_a_machine_whose_name_leads_elsewhere(stick, host):
    refused(stick, running=sticks.identity(host))


# --- what is no file ---


def test_links_on_the_stick_are_not_followed(stick):
    for each in stick.files():
        with stick.copy() as other:
            place = other.folder / each.relative_to(stick.folder)
            place.unlink()
            place.symlink_to(each)  # the right content, elsewhere
            refused(other, "is a link")


@pytest.mark.parametrize("name", ["cache", "cache/nar", "hosts", "hosts/alpha"])
def test_folders_that_are_links_are_not_entered(stick, good, name):
    place = stick.folder / name
    place.rename(stick.folder / "moved")
    place.symlink_to(good.folder / name)
    refused(stick, "stands a link")


def test_pipes_and_devices_on_the_stick_are_not_opened(stick):
    for each in stick.files():
        with stick.copy() as other:
            place = other.folder / each.relative_to(stick.folder)
            place.unlink()
            os.mkfifo(place)
            began = time.monotonic()
            refused(other, "is a pipe")
            assert time.monotonic() - began < 5
            place.unlink()
            try:
                os.mknod(place, 0o20666, os.makedev(1, 5))
            except PermissionError:
                pytest.skip("devices: only root may make one")
            refused(other, "is a device")


MEASURED = """
import sys, time
from pathlib import Path
from nixel.update import keys
from nixel.update.refusal import Refusal
from nixel.update.stick import verify

def peak():
    # Of this program alone: what getrusage tells includes whoever started it, and that may be more.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

before = peak()
began = time.monotonic()
try:
    verify(Path(sys.argv[1]), "alpha", [keys.parse_public(sys.argv[2])])
except Refusal as error:
    print(error)
print(time.monotonic() - began, peak() - before)
"""


@pytest.mark.parametrize("name", ["hosts/alpha/manifest.json", "hosts/alpha/manifest.sig"])
def test_a_huge_file_is_refused_at_once(stick, name):
    """A file of a gigabyte, most of which is a hole: within a second and a few megabytes."""
    with (stick.folder / name).open("r+b") as stream:
        stream.truncate(1_000_000_000)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(stick.folder), str(stick.secret.public)],
        capture_output=True,
        text=True,
        check=True,
    )
    said, numbers = done.stdout.strip().split("\n")
    seconds, kilobytes = map(float, numbers.split())
    assert "1000000000 bytes; at most" in said
    assert seconds < 1
    assert kilobytes < 16_000


# --- for whom ---


def test_the_stick_of_another_machine(stick):
    refused(stick, "This stick is for alpha, and this machine is beta", running=sticks.identity("beta"))
    # And where somebody renamed the folder.
    (stick.folder / "hosts" / "alpha").rename(stick.folder / "hosts" / "beta")
    refused(stick, "is for the host alpha", running=sticks.identity("beta"))


def test_the_stick_of_another_product(stick):
    refused(stick, "for the product 'nixel'", running=sticks.identity(product="other"))


def test_no_stick_at_all(stick, tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(Refusal, match="Name the stick's folder"):
            verify(folder, "alpha", stick.trusted)


def test_an_older_system_needs_a_word(stick):
    newer = sticks.identity(version="2.0", date=sticks.DATE + 1)
    refused(stick, "older than the running one", running=newer)
    assert check(stick, running=newer, allow_older=True).manifest.system == stick.system
    assert check(stick, running=sticks.identity(date=sticks.DATE - 1)).manifest.system == stick.system

"""Sticks written from a store: what Nix says of them, and what they leave out."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nix_tools
import pytest
import sticks

from nixel.update import hashes, keys
from nixel.update.failure import Failure
from nixel.update.manifest import arrived
from nixel.update.refusal import Refusal
from nixel.update.stick import verify
from nixel.update.stick.nar import archive

CHECKED = ("--option", "require-sigs", "true", "--option", "trusted-public-keys")


@pytest.fixture(scope="module")
def written(nix):
    """A good stick."""
    with sticks.good_stick() as stick:
        yield stick


@pytest.fixture
def place(nix):
    with sticks.shared_folder() as folder:
        yield folder


def check(stick, **more):
    return verify(stick.folder, stick.identity.host, stick.trusted, running=stick.identity, **more)


# --- what Nix says ---


def test_verifies_and_leaves_the_stick_as_it_is(written):
    before = sticks.state(written.folder)
    told = []
    found = check(written, progress=lambda done, total: told.append((done, total)))
    assert sticks.state(written.folder) == before
    assert found.key == "nixel-test-1"
    assert found.manifest.system == written.system
    assert found.manifest.identity == written.identity
    assert (found.manifest.made, found.manifest.note) == (sticks.MADE, "for a test")
    assert found.manifest.description == {"format": 1, "about": Path(written.system).name}
    assert told == sorted(told)
    assert (
        told[-1]
        == (found.size, found.size)
        == (sum(each.stat().st_size for each in sticks.nars(written.folder)),) * 2
    )


def test_its_paths_are_the_closure_as_nix_knows_it(nix, written):
    known = sticks.nix().closure(written.system)
    found = {each.path: each for each in check(written).manifest.paths}
    assert set(found) == set(nix.run("nix-store", "--query", "--requisites", written.system).split())
    for path, entry in found.items():
        info = known[path]
        assert (entry.nar_hash, entry.nar_size, entry.references, entry.ca) == (
            info.nar_hash,
            info.nar_size,
            info.references,
            info.ca,
        )
        (said,) = nix.run("nix-store", "--query", "--hash", path).split()
        assert said == entry.nar_hash
    assert sum(each.ca is not None for each in found.values()) == 1


def test_signatures_are_nixs_own(nix, written, place):
    """The same key, the same path: the signature that Nix makes is the one on the stick, to the byte."""
    file = place / "key"
    nix.run("cp", written.folder.parent / "key", file)
    nix.run("nix", "copy", "--to", f"file://{place}/nixs?secret-key={file}", written.system)
    ours = {each.name: found for each, found in sticks.narinfos(written.folder / "cache").items()}
    theirs = {each.name: found for each, found in sticks.narinfos(place / "nixs").items()}
    assert ours.keys() == theirs.keys()
    for name, found in theirs.items():
        assert found.signatures == ours[name].signatures
        assert replace(found, url="", file_hash=b"", file_size=0) == replace(
            ours[name], url="", file_hash=b"", file_size=0
        )
    for entry in check(written).manifest.paths:
        signatures = theirs[Path(entry.narinfo.name).name].signatures
        assert keys.signed_by(written.trusted, signatures, entry.fingerprint) == "nixel-test-1"
        other = replace(entry, nar_size=entry.nar_size + 1)
        assert keys.signed_by(written.trusted, signatures, other.fingerprint) is None


def test_nix_accepts_the_cache_with_the_key_and_not_with_another(nix, written, place):
    store = ("--store", f"file://{written.folder}/cache")
    paths = sorted(each.path for each in check(written).manifest.paths)
    signed = ("nix", "store", "verify", *store, "--sigs-needed", "1", "--option", "trusted-public-keys")
    nix.run(*signed, str(written.secret.public), *paths)
    other = sticks.make_key(place / "other")
    with pytest.raises(nix_tools.NixError, match="untrusted"):
        nix.run(*signed, str(other.public), *paths)


def test_nix_copies_exactly_these_paths(nix, written, place):
    found = check(written)
    told = []
    paths = [each.path for each in found.brings]
    sizes = {each.path: each.nar_size for each in found.brings}
    source = ("--from", found.cache, *CHECKED)
    other = sticks.make_key(place / "other")
    with pytest.raises(Failure, match="not signed by a key that is trusted here"):
        sticks.nix().copy(sizes, *source, str(other.public), "--to", str(place / "wary"))
    # What is content-addressed Nix took all the same: why a stick is checked before Nix sees it.
    taken = {path for path, info in sticks.nix(place / "wary").path_info(paths).items() if info is not None}
    assert taken == {each.path for each in found.brings if each.ca is not None}
    sticks.nix().copy(
        sizes,
        *source,
        str(written.secret.public),
        "--to",
        str(place / "store"),
        progress=lambda done, all_of_it: told.append((done, all_of_it)),
    )
    known = sticks.nix(place / "store").closure(written.system)
    assert known.keys() == set(paths)
    arrived(found.manifest, known)
    system = place / "store" / written.system.lstrip("/")
    assert json.loads((system / "nixel" / "system.json").read_bytes()) == written.identity.as_json()
    assert told == sorted(told)
    assert told[-1] == (sum(sizes.values()),) * 2


def test_a_read_only_stick_will_do(nix, written, place):
    mounted = place / "mounted"
    mounted.mkdir()
    read_only = f"mount --bind {written.folder} {mounted} && mount -o remount,bind,ro {mounted} && ! touch {mounted}/x"
    script = f"{read_only} && exec {sys.executable} -c '{VERIFY}' {mounted} '{written.secret.public}'"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if "unshare failed" in done.stderr:
        pytest.skip("mounts: only root may make one")
    assert (done.returncode, done.stdout) == (0, f"{written.system}\n"), done.stderr
    copy = f"nix copy --from file://{mounted}/cache --to {place}/store {' '.join(CHECKED)} '{written.secret.public}'"
    nix.run("sh", "-c", f"{read_only} && {copy} {written.system}")
    assert sticks.nix(place / "store").closure(written.system)


def test_a_stick_may_be_called_anything(nix, written, place):
    folder = place / "My stick? #1 50% ä+b"
    shutil.copytree(written.folder, folder)
    found = check(sticks.Stick(folder, written.system, written.identity, written.secret))
    sizes = {each.path: each.nar_size for each in found.brings}
    sticks.nix().copy(
        sizes, "--from", found.cache, "--to", str(place / "store"), *CHECKED, str(written.secret.public)
    )
    arrived(found.manifest, sticks.nix(place / "store").closure(written.system))
    assert {each.name for each in place.iterdir()} == {folder.name, "store"}


VERIFY = """
import sys
from pathlib import Path
from nixel.update import keys
from nixel.update.stick import verify
print(verify(Path(sys.argv[1]), "alpha", [keys.parse_public(sys.argv[2])]).manifest.system)
"""


def test_archives_are_nixs(nix, place):
    """Whatever a tree holds; and what Nix hashes to is what we hash to."""
    tree = place / "tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "nothing").touch()
    (tree / "ä ö").write_text("ü")
    (tree / "a").mkdir()
    (tree / "a.b").write_bytes(b"sorted before a/")
    (tree / "a" / "deep").write_bytes(bytes(range(256)) * 3000)
    (tree / "program").write_bytes(b"#!/bin/sh\n")
    (tree / "program").chmod(0o755)
    (tree / "half").write_bytes(b"12345678")
    (tree / "half").chmod(0o611)
    (tree / "link").symlink_to("../../nowhere at all")
    for name in range(9):
        (tree / f"size-{name}").write_bytes(b"x" * name)
    for each in (tree, *tree.iterdir()):
        digest = sticks.hashlib.sha256(b"".join(archive(each))).digest()
        said = nix.run("nix", "hash", "path", "--base32", each).strip()
        assert hashes.base32(digest) == said, each


# --- leaving out what a machine has ---


@pytest.fixture
def update(written, place):
    """A stick that leaves out what the first system brought, and that system's store path."""
    newer = sticks.identity(version="2.0", date=sticks.DATE + 10)
    system = sticks.build(newer)
    result = sticks.write_stick(place / "stick", [system], written.secret, since=written.system)
    assert result.copied == (system,)
    return sticks.Stick(place / "stick", system, newer, written.secret)


def machine(written, place):
    """The store of a machine that has the first system."""
    store = place / "machine"
    nix_tools.run("nix", "copy", "--no-check-sigs", "--to", store, written.system)
    return sticks.nix(store)


def test_what_a_machine_has_is_left_out(written, update, place):
    on_machine = machine(written, place)
    found = check(update, known=on_machine.path_info)
    left_out = {each.path for each in found.manifest.paths if each.present}
    assert left_out == set(on_machine.closure(written.system)) - {written.system}
    assert [each.path for each in found.brings] == [update.system]
    assert found.manifest.since == written.system
    assert len(sticks.nars(update.folder)) == 1
    options = ("--from", found.cache, "--to", str(place / "machine"), *CHECKED, str(written.secret.public))
    sticks.nix().copy({update.system: 1}, *options)
    assert on_machine.closure(update.system).keys() == {each.path for each in found.manifest.paths}


def test_a_machine_that_lacks_what_is_left_out(update, place):
    (place / "empty").mkdir()
    with pytest.raises(Refusal, match=r"leaves out what .* consists of, and this machine lacks .*"):
        check(update, known=sticks.nix(place / "empty").path_info)


def test_a_machine_that_has_another_path_of_that_name(written, update, place):
    def known(paths):
        found = machine(written, place).path_info(paths)
        first = min(found)
        return {**found, first: replace(found[first], nar_hash=hashes.canonical(bytes(32)))}

    with pytest.raises(Refusal, match="this machine has another"):
        check(update, known=known)

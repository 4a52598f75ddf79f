"""Sticks written from a store: what Nix says of them, what they share, and how an interrupted writing goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nix_tools
import pytest
import sticks

from nixel.update import hashes, keys
from nixel.update.failure import Failure
from nixel.update.manifest.parse import narinfo_name
from nixel.update.refusal import Refusal
from nixel.update.stick import Source, hosts, layout, narinfo, verify
from nixel.update.stick.nar import archive

CHECKED = ("--option", "require-sigs", "true", "--option", "trusted-public-keys")


@pytest.fixture(scope="module")
def written(nix):
    """A good stick, and the machine's store that has none of it."""
    with sticks.shared_folder() as place:
        secret = sticks.make_key(place / "key")
        whose = sticks.identity()
        system = sticks.build(whose)
        result = sticks.write_stick(place / "stick", [system], secret)
        assert len(result.copied) == 4
        yield sticks.Stick(place / "stick", system, whose, secret)


@pytest.fixture
def place(nix):
    with sticks.shared_folder() as folder:
        yield folder


def check(stick, **more):
    return verify(stick.folder, stick.identity.host, stick.trusted, running=stick.identity, **more)


def nars(folder):
    return sorted((folder / "cache" / "nar").iterdir())


def narinfos(folder):
    return {each: narinfo.parse(each.read_bytes()) for each in sorted((folder / "cache").glob("*.narinfo"))}


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
        == (sum(each.stat().st_size for each in nars(written.folder)),) * 2
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
    ours = {each.name: found for each, found in narinfos(written.folder).items()}
    theirs = {each.name: found for each, found in narinfos_of_nix(place / "nixs").items()}
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


def narinfos_of_nix(cache):
    return {each: narinfo.parse(each.read_bytes()) for each in sorted(cache.glob("*.narinfo"))}


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
    assert sticks.nix(place / "store").closure(written.system).keys() == set(paths)
    machine = sticks.nix(place / "store").path_info(paths)
    assert {path: info.nar_hash for path, info in machine.items()} == {
        each.path: each.nar_hash for each in found.brings
    }
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
    assert len(nars(update.folder)) == 1
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


# --- several hosts, several writings ---


def test_ten_hosts_share_what_they_have_in_common(written, place):
    names = [f"scanner-{number}" for number in range(10)]
    systems = [sticks.build(sticks.identity(name)) for name in names]
    closures = [set(sticks.nix().closure(each)) for each in systems]
    together = set().union(*closures)
    assert sum(map(len, closures)) == 40
    assert len(together) == 22  # ten systems, ten programs, one library, one text
    result = sticks.write_stick(place / "stick", systems, written.secret)
    assert result.hosts == tuple(sorted(names))
    assert set(result.copied) == together
    assert len(nars(place / "stick")) == len(narinfos(place / "stick")) == 22
    assert result.size == sum(each.stat().st_size for each in nars(place / "stick"))
    assert hosts(place / "stick") == sorted(names)
    for name in names:
        verify(place / "stick", name, written.trusted, running=sticks.identity(name))


def files(folder):
    """Inode and time of each file below the cache: whether it was written again."""
    return {
        each: (each.stat().st_ino, each.stat().st_mtime_ns)
        for each in (folder / "cache").rglob("*")
        if each.is_file()
    }


def test_what_is_there_is_not_written_twice(written, place):
    first = sticks.write_stick(place / "stick", [written.system], written.secret)
    before = files(place / "stick")
    began = []
    again = sticks.write_stick(
        place / "stick",
        [written.system],
        written.secret,
        stage=lambda word: lambda *bytes_: began.append(bytes_),
    )
    assert files(place / "stick") == before
    assert (again.copied, again.shared, again.size) == ((), 4, first.size)
    assert all(total == 0 for _, total in began)
    # Another host joins, and brings only what is its own.
    beta = sticks.build(sticks.identity("beta"))
    joined = sticks.write_stick(place / "stick", [beta], written.secret)
    assert len(joined.copied) == joined.shared == 2
    assert before.items() <= files(place / "stick").items()
    assert hosts(place / "stick") == ["alpha", "beta"]
    for host in ("alpha", "beta"):
        verify(place / "stick", host, written.trusted, running=sticks.identity(host))


def test_what_no_host_needs_any_more_goes(written, place):
    old = sticks.build(sticks.identity(), series="old")
    beta = sticks.build(sticks.identity("beta"))
    sticks.write_stick(place / "stick", [old, beta], written.secret)
    own = place / "stick" / "cache" / "nar" / "holiday.jpg"
    own.touch()
    result = sticks.write_stick(place / "stick", [written.system], written.secret)
    assert result.removed == 2 * 4
    assert own.exists()
    kept = set(sticks.nix().closure(beta)) | set(sticks.nix().closure(written.system))
    assert {each.path for each in narinfos(place / "stick").values()} == kept
    assert len(nars(place / "stick")) == len(kept) + 1
    for host in ("alpha", "beta"):
        verify(place / "stick", host, written.trusted)


def test_two_paths_of_one_content_share_an_archive(nix, written, place):
    (place / "one").write_text("the same")
    shutil.copy(place / "one", place / "other")
    paths = [nix.run("nix", "store", "add", place / name).strip() for name in ("one", "other")]
    expression = f"""derivation {{
      name = "system-twin"; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/usr/bin:/bin";
      identity = ''{json.dumps(sticks.identity("twin").as_json())}'';
      needs = map builtins.storePath [ {" ".join(paths)} ];
      args = [ "-euc" "mkdir -p $out/nixel; echo $identity > $out/nixel/system.json; echo $needs > $out/needs" ];
    }}"""
    system = nix.run(
        "nix", "build", "--impure", "--no-link", "--print-out-paths", "--expr", expression
    ).strip()
    result = sticks.write_stick(place / "stick", [system], written.secret)
    assert set(result.copied) == {system, *paths}
    assert len(narinfos(place / "stick")) == 3
    assert len(nars(place / "stick")) == 2
    verify(place / "stick", "twin", written.trusted, running=sticks.identity("twin"))


WRITE = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
import sticks
from nixel.update import keys
sticks.write_stick(Path(sys.argv[1]), [sys.argv[2]], keys.read_secret(Path(sys.argv[3])))
"""


def writer(folder, system, key):
    tests = Path(__file__).parent
    arguments = [str(folder), system, str(key), str(tests), str(tests.parent / "nix")]
    return [sys.executable, "-c", WRITE, *arguments]


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_a_writing_that_was_cut_off_goes_on(written, place, attempt):
    system = sticks.build(sticks.identity("large"), series="large", size=4_000_000)
    process = subprocess.Popen(
        writer(place / "stick", system, written.folder.parent / "key"), start_new_session=True
    )
    nar = place / "stick" / "cache" / "nar"
    deadline = time.monotonic() + 60
    # In the middle of the library, which takes seconds: later at each attempt.
    while not any(each.stat().st_size > attempt * 500_000 for each in nar.glob("*.part")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    there = files(place / "stick")
    assert any(each.suffix == ".part" for each in there)
    with pytest.raises(Refusal):
        verify(place / "stick", "large", written.trusted)
    stored = narinfos(place / "stick")
    whole = {each.path for each in stored.values()}
    kept = {*stored, *(place / "stick" / "cache" / each.url for each in stored.values())}
    result = sticks.write_stick(place / "stick", [system], written.secret)
    assert set(result.copied) == set(sticks.nix().closure(system)) - whole
    assert (len(result.copied) + result.shared, result.shared) == (4, len(whole))
    after = files(place / "stick")
    assert {each: there[each] for each in kept}.items() <= after.items()
    assert not [each for each in after if each.suffix == ".part"]
    verify(place / "stick", "large", written.trusted, running=sticks.identity("large"))


def test_a_pulled_stick_that_holds_anything_is_mended(written, place):
    """Without a manifest, what is on the stick is read before it is relied on; with one, its size will do."""
    folder = place / "stick"
    sticks.write_stick(folder, [written.system], written.secret)
    contents = {each: each.read_bytes() for each in nars(folder)}
    first, second, third, _ = contents
    (folder / layout.signature("alpha")).unlink()
    first.write_bytes(bytes(len(contents[first])))
    second.write_bytes(contents[second][:-1])
    third.unlink()
    result = sticks.write_stick(folder, [written.system], written.secret)
    assert len(result.copied) == 3
    assert {each: each.read_bytes() for each in nars(folder)} == contents
    second.write_bytes(contents[second][:-1])
    (folder / narinfo_name(written.system)).write_bytes(b"")
    assert len(sticks.write_stick(folder, [written.system], written.secret).copied) == 2
    verify(folder, "alpha", written.trusted, running=written.identity)


def test_a_stick_that_loses_what_is_written_is_noticed(written, place, monkeypatch):
    real = os.fsync

    def losing(handle):
        real(handle)
        name = os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115
        if name.endswith(".part"):
            os.truncate(name, 1)

    monkeypatch.setattr(os, "fsync", losing)
    with pytest.raises(Failure, match="take another stick"):
        sticks.write_stick(place / "stick", [written.system], written.secret)
    with pytest.raises(Refusal):
        verify(place / "stick", "alpha", written.trusted)


def test_a_full_stick_says_so_and_keeps_what_is_whole(written, place):
    system = sticks.build(sticks.identity("large"), series="large", size=15_000_000)
    command = " ".join(
        f"'{each}'" for each in writer(place / "stick" / "x", system, written.folder.parent / "key")
    )
    script = f"""mkdir {place}/stick && mount -t tmpfs -o size=2m tmpfs {place}/stick || exit 77
      {command}
      echo "status $?"
      find {place}/stick/x -name '*.part' -o -name '*.json'"""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("mounts: only root may make one")
    assert "Failure: The stick could not be written" in done.stderr
    assert "No space left on device" in done.stderr
    assert done.stdout == "status 1\n"


# --- what is refused or fails ---


def test_a_stick_of_another_key_is_not_mixed(written, place):
    sticks.write_stick(place / "stick", [written.system], written.secret)
    other = sticks.make_key(place / "other", "nixel-other-1")
    before = sticks.state(place / "stick")
    with pytest.raises(Refusal, match="holds systems for alpha that the key nixel-other-1 did not sign"):
        sticks.write_stick(place / "stick", [sticks.build(sticks.identity("beta"))], other)
    assert sticks.state(place / "stick") == before
    # Who writes the same host anew replaces it, signatures of its paths and all.
    assert len(sticks.write_stick(place / "stick", [written.system], other).copied) == 4
    verify(place / "stick", "alpha", [other.public], running=written.identity)


def test_a_stick_whose_folders_lead_elsewhere_is_not_written(written, place):
    (place / "elsewhere").mkdir()
    for name in ("cache", "hosts"):
        (place / "stick").mkdir(exist_ok=True)
        (place / "stick" / name).symlink_to("../elsewhere")
        with pytest.raises(Refusal, match="stands a link"):
            sticks.write_stick(place / "stick", [written.system], written.secret)
        (place / "stick" / name).unlink()
    assert not list((place / "elsewhere").iterdir())


def test_a_host_whose_shared_paths_had_to_be_written_anew_is_named(written, place, monkeypatch):
    """The same bytes come out unless the compressor is another one; then other hosts' manifests pin what is gone."""
    folder = place / "stick"
    beta = sticks.build(sticks.identity("beta"))
    sticks.write_stick(folder, [written.system, beta], written.secret)
    (library,) = [each for each, found in narinfos(folder).items() if "library" in found.path]
    library.unlink()
    assert sticks.write_stick(folder, [beta], written.secret).stale == ()
    verify(folder, "alpha", written.trusted)
    library.unlink()
    from nixel.update.stick import cache

    real = cache.lzma.LZMACompressor
    monkeypatch.setattr(cache.lzma, "LZMACompressor", lambda: real(check=cache.lzma.CHECK_CRC32))
    assert sticks.write_stick(folder, [beta], written.secret).stale == ("alpha",)
    verify(folder, "beta", written.trusted)
    with pytest.raises(Refusal):
        verify(folder, "alpha", written.trusted)


def test_two_do_not_write_at_once(written, place):
    told = []

    def stage(_):
        with pytest.raises(Refusal, match="being written by somebody else"):
            sticks.write_stick(place / "stick", [written.system], written.secret)
        told.append(True)
        return lambda *_: None

    sticks.write_stick(place / "stick", [written.system], written.secret, stage=stage)
    assert told


def test_a_damaged_store_is_found_before_a_machine_finds_it(nix, written, place):
    store = place / "store"
    nix.run("nix", "copy", "--no-check-sigs", "--to", store, written.system)
    damaged = next((store / "nix" / "store").glob("*-library-*")) / "lib" / "settings"
    damaged.chmod(0o644)
    damaged.write_text(damaged.read_text().replace("/nix", "/nyx"))
    with pytest.raises(Failure, match=r"library-shared in this machine's store is damaged.*nix store repair"):
        sticks.write_stick(place / "stick", [written.system], written.secret, store=store)
    with pytest.raises(Refusal):
        verify(place / "stick", "alpha", written.trusted)
    assert not list((place / "stick").rglob("*.part"))


def test_two_systems_for_one_host_and_none_at_all(written, place):
    for systems, says in ((["x"] * 0, "No system"), ([written.system] * 2, "both for alpha")):
        with pytest.raises(Refusal, match=says):
            sticks.write_stick(place / "stick", systems, written.secret)
    plain = sticks.nix().closure(written.system).keys() - {written.system}
    with pytest.raises(Refusal, match=r"nixel\.update\.enable"):
        sticks.write_stick(place / "stick", [min(plain)], written.secret)
    with pytest.raises(Failure, match="could not be written"):
        sticks.write_stick(place / "missing" / "stick", [written.system], written.secret)
    assert not (place / "stick").exists()


def test_a_system_that_the_store_lacks(nix, written, place):
    store = place / "store"
    nix.run("nix", "copy", "--no-check-sigs", "--to", store, written.system)
    lacking = Source(sticks.nix(place / "empty"), store, lambda _: {})
    (place / "empty").mkdir()
    with pytest.raises(Failure):
        sticks.write(place / "stick", [written.system], written.secret, lacking, sticks.ABOUT)


def test_progress_of_a_writing_ends_at_all_of_it(written, place):
    told = {}
    sticks.write_stick(
        place / "stick",
        [written.system],
        written.secret,
        stage=lambda word: lambda *at: told.setdefault(word, []).append(at),
    )
    total = sum(each.nar_size for each in sticks.nix().closure(written.system).values())
    assert told["Writing"][0] == (0, total)
    assert told["Writing"][-1] == (total, total)
    read = sum(each.stat().st_size for each in nars(place / "stick"))
    assert told["Reading back"][-1] == (read, read)
    for each in told.values():
        assert each == sorted(each)

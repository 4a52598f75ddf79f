"""Sticks written again and again: what hosts share, how an interrupted writing goes on, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sticks

from nixel.update.failure import Failure
from nixel.update.manifest.parse import narinfo_name
from nixel.update.refusal import Refusal
from nixel.update.stick import Source, hosts, layout, verify


@pytest.fixture(scope="module")
def written(nix):
    """A good stick."""
    with sticks.good_stick() as stick:
        yield stick


@pytest.fixture
def place(nix):
    with sticks.shared_folder() as folder:
        yield folder


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
    assert len(sticks.nars(place / "stick")) == len(sticks.narinfos(place / "stick" / "cache")) == 22
    assert result.size == sum(each.stat().st_size for each in sticks.nars(place / "stick"))
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
    assert {each.path for each in sticks.narinfos(place / "stick" / "cache").values()} == kept
    assert len(sticks.nars(place / "stick")) == len(kept) + 1
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
    assert len(sticks.narinfos(place / "stick" / "cache")) == 3
    assert len(sticks.nars(place / "stick")) == 2
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
    stored = sticks.narinfos(place / "stick" / "cache")
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
    contents = {each: each.read_bytes() for each in sticks.nars(folder)}
    first, second, third, _ = contents
    (folder / layout.signature("alpha")).unlink()
    first.write_bytes(bytes(len(contents[first])))
    second.write_bytes(contents[second][:-1])
    third.unlink()
    result = sticks.write_stick(folder, [written.system], written.secret)
    assert len(result.copied) == 3
    assert {each: each.read_bytes() for each in sticks.nars(folder)} == contents
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
    (library,) = [
        each for each, found in sticks.narinfos(folder / "cache").items() if "library" in found.path
    ]
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
    read = sum(each.stat().st_size for each in sticks.nars(place / "stick"))
    assert told["Reading back"][-1] == (read, read)
    for each in told.values():
        assert each == sorted(each)

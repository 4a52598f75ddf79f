"""The parts of a stick without Nix: its folder, narinfos, archives, hashes, what Nix prints, and times in words."""

import base64
import contextlib
import hashlib
import json
import os
import socket
import threading
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifests import LIBRARY, PROGRAM, SECRET, TEXT_CA, entry, file, json_values

from nixel.update import hashes, keys, progress
from nixel.update.failure import Failure
from nixel.update.manifest import File
from nixel.update.nix import Copied, Nix, failure, infos
from nixel.update.refusal import Refusal
from nixel.update.stick import Folder, narinfo
from nixel.update.stick.nar import archive

EMPTY_BASE32 = (
    "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"  # of no bytes at all, as all of nixpkgs knows it
)
# Of the archive of an empty folder, likewise.
EMPTY_FOLDER = "sha256-pQpattmS9VmO3ZIQUFn66az8GSmB4IvYhTTCFn6SUmo="


# --- hashes ---


def test_base_32_is_nixs():
    digest = hashlib.sha256().digest()
    assert hashes.canonical(digest) == f"sha256:{EMPTY_BASE32}"
    for text in (
        f"sha256:{EMPTY_BASE32}",
        f"sha256:{digest.hex()}",
        f"sha256:{base64.b64encode(digest).decode()}",
        f"sha256-{base64.b64encode(digest).decode()}",
    ):
        assert hashes.parse(text) == digest


@given(st.binary(min_size=32, max_size=32))
def test_every_hash_comes_back(digest):
    assert hashes.parse(hashes.canonical(digest)) == digest


@given(st.text(max_size=80) | st.text(hashes.DIGITS, min_size=52, max_size=52).map("sha256:".__add__))
def test_what_is_no_hash_is_a_value_error(text):
    try:
        digest = hashes.parse(text)
    except ValueError:
        return
    assert len(digest) == 32


# --- archives ---


def packed(place):
    return b"".join(archive(place))


def test_the_archive_of_an_empty_folder_is_the_one_that_everybody_knows(tmp_path):
    assert hashlib.sha256(packed(tmp_path)).digest() == hashes.parse(EMPTY_FOLDER)


def test_an_archive_of_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="neither file, link nor folder"):
        packed(tmp_path)


# --- narinfos ---


def rendered(one):
    return narinfo.render(one, one.nar, keys.sign(SECRET, one.fingerprint))


@pytest.mark.parametrize(
    "one", [entry(LIBRARY), entry(LIBRARY, LIBRARY, PROGRAM), entry(LIBRARY, ca=TEXT_CA)]
)
def test_a_narinfo_says_what_the_manifest_says(one):
    found = narinfo.parse(rendered(one))
    assert narinfo.differences(found, one, one.nar) == []
    assert keys.signed_by([SECRET.public], found.signatures, one.fingerprint) == "maker-1"


@pytest.mark.parametrize(
    ("line", "other", "key"),
    [
        ("StorePath: /nix/store/", "StorePath: /nix/stor3/", "StorePath"),
        ("URL: nar/", "URL: ../nar/", "URL"),
        ("FileSize: ", "FileSize: 1", "FileSize"),
        ("NarSize: ", "NarSize: 1", "NarSize"),
        (f"NarHash: {entry(LIBRARY).nar_hash}", f"NarHash: {entry(PROGRAM).nar_hash}", "NarHash"),
        ("References: ", "References: x-y ", "References"),
        ("Sig: ", f"CA: {TEXT_CA}\nSig: ", "CA"),
    ],
)
def test_each_difference_is_named(line, other, key):
    one = entry(LIBRARY)
    spoilt = rendered(one).replace(line.encode(), other.encode(), 1)
    assert narinfo.differences(narinfo.parse(spoilt), one, one.nar) == [key]


@given(st.binary(max_size=300) | st.data())
def test_what_is_no_narinfo_is_a_value_error(content):
    if not isinstance(content, bytes):
        whole = rendered(entry(LIBRARY))
        at = content.draw(st.integers(0, len(whole)))
        content = (
            whole[:at]
            + content.draw(st.binary(max_size=20))
            + whole[content.draw(st.integers(at, len(whole))) :]
        )
    with contextlib.suppress(ValueError):
        narinfo.parse(content)


@pytest.mark.parametrize(
    "more",
    [
        "URL: nar/x\n",
        "StorePath: /nix/store/x\n",
        "CA: a\nCA: b\n",
        "Unknown: 1\n",
        "\n",
        "x",
        "NarSize: 1\n",
    ],
)
def test_a_narinfo_says_each_thing_once(more):
    with pytest.raises(ValueError, match=r"."):
        narinfo.parse(rendered(entry(LIBRARY)) + more.encode())


# --- the folder ---


@pytest.fixture
def stick(tmp_path):
    (tmp_path / "stick" / "cache" / "nar").mkdir(parents=True)
    (tmp_path / "stick" / "cache" / "file").write_bytes(b"content")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"content")
    with Folder(tmp_path / "stick") as folder:
        yield folder


CONTENT = file("cache/file", b"content")


def refused(stick, pinned, says):
    began = time.monotonic()
    with pytest.raises(Refusal, match=says):
        stick.check(pinned)
    with pytest.raises(Refusal, match=says):
        stick.read(pinned.name, 100)
    assert time.monotonic() - began < 1


def test_reads_what_is_there(stick):
    stick.check(CONTENT)
    assert stick.read("cache/file", 7) == b"content"
    assert stick.names("cache") == ["file", "nar"]
    assert stick.names("hosts") == []


def test_a_file_that_is_a_link_is_not_read(stick):
    place = stick.path / "cache" / "link"
    for target in ("file", "../../outside/file", "/dev/zero", "/etc/passwd"):
        place.unlink(missing_ok=True)
        place.symlink_to(target)
        refused(stick, file("cache/link", b"content"), "is a link")


def test_a_folder_that_is_a_link_is_not_entered(stick):
    (stick.path / "cache" / "other").symlink_to("../../outside")
    refused(stick, file("cache/other/file", b"content"), "stands a link")
    (stick.path / "hosts").symlink_to("../outside")
    with pytest.raises(Refusal, match="stands a link"):
        stick.names("hosts")


def test_a_pipe_a_socket_and_a_folder_are_not_read(stick):
    os.mkfifo(stick.path / "cache" / "pipe")
    refused(stick, file("cache/pipe", b"content"), "is a pipe")
    refused(stick, file("cache/nar", b"content"), "is a folder")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(stick.path / "cache" / "socket"))
        refused(stick, file("cache/socket", b"content"), "is a socket")
    refused(stick, file("cache/file/below", b"content"), "stands a link or a file")
    refused(stick, file("cache/missing", b"content"), "is missing")
    refused(stick, file("missing/file", b"content"), "is missing")


def test_a_device_is_not_read(stick):
    try:
        os.mknod(stick.path / "cache" / "device", 0o20600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("devices: only root may make one")
    refused(stick, file("cache/device", b"content"), "is a device")


def test_size_and_content_are_checked(stick):
    for other, says in (
        (b"contenT", "SHA-256"),
        (b"conten", "6 bytes"),
        (b"contents", "8 bytes"),
        (b"", "0 bytes"),
    ):
        (stick.path / "cache" / "file").write_bytes(other)
        with pytest.raises(Refusal, match=says):
            stick.check(CONTENT)


def test_a_huge_file_is_refused_by_its_size(stick):
    with (stick.path / "cache" / "huge").open("wb") as stream:
        stream.truncate(1 << 40)
    refused(stick, file("cache/huge", b"content"), "1099511627776")


def test_a_large_file_is_read_in_pieces(stick):
    size = 100 << 20
    digest = hashlib.sha256()
    for _ in range(100):
        digest.update(bytes(1 << 20))
    with (stick.path / "cache" / "large").open("wb") as stream:
        stream.truncate(size)
    told = []
    tracemalloc.start()
    try:
        stick.check(File("cache/large", digest.hexdigest(), size), told.append)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(told) == size
    assert most < 8 << 20


def test_a_file_that_grows_while_it_is_read_is_refused(stick):
    place = stick.path / "cache" / "file"
    place.write_bytes(bytes(3 << 20))
    pinned = file("cache/file", bytes(3 << 20))
    grown = threading.Event()

    def moved(_):
        if not grown.is_set():
            with place.open("ab") as stream:
                stream.write(b"x" * 100)
            grown.set()

    with pytest.raises(Refusal, match="SHA-256"):
        stick.check(pinned, moved)
    assert grown.is_set()


def test_what_is_no_folder_is_no_stick(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(Refusal, match="cannot be opened as a folder"):
            Folder(place)


# --- Nix ---

PATH, NEED = "/nix/store/" + "0" * 32 + "-a", "/nix/store/" + "1" * 32 + "-b"
DIGEST = hashlib.sha256(b"x").digest()
SRI = f"sha256-{base64.b64encode(DIGEST).decode()}"
KNOWN = {"narSize": 7, "signatures": ["k:AA=="]}


@pytest.mark.parametrize(
    "found",
    [
        [{"path": PATH, "narHash": hashes.canonical(DIGEST), "references": [NEED], **KNOWN}],
        {PATH: {"narHash": SRI, "references": [NEED], "ca": None, **KNOWN}},
        {
            "version": 2,
            "storeDir": "/nix/store",
            "info": {PATH[11:]: {"narHash": SRI, "references": [NEED[11:]], "ca": None, **KNOWN}},
        },
        {
            "version": 3,
            "info": {
                PATH[11:]: {
                    "narHash": {"algorithm": "sha256", "format": "base16", "hash": DIGEST.hex()},
                    "references": [NEED[11:]],
                    "narSize": 7,
                    "signatures": [{"keyName": "k", "sig": "AA=="}],
                }
            },
        },
    ],
    ids=["2.18", "2.26", "base names", "structured"],
)
def test_reads_every_form_in_which_nix_tells_of_paths(found):
    (info,) = infos(found).values()
    assert (info.path, info.nar_hash, info.nar_size) == (PATH, hashes.canonical(DIGEST), 7)
    assert (info.references, info.ca, info.signatures) == ((NEED,), None, ("k:AA==",))


def test_reads_content_addresses_and_paths_that_are_not_there():
    found = {
        PATH: {"narHash": SRI, "references": [], "ca": {"method": "nar", "hash": SRI}, **KNOWN},
        NEED: None,
    }
    assert infos(found)[PATH].ca == f"fixed:r:{hashes.canonical(DIGEST)}"
    assert infos(found)[NEED] is None
    assert infos([{"path": NEED, "valid": False}]) == {NEED: None}


@given(json_values)
def test_an_unknown_answer_of_nix_is_a_failure(found):
    class Answering(Nix):
        def run(self, *_, **__):
            return json.dumps(found)

    try:
        answer = Answering().path_info([PATH])
    except Failure:
        return
    assert PATH in answer


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("error: writing to file: No space left on device", "disk is full"),
        ("error: cannot add path '/nix/store/x' because it lacks a signature by a trusted key", "not signed"),
        ("error: read of 65536 bytes: Input/output error", "cannot be read"),
        ("\x1b[31;1merror:\x1b[0m something new", "copy failed with status 1"),
    ],
)
def test_says_in_words_why_nix_failed(said, what):
    found = failure(["copy"], 1, f"copying 1 paths...\n{said}")
    assert what in found.what
    assert "\x1b" not in str(found)
    assert found.said.startswith("error:")


def test_follows_nixs_log_of_a_copy():
    copied = Copied({PATH: 120, NEED: 70, NEED + "2": 5})
    lines = [
        {"action": "start", "id": 1, "type": 103, "text": "copying 2 paths"},
        {"action": "result", "id": 1, "type": 106, "fields": [100, 195]},
        {"action": "result", "id": 1, "type": 106, "fields": [101, 7]},
        {"action": "result", "id": 1, "type": 105, "fields": [1, 2, 1, 0]},
        {"action": "start", "id": 2, "type": 100, "fields": [PATH]},
        {"action": "result", "id": 2, "type": 105, "fields": [100, 120, 0, 0]},
        {"action": "result", "id": 2, "type": 105, "fields": [120, 120, 0, 0]},
        {"action": "stop", "id": 2},
        {"action": "start", "id": 3, "type": 100, "fields": [NEED]},
        {"action": "result", "id": 3, "type": 105, "fields": [7, 70, 0, 0]},
        {"action": "start", "id": 4, "type": 100, "fields": [NEED + "2"]},
        {"action": "stop", "id": 4},
        {"action": "msg", "level": 0, "msg": "error: pulled"},
        {"action": "msg", "level": 4, "msg": "copying path"},
        {"action": "result", "id": 3, "type": 105, "fields": []},
        [],
    ]
    for each in lines:
        copied.take(f"@nix {json.dumps(each)}\n")
    copied.take("warning: in plain words\n")
    copied.take("@nix {torn\n")
    assert (copied.done, copied.total) == (120 + 7 + 5, 195)
    assert "error: pulled" in copied.said
    assert "copying path" not in copied.said


def test_says_so_without_nix(tmp_path):
    missing = Nix((str(tmp_path / "nix"),))
    for attempt in (lambda: missing.path_info([PATH]), lambda: missing.copy({PATH: 1}, "--to", "/x")):
        with pytest.raises(Failure, match="Install Nix"):
            attempt()


def test_what_takes_too_long_is_ended(tmp_path):
    slow = tmp_path / "nix"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    with pytest.raises(Failure, match=r"path-info did not end within 0\.2 s"):
        Nix((str(slow),)).run("path-info", within=0.2)


# --- progress ---


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (99_900, "99.9 kB"),
        (123_456, "123 kB"),
        (999_999, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes_in_words(count, words):
    assert progress.size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (40.4, "40 s"), (61, "1 min"), (200, "3 min"), (4800, "1 h 20 min")]
)
def test_times_in_words(seconds, words):
    assert progress.time(seconds) == words


def test_the_time_left_follows_from_the_speed():
    left = progress.TimeLeft(0.0)
    assert left.left(500, 1000, 10.0) is None  # what was there before says nothing
    assert left.left(500, 1000, 20.0) is None
    assert left.left(600, 1000, 20.0) == pytest.approx(40.0)
    assert left.left(1000, 1000, 60.0) == 0.0
    assert progress.line("Writing", 250, 1000, 40.0) == "Writing: 25 % of 1.0 kB, 40 s left"
    assert progress.line("Writing", 0, 0, None) == "Writing: 100 % of 0 bytes"


def test_files_are_told_apart_by_all_they_are():
    assert len({CONTENT, File("cache/file", CONTENT.sha256, 7), File("x", CONTENT.sha256, 7)}) == 2

"""The support bundle: what it takes, and above all what it never takes."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nixel.update.support.bundle import collect, pack
from nixel.update.support.cli import main
from nixel.update.support.machine import NotTakenError, ThisMachine
from nixel.update.support.redaction import redact
from nixel.update.support.sources import KIB, sources

PSK = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
YESCRYPT = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$" + "X" * 43
BODY = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"
STAMP = "2026-05-01T09:00:00+0200 scanner sshd[7]: "
PRIVATE_KEY = "\n".join(
    STAMP + line
    for line in (
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        BODY,
        "QyNTUxOQAAACBbZ",
        "-----END OPENSSH PRIVATE KEY-----",
    )
)

# A line of a log, and what of it must not be shown.
PLANTED = [
    (f"iwd[1]: PreSharedKey={PSK}", PSK),
    (f"wpa_supplicant: key {PSK} installed", PSK),
    ("wpa_supplicant: psk=hunter2hunter2", "hunter2"),
    ('nm: {"ssid": "Clinic", "psk": "hunter2 hunter2"}', "hunter2"),
    ('app: {"msg": "{\\"password\\": \\"hunter2 hunter2\\"}"}', "hunter2"),
    ("wpa: passphrase: my hunter2 is long", "hunter2"),
    ("passphrase = 'my hunter2'", "hunter2"),
    ("WIFI_PASSWORD=hunter2 USER=anna", "hunter2"),
    ("hashedPassword: hunter2", "hunter2"),
    ("api-key: hunter2hunter2", "hunter2"),
    ("sudo: technician : COMMAND=/bin/tool --password hunter2 --verbose", "hunter2"),
    (f"passwd: operator:{YESCRYPT}:19000", "XXXX"),
    ("shadow: operator:$6$salt$" + "Z" * 86 + ":1:", "ZZZZ"),
    ("shadow: $2b$12$" + "q" * 53, "qqqq"),
    ("GET /x Authorization: Bearer hunter2.hunter2", "hunter2"),
    ("GET /x authorization: Basic aHVudGVyMjpodW50ZXIy", "aHVudGVy"),
    ("cookie: session=hunter2; path=/", "hunter2"),
    ("fetch https://anna:hunter2@cache.clinic/nar", "hunter2"),
    ("jwt eyJhbGciOiJIUzI1NiJ9.aHVudGVyMg.c2lnbmF0dXJl end", "aHVudGVyMg"),
    ("token ghp_hunter2hunter2hunter2hunter2", "hunter2"),
    ("cache-1:" + "aB3+" * 22 + "==", "aB3+aB3+"),
    (PRIVATE_KEY, "b3Blbn"),
    (PRIVATE_KEY, "QyNTUxOQ"),
]
PLAIN = [
    STAMP + "Accepted publickey for technician from 10.0.0.9: ED25519 SHA256:" + "aB3" * 14 + "d",
    STAMP + "Failed password for operator from 10.0.0.9 port 22",
    "systemd[1]: Started /nix/store/0123456789abcdfghijklmnpqrsvwxyz-nixel-imaging-0.1.0/bin/nixel.",
    "kernel: usb 1-1: Product: FT232R, idVendor=0403, idProduct=6001",
    "nixel-safety[9]: FAULT temperature 81.2 degC above 80 degC; reset after 2 interlocks are healthy",
    "",
]


@pytest.mark.parametrize(("line", "secret"), PLANTED)
def test_secrets_are_taken_out_and_the_rest_stays(line, secret):
    told, counts = redact(f"before\n{line}\nafter\n")
    assert secret not in told
    assert "removed]" in told
    assert sum(counts.values()) >= 1
    assert told.startswith("before\n")
    assert told.endswith("\nafter\n")


def test_what_is_no_secret_stays_as_it_is():
    text = "\n".join(PLAIN)
    assert redact(text) == (text, {})


def test_a_line_of_json_stays_one():
    line = json.dumps(
        {"kind": "trip", "text": "door, password=hunter2", "token": "abc", "why": ["psk=my words"]}
    )
    redacted = json.loads(redact(line)[0])
    assert redacted["kind"] == "trip"
    assert "hunter2" not in str(redacted)
    assert "abc" not in str(redacted)
    assert "words" not in str(redacted)


def test_names_beside_a_secret_stay():
    assert redact("WIFI_PASSWORD=hunter2 USER=anna")[0] == "WIFI_PASSWORD=[secret removed] USER=anna"
    assert "--verbose" in redact("tool --password hunter2 --verbose")[0]
    assert "path=/" in redact("cookie: session=hunter2; path=/")[0]


def test_a_key_that_an_excerpt_cuts():
    lines = PRIVATE_KEY.split("\n")
    begun = redact("\n".join(lines[:-2]))[0]
    assert "b3Blbn" not in begun
    rest = redact("\n".join(["quiet line", *lines[1:], "after"]))[0]
    assert "b3Blbn" not in rest
    assert rest.startswith("quiet line\n")
    assert rest.endswith("\nafter")


def test_a_key_in_one_line_and_another_after_it():
    line = "a -----BEGIN PRIVATE KEY-----\\nhunter2\\n-----END PRIVATE KEY----- b"
    told, counts = redact(f"{line} {line}")
    assert told == "a [private key removed] b a [private key removed] b"
    assert counts == {"private key": 2}


@given(st.text(st.characters(codec="utf-8")), st.sampled_from(PLANTED), st.text(st.characters(codec="utf-8")))
def test_a_secret_is_taken_out_whatever_stands_around_it(before, planted, after):
    line, _ = planted
    told, _ = redact(f"{before.replace('-----', '')}\n{line}\n{after.replace('-----', '')}")
    for each in (PSK, "hunter2hunter2", "XXXX", BODY):
        if each in line and each not in before + after:
            assert each not in told


def test_redaction_takes_time_in_proportion():
    text = ("x" * 100_000 + " password" * 2000 + "\n") * 10 + "a." * 200_000
    began = time.perf_counter()
    redact(text)
    assert time.perf_counter() - began < 5


# --- a machine ---

TOOLS = os.environ["PATH"]
JOURNAL = "\n".join([*PLAIN, *(line for line, _ in PLANTED), "last line"]) + "\n"
PICTURE = b"\x89PNG\r\n\x1a\n" + b"patient" * 20


class Scanner:
    """A root folder with everything that a bundle may look at, and much that it must not; and the commands it runs."""

    def __init__(self, folder) -> None:
        self.root = folder / "root"
        self.programs = folder / "programs"
        self.programs.mkdir(parents=True)
        old, new = (f"/nix/store/{letter * 32}-nixos-system-scanner-26.05" for letter in "ab")
        for path, content in {
            "etc/NIXOS": "",
            "proc/cpuinfo": "model name : Some CPU\n",
            "proc/meminfo": "MemTotal: 1 kB\n",
            "proc/version": "Linux version 6.12\n",
            "proc/device-tree/model": "Raspberry Pi 4\0",
            "sys/block/nvme0n1/size": "1000\n",
            "sys/block/nvme0n1/device/model": "Fast SSD\n",
            "sys/block/loop0/size": "1\n",
            "var/lib/nixel-safety/events.jsonl": '{"kind": "trip", "text": "door"}\nno event\n{"other": 1}\n',
            "var/lib/nixel-imaging/nixel.db": "SQLite patient",
            "var/lib/nixel-imaging/datasets/1/data.mdf": "patient",
            "var/lib/nixel-imaging/pictures/1.json": '{"kind": "patient"}',
            "var/lib/nixel-provision/passwords/operator": YESCRYPT,
            "var/lib/iwd/Clinic.psk": f"[Security]\nPreSharedKey={PSK}\n",
            "etc/shadow": f"operator:{YESCRYPT}:::",
            f"{old}/nixos-version": "26.05.1",
            f"{new}/nixos-version": "26.05.2",
        }.items():
            file = self.root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        (self.root / "var/lib/nixel-imaging/pictures/1.png").write_bytes(PICTURE)
        (self.root / "run").mkdir()
        (self.root / "run/current-system").symlink_to(new)
        (self.root / "run/booted-system").symlink_to(old)
        (self.root / "nix/var/nix/profiles").mkdir(parents=True)
        (self.root / "nix/var/nix/profiles/system-2-link").symlink_to(new)
        (self.root / "nix/var/nix/profiles/system").symlink_to("system-2-link")
        (folder / "journal").write_text(JOURNAL)
        self.program("journalctl", f"cat {folder}/journal")
        self.program("systemctl", "echo nixel-imaging.service loaded failed failed")
        self.program("df", "echo /dev/nvme0n1 50%")
        self.program("lspci", "echo 01:00.0 VGA NVIDIA")
        self.program("lsusb", "echo FT232R")
        self.program("nixel-safety", 'test "$2" = --verify || exit 9; echo "$4 is NOT whole"; exit 1')
        trips = self.root / "var/lib/nixel-safety/recordings"
        trips.mkdir(parents=True)
        for number in (8, 9, 10, 11):
            header = json.dumps(
                {"format": "nixel black box 1", "message": f"trip {number}, password=hunter2"}
            )
            (trips / f"trip-{number:06}-20260501T070000Z.csv").write_text(f"{header}\nt,analog:0\n-1,25.5\n")
        (trips / "trip-000012-20260501T070000Z.csv.new").write_text("half of one")
        (trips / "patient.csv").write_text("patient")
        store = "/nix/store/" + "c" * 32
        self.program(
            "nix-store",
            f"case $3 in *aaaa*) version=1;; *) version=2;; esac\n"
            f"echo {store}-nixel-0.$version.0; echo {store}-glibc-2.40",
        )

    def program(self, name, text):
        path = self.programs / name
        path.write_text(f"#!/bin/sh\nPATH='{TOOLS}'\n{text}\n")
        path.chmod(0o755)


@pytest.fixture
def scanner(tmp_path, monkeypatch):
    made = Scanner(tmp_path)
    # No program of the machine that the tests run on stands in for one that is not there.
    monkeypatch.setenv("PATH", str(made.programs))
    return made


def unpacked(path):
    with tarfile.open(path) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive}


def bundle(scanner, tmp_path, name="out.tar.xz"):
    assert main(["bundle", "--out", str(tmp_path / name), "--root", str(scanner.root)]) == 0
    return {path.removeprefix("nixel-support/"): it for path, it in unpacked(tmp_path / name).items()}


def test_a_bundle_holds_what_a_helper_needs(scanner, tmp_path):
    files = bundle(scanner, tmp_path)
    manifest = json.loads(files["manifest.json"])
    assert manifest["not_taken"] == []
    assert {each["file"] for each in manifest["taken"]} == set(files) - {"manifest.json"}
    for each in manifest["taken"]:
        content = files[each["file"]]
        assert (each["bytes"], each["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    told = {name: content.decode() for name, content in files.items()}
    assert told["journal.txt"].endswith("last line\n")
    assert told["safety-events.jsonl"] == '{"kind": "trip", "text": "door"}\n'
    # A log that is not whole is what a helper must know of.
    assert told["safety-verified.txt"] == f"{scanner.root}/var/lib/nixel-safety/events.jsonl is NOT whole\n"
    for back, number in ((1, 11), (2, 10), (3, 9)):
        header, columns, tick = told[f"safety-trip-{back}.csv"].splitlines()
        assert json.loads(header)["message"] == f"trip {number}, password=[secret removed]"
        assert (columns, tick) == ("t,analog:0", "-1,25.5")
    assert told["disks.txt"] == "nvme0n1 size=1000 x 512 bytes device/model=Fast SSD\n"
    assert told["model.txt"] == "Raspberry Pi 4"
    assert told["failed-units.txt"].startswith("nixel-imaging.service")
    assert "nixel-update 0.1.0" in told["packages.txt"]
    assert json.loads(told["system.json"])["running_version"] == "26.05.2"
    assert "NVIDIA" in told["pci.txt"]
    assert "FT232R" in told["usb.txt"]


def test_closures_are_told_apart_by_name(scanner, tmp_path):
    told = bundle(scanner, tmp_path)["closure.txt"].decode()
    assert "Only in the running system: 1\n  nixel-0.2.0\n" in told
    assert "Only in the booted system: 1\n  nixel-0.1.0\n" in told
    assert "The boot default system is the running one" in told
    assert "glibc" not in told


def test_no_secret_and_no_data_gets_in(scanner, tmp_path):
    files = bundle(scanner, tmp_path)
    everything = b"\n".join(files.values()).decode()
    for _, secret in PLANTED:
        assert secret not in everything
    assert YESCRYPT not in everything
    assert "patient" not in everything
    removed = {each["file"]: each["removed"] for each in json.loads(files["manifest.json"])["taken"]}
    assert removed["journal.txt"]["private key"] == 2
    assert removed["cpu.txt"] == {}


# Whatever links stand where the bundle looks, and however the system is set up.
LINKS = [
    ("var/lib/nixel-safety/events.jsonl", "/var/lib/nixel-imaging/pictures/1.json"),
    ("var/lib/nixel-safety/events.jsonl", "../nixel-imaging/pictures/1.json"),
    ("var/lib/nixel-safety", "/var/lib/nixel-imaging/pictures"),
    ("var/lib/nixel-safety/recordings", "/var/lib/nixel-imaging/pictures"),
    (
        "var/lib/nixel-safety/recordings/trip-000011-20260501T070000Z.csv",
        "/var/lib/nixel-imaging/pictures/1.json",
    ),
    ("proc/version", "/var/lib/nixel-imaging/pictures/1.png"),
    ("proc/cpuinfo", "/var/lib/nixel-imaging/datasets/1/data.mdf"),
    ("sys/block/nvme0n1/device/model", "/var/lib/nixel-imaging/nixel.db"),
    ("sys/block/nvme0n1", "/var/lib/nixel-imaging"),
]


@pytest.mark.parametrize(("place", "target"), LINKS)
def test_no_link_leads_the_bundle_to_the_data(scanner, tmp_path, place, target):
    path = scanner.root / place
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    path.symlink_to(target)
    assert b"patient" not in b"".join(bundle(scanner, tmp_path).values())


@given(
    st.sampled_from([each.name for each in sources()]),
    st.sampled_from(["datasets/1/data.mdf", "pictures/1.png", "nixel.db"]),
)
def test_no_source_reads_below_the_data(tmp_path_factory, name, inside):
    scanner = Scanner(tmp_path_factory.mktemp("scanner"))
    machine = ThisMachine(scanner.root, ["/var/lib/nixel-imaging/"])
    with pytest.raises(NotTakenError, match="never taken"):
        machine.text(f"/var/lib/nixel-imaging/{inside}", KIB)
    assert "nixel-imaging" not in repr([each for each in sources() if each.name == name])


def test_a_recording_that_is_none_is_not_taken(scanner, tmp_path):
    trips = scanner.root / "var/lib/nixel-safety/recordings"
    (trips / "trip-000011-20260501T070000Z.csv").write_text("patient\n")
    (trips / "trip-000010-20260501T070000Z.csv").write_text('{"format": 7}\npatient\n')
    (trips / "trip-000009-20260501T070000Z.csv").unlink()
    (trips / "trip-000008-20260501T070000Z.csv").unlink()
    files = bundle(scanner, tmp_path)
    assert not any(name.startswith("safety-trip") for name in files)
    assert b"patient" not in b"".join(files.values())
    missing = {each["file"]: each["why"] for each in json.loads(files["manifest.json"])["not_taken"]}
    assert "is no recording" in missing["safety-trip-1.csv"]
    assert "holds 2 recordings" in missing["safety-trip-3.csv"]


def test_a_log_that_is_none_is_not_taken(scanner, tmp_path):
    (scanner.root / "var/lib/nixel-safety/events.jsonl").write_text("patient\n")
    files = bundle(scanner, tmp_path)
    assert "safety-events.jsonl" not in files
    assert "holds no events" in files["manifest.json"].decode()


def test_what_is_no_text_is_not_taken(scanner, tmp_path):
    (scanner.root / "proc/cpuinfo").write_bytes(b"\0\1patient")
    manifest = json.loads(bundle(scanner, tmp_path)["manifest.json"])
    assert [(each["file"], each["why"]) for each in manifest["not_taken"]] == [
        ("cpu.txt", "/proc/cpuinfo holds what is no text")
    ]


def test_the_configuration_says_where_things_are(scanner, tmp_path):
    (scanner.root / "etc/nixel").mkdir()
    file = scanner.root / "etc/nixel/support.toml"
    file.write_text('safety-events = "/var/log/events"\ndata = ["/srv/pictures"]\n')
    manifest = json.loads(bundle(scanner, tmp_path)["manifest.json"])
    missing = {each["file"]: each["why"] for each in manifest["not_taken"]}
    recordings = "/var/log/recordings cannot be read: No such file or directory"
    assert missing == {
        "safety-events.jsonl": "/var/log/events is not there",
        "safety-verified.txt": "/var/log/events is not there",
        **{f"safety-trip-{back}.csv": recordings for back in (1, 2, 3)},
    }


@pytest.mark.parametrize("text", ["data = 7", "data = [1]", 'safety-events = "events"', "not toml"])
def test_a_wrong_configuration_is_told(scanner, tmp_path, capsys, text):
    (scanner.root / "etc/nixel").mkdir()
    (scanner.root / "etc/nixel/support.toml").write_text(text)
    assert main(["bundle", "--out", str(tmp_path / "o.tar.xz"), "--root", str(scanner.root)]) == 2
    assert "/etc/nixel/support.toml" in capsys.readouterr().err


def test_what_cannot_be_taken_is_told_with_the_reason(scanner, tmp_path, capsys):
    for name in ("lspci", "nix-store"):
        (scanner.programs / name).unlink()
    scanner.program("journalctl", "echo half; exit 1")
    (scanner.root / "proc/meminfo").unlink()
    files = bundle(scanner, tmp_path)
    why = {each["file"]: each["why"] for each in json.loads(files["manifest.json"])["not_taken"]}
    assert set(why) == {"pci.txt", "closure.txt", "journal.txt", "memory.txt"}
    assert not set(why) & set(files)
    assert why["pci.txt"].startswith("lspci is not on this machine")
    assert "ended with status 1; run the command as root" in why["journal.txt"]
    assert why["memory.txt"] == "/proc/meminfo is not there"
    told = capsys.readouterr().out
    assert "not taken: memory: /proc/meminfo is not there" in told


def test_a_machine_without_anything_still_gets_a_bundle(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert main(["bundle", "--out", str(tmp_path / "o.tar.xz"), "--root", str(tmp_path / "empty")]) == 0
    manifest = json.loads(unpacked(tmp_path / "o.tar.xz")["nixel-support/manifest.json"])
    assert {each["file"] for each in manifest["taken"]} == {"packages.txt", "system.json"}


def test_a_program_that_hangs_is_given_up(scanner, tmp_path, monkeypatch):
    monkeypatch.setattr("nixel.update.support.machine._PATIENCE_S", 0.2)
    scanner.program("lspci", "exec sleep 60")
    manifest = json.loads(bundle(scanner, tmp_path)["manifest.json"])
    assert ["took longer" in each["why"] for each in manifest["not_taken"]] == [True]


def test_a_bundle_has_a_bound_and_keeps_what_happened_last(scanner, tmp_path):
    line = "x" * 99
    scanner.program("journalctl", f"yes {line} | head -c 30000000; echo; echo last line")
    scanner.program("lspci", f"yes '{'psk=1 ' * 15}' | head -c 250000")
    (scanner.root / "var/lib/nixel-safety/events.jsonl").write_text(
        '{"kind": "old"}\n' * 400_000 + '{"kind": "new"}\n'
    )
    files = bundle(scanner, tmp_path)
    most = {each.name: each.most for each in sources()}
    assert sum(most.values()) < 32 * 1024 * KIB
    for name, content in files.items():
        assert len(content) <= most.get(name, 64 * KIB), name
    assert files["journal.txt"].endswith(b"\nlast line\n")
    assert files["journal.txt"].startswith(line.encode() + b"\n")
    assert files["safety-events.jsonl"].endswith(b'{"kind": "new"}\n')


def test_the_same_machine_at_the_same_time_gives_the_same_bytes(scanner):
    def packed():
        files, manifest = collect(ThisMachine(scanner.root), sources(), "2026-05-01T00:00:00+00:00")
        return pack(files, manifest, 1_777_593_600)

    first = packed()
    assert packed() == first
    with tarfile.open(fileobj=lzma.open(io.BytesIO(first))) as archive:
        names = archive.getnames()
        assert names[0] == "nixel-support/manifest.json"
        assert names[1:] == sorted(names[1:])
        assert {(each.uid, each.gid, each.mtime) for each in archive} == {(0, 0, 1_777_593_600)}


def test_nothing_is_overwritten(scanner, tmp_path, capsys):
    out = tmp_path / "o.tar.xz"
    out.write_text("mine")
    assert main(["bundle", "--out", str(out), "--root", str(scanner.root)]) == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err
    assert out.read_text() == "mine"
    out.unlink()
    out.symlink_to(tmp_path / "elsewhere")
    assert main(["bundle", "--out", str(out), "--root", str(scanner.root)]) == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_leaves_nothing_half_written(scanner, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / "o.tar.xz"
    assert main(["bundle", "--out", str(out), "--root", str(scanner.root)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(("name", "words"), [("o.zip", ".tar.xz"), ("absent/o.tar.xz", "not a folder")])
def test_a_wrong_name_is_told(scanner, tmp_path, capsys, name, words):
    assert main(["bundle", "--out", str(tmp_path / name), "--root", str(scanner.root)]) == 2
    assert words in capsys.readouterr().err


def test_a_bundle_is_its_owner_s_alone(scanner, tmp_path):
    bundle(scanner, tmp_path)
    assert (tmp_path / "out.tar.xz").stat().st_mode & 0o777 == 0o600


def test_runs_as_a_module_with_the_standard_library_alone():
    code = "import nixel.update.support.cli, nixel.update.provision.cli, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name.split(".")[1] for name in done.stdout.split() if name.startswith("nixel.")}
    foreign = {name.partition(".")[0] for name in done.stdout.split()} & {
        "numpy",
        "pydantic",
        "httpx",
        "typer",
    }
    assert ours == {"update"}
    assert not foreign
    done = subprocess.run(
        [sys.executable, "-m", "nixel.update.support", "--help"], capture_output=True, text=True, check=True
    )
    assert "bundle" in done.stdout

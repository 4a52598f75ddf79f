"""`nixel support` as a technician meets it: the support bundle, by the one command there is."""

import json
import os
import subprocess
import sys
import tarfile

import pytest


@pytest.fixture
def machine(tmp_path):
    """A machine's files: the safety daemon's events, with a secret in them, and a picture."""
    root = tmp_path / "machine"
    events = root / "var/lib/nixel-safety/events.jsonl"
    events.parent.mkdir(parents=True)
    events.write_text('{"kind": "trip", "text": "door, password=hunter2"}\n')
    picture = root / "var/lib/nixel-imaging/pictures/1.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"a patient")
    return root


def support(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "nixel.imaging", "support", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"COLUMNS": "400"},
    )


def test_a_bundle_by_the_one_command(machine, tmp_path):
    out = tmp_path / "bundle.tar.xz"
    done = support("bundle", "--out", out, "--root", machine)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(out) in done.stdout
    with tarfile.open(out) as archive:
        files = {each.name: archive.extractfile(each).read() for each in archive}
    assert json.loads(files["nixel-support/safety-events.jsonl"])["kind"] == "trip"
    everything = b"".join(files.values())
    assert b"hunter2" not in everything
    assert b"a patient" not in everything


def test_what_is_there_is_not_overwritten(machine, tmp_path):
    out = tmp_path / "bundle.tar.xz"
    out.write_text("mine")
    done = support("bundle", "--out", out, "--root", machine)
    assert done.returncode == 2
    assert done.stderr.startswith("nixel-support: ")
    assert str(out) in done.stderr
    assert out.read_text() == "mine"


def test_its_help_is_its_own():
    done = support("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: nixel-support")
    assert "bundle" in done.stdout


def test_a_word_it_does_not_know_is_refused():
    done = support("bumble")
    assert done.returncode == 2
    assert "bumble" in done.stderr
    assert "Traceback" not in done.stderr

"""`nixel doctor` as a person and a program meet it."""

import json
import shutil
import subprocess

import pytest
from files_to_files import assert_refused, everything, nixel


@pytest.fixture
def folder(tmp_path):
    """A sound library, one that lacks a symbol, and one that has it."""
    if shutil.which("cc") is None:
        pytest.skip("no cc on this machine to compile with")
    for name, source in {
        "sound": "int f(void) { return 1; }",
        "lacking": "int camera_open_2(void);\nint g(void) { return camera_open_2(); }",
        "sdk/libcamera-sdk": "int camera_open_2(void) { return 1; }",
    }.items():
        out = tmp_path / f"{name}.so"
        out.parent.mkdir(exist_ok=True)
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-x", "c", "-o", out, "-"], input=source.encode(), check=True
        )
    return tmp_path


def test_the_exit_status_and_the_text(folder):
    before = everything(folder)
    done = nixel("doctor", "sound.so", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "Nothing is wrong with it." in done.stdout
    done = nixel("doctor", "lacking.so", "--in", "sdk", folder=folder)
    assert done.returncode == 1, done.stderr
    assert "camera_open_2" in done.stdout
    assert str(folder / "sdk/libcamera-sdk.so") in done.stdout
    assert f"-L{folder}/sdk -lcamera-sdk" in done.stdout
    assert done.stdout.index("camera_open_2") < done.stdout.index("What to do")
    assert everything(folder) == before


def test_for_programs(folder):
    done = nixel("doctor", "lacking.so", "--in", "sdk", "--json", folder=folder)
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert (document["version"], document["loads"], document["healthy"]) == (1, False, False)
    (finding,) = document["findings"]
    assert (finding["severity"], finding["kind"]) == ("fault", "symbol")
    assert finding["provider"]["place"] == str(folder / "sdk/libcamera-sdk.so")
    assert document["advice"]["from_deb"] == ['alsoNeeds."lib/lacking.so" = [ "libcamera-sdk.so" ];']
    done = nixel("doctor", "sound.so", "--json", folder=folder)
    assert done.returncode == 0
    assert json.loads(done.stdout)["findings"] == []


def test_the_host(folder):
    done = nixel("doctor", "lacking.so", "--host", "sdk/libcamera-sdk.so", folder=folder)
    assert done.returncode == 0, done.stdout


def test_bad_input(folder):
    (folder / "note.txt").write_text("hello")
    (folder / "cut.deb").write_bytes(b"!<arch>\ndebian-binary   0")
    for words, says in (
        (("note.txt",), "expected an ELF library or program, or a .deb"),
        (("gone.so",), "found nothing there"),
        (("cut.deb",), "cut off"),
        (("sound.so", "--in", "gone"), "--in gone"),
        (("sound.so", "--host", "gone"), "--host gone"),
        (("sound.so", "--host", "note.txt"), "note.txt"),
    ):
        assert_refused(nixel("doctor", *words, folder=folder), says)

"""A file appears whole or not at all."""

import stat

import pytest

from nixel.acquisition.formats.atomic import atomic_folder, atomic_write


def test_the_file_appears_only_when_the_block_has_ended(tmp_path):
    target = tmp_path / "data.bin"
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"whole")
        assert not target.exists()
        assert temporary.parent == target.parent
    assert target.read_bytes() == b"whole"
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.bin"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_writer_leaves_what_was_there(tmp_path, error):
    target = tmp_path / "data.bin"
    target.write_bytes(b"before")

    def write():
        with atomic_write(target) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert target.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.bin"]


def test_a_missing_folder_is_known_before_anything_is_written(tmp_path):
    entered = False
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "nowhere" / "data.bin"):
        entered = True
    assert not entered


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with atomic_write(tmp_path / "data.bin") as temporary:
        temporary.write_bytes(b"x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "data.bin")]
    assert modes[0] == modes[1]


def test_a_folder_appears_with_all_its_files(tmp_path):
    target = tmp_path / "result"
    with atomic_folder(target) as temporary:
        (temporary / "a").write_text("1")
        assert not target.exists()
        (temporary / "b").write_text("2")
    assert sorted(entry.name for entry in target.iterdir()) == ["a", "b"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


def test_an_earlier_result_gives_way_to_the_whole_new_one(tmp_path):
    target = tmp_path / "result"
    target.mkdir()
    (target / "a").write_text("old")
    (target / "b").write_text("old")
    with atomic_folder(target, replaceable=("a", "b")) as temporary:
        (temporary / "a").write_text("new")
    assert [(entry.name, entry.read_text()) for entry in target.iterdir()] == [("a", "new")]
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


def test_a_failed_result_leaves_the_earlier_one(tmp_path):
    target = tmp_path / "result"
    target.mkdir()
    (target / "a").write_text("old")

    def write():
        with atomic_folder(target, replaceable=("a",)) as temporary:
            (temporary / "a").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert (target / "a").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize("foreign", ["file", "folder"])
def test_what_is_not_an_earlier_result_is_not_touched(tmp_path, foreign):
    target = tmp_path / "result"
    if foreign == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "a").write_text("old")
        (target / "thesis.doc").write_text("mine")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(FileExistsError), atomic_folder(target, replaceable=("a",)):
        pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == before

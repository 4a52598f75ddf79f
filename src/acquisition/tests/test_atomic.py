"""A file appears whole or not at all."""

import stat

import pytest

from nixel.acquisition.formats.atomic import atomic_write


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

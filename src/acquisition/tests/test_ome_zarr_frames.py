"""Recorded frames are an OME-Zarr image as they lie there; what is missing is said."""

import errno
from pathlib import Path

import numpy as np
import pytest
import zarr

from nixel.acquisition.formats.images import ImageFileError
from nixel.acquisition.formats.ome_zarr_frames import FrameImage, read_recorded_frame, write_frames
from nixel.acquisition.recording import FrameRing, Recorder, Spool, recover


def image(**settings):
    values = {
        "counts": (2, 1, 3),
        "frame": (4, 6),
        "dtype": "<u2",
        "name": "hologram",
        "channels": ("532 nm",),
        "spacing": (50e-6, 1.12e-6, 1.12e-6),
        "interval": 0.5,
        "attributes": {"counters": {"refused": 0}},
    }
    return FrameImage(**values | settings)


def pixels(t, c, z):
    return np.random.default_rng([t, c, z]).integers(0, 1024, (4, 6), dtype=np.uint16)


@pytest.fixture
def recorded(tmp_path):
    """A recording of six frames in the order t, c, z, each in a file of its own."""
    spool = Spool.create(tmp_path / "a.recording", shape=(4, 6), dtype="<u2", what={}, per_file=1)
    with Recorder(spool, FrameRing((4, 6), "<u2", 1000)) as recorder:
        for place in np.ndindex(2, 1, 3):
            recorder.put(pixels(*place), {"place": place}, patience=5.0)
    with recover(tmp_path / "a.recording") as found:
        places = [tuple(record.note["place"]) for record in found.journal.frames]
        return dict(zip(places, found.files, strict=True))


def test_each_frame_is_where_it_belongs_with_its_bits(tmp_path, recorded):
    assert write_frames(tmp_path / "a.ome.zarr", image(), recorded) == ()
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    assert group["0"].shape == (2, 1, 3, 4, 6)
    assert group["0"].dtype == np.uint16
    for place in np.ndindex(2, 1, 3):
        assert np.array_equal(group["0"][place], pixels(*place))
    assert group.attrs["nixel"] == {"counters": {"refused": 0}, "missing": []}


def test_the_metadata_give_the_axes_and_their_scale(tmp_path, recorded):
    write_frames(tmp_path / "a.ome.zarr", image(), recorded)
    ome = dict(zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs)["ome"]
    multiscale = ome["multiscales"][0]
    assert [axis["name"] for axis in multiscale["axes"]] == ["t", "c", "z", "y", "x"]
    scale = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale == [0.5, 1.0, 50.0, 1.12, 1.12]


def test_frames_are_not_copied(tmp_path, recorded):
    write_frames(tmp_path / "a.ome.zarr", image(), recorded)
    assert (tmp_path / "a.ome.zarr/0/c/1/0/2/0/0").samefile(recorded[1, 0, 2])


def test_where_there_are_no_links_they_are(tmp_path, recorded, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_frames(tmp_path / "a.ome.zarr", image(), recorded)
    assert np.array_equal(zarr.open_array(tmp_path / "a.ome.zarr/0")[1, 0, 2], pixels(1, 0, 2))


def test_what_is_missing_is_listed_and_reads_as_zeros(tmp_path, recorded):
    del recorded[1, 0, 1], recorded[1, 0, 2]
    assert write_frames(tmp_path / "a.ome.zarr", image(), recorded) == ((1, 0, 1), (1, 0, 2))
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    assert group.attrs["nixel"]["missing"] == [[1, 0, 1], [1, 0, 2]]
    assert not group["0"][1, 0, 1].any()
    assert np.array_equal(group["0"][1, 0, 0], pixels(1, 0, 0))


def test_nothing_is_written_over_and_nothing_foreign_is_taken_in(tmp_path, recorded):
    (tmp_path / "a.ome.zarr").mkdir()
    with pytest.raises(FileExistsError):
        write_frames(tmp_path / "a.ome.zarr", image(), recorded)
    with pytest.raises(ValueError, match=r"within \(t, c, z\) = \(1, 1, 3\), found \(1, 0, 0\)"):
        write_frames(tmp_path / "b.ome.zarr", image(counts=(1, 1, 3)), recorded)
    with pytest.raises(ValueError, match="expected 60 bytes, found 48"):
        write_frames(tmp_path / "b.ome.zarr", image(frame=(5, 6)), recorded)
    assert not (tmp_path / "b.ome.zarr").exists()


def test_a_frame_is_read_back_by_its_number_and_a_missing_one_is_refused(tmp_path):
    places = [(t, 0, z) for t in range(2) for z in range(3)]
    files = {}
    for place in places[:-1]:
        files[place] = tmp_path / "-".join(map(str, place))
        files[place].write_bytes(pixels(*place).tobytes())
    write_frames(tmp_path / "a.ome.zarr", image(), files)
    for number, place in enumerate(places[:-1]):
        np.testing.assert_array_equal(read_recorded_frame(tmp_path / "a.ome.zarr", number), pixels(*place))
    for number, message in ((5, "frame 5 is missing"), (6, "from 0 to 5, found 6"), (-1, "found -1")):
        with pytest.raises(ImageFileError, match=message):
            read_recorded_frame(tmp_path / "a.ome.zarr", number)
    (tmp_path / "b.ome.zarr").mkdir()
    for name, message in (("b.ome.zarr", "expected a recorded sequence"), ("c.ome.zarr", "no such folder")):
        with pytest.raises(ImageFileError, match=message):
            read_recorded_frame(tmp_path / name, 0)

"""Images are read with the numbers they hold, or refused in words; they are written whole."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from nixel.acquisition.formats.images import ImageFileError, read_image, write_png
from nixel.acquisition.formats.ome_tiff import write_ome_tiff

RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4)
DEEP = (np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4)


@pytest.mark.parametrize("array", [RAMP, DEEP], ids=["8 bit", "16 bit"])
def test_a_grey_png_comes_back_with_its_counts(tmp_path, array):
    write_png(tmp_path / "a.png", array)
    found = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_comes_back_with_its_counts(tmp_path, dtype, compression):
    tifffile.imwrite(tmp_path / "a.tif", DEEP.astype(dtype), compression=compression)
    found = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(found, DEEP.astype(dtype))
    assert found.dtype == dtype


@pytest.mark.parametrize("array", [RAMP, DEEP], ids=["8 bit", "16 bit"])
def test_a_tiff_in_lzw_comes_back_with_its_counts(tmp_path, array):
    Image.fromarray(array).save(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), array)


def test_a_jpeg_of_one_grey_level_comes_back(tmp_path):
    Image.fromarray(np.full((16, 16), 77, np.uint8)).save(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), np.full((16, 16), 77))


def test_colour_is_kept_unless_grey_is_needed(tmp_path):
    colour = np.stack([RAMP, RAMP + 1, RAMP + 2], axis=2)
    write_png(tmp_path / "a.png", colour)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), colour)
    with pytest.raises(ImageFileError, match=r"a\.png: expected a grey image, found one in colour"):
        read_image(tmp_path / "a.png", grey=True)


def test_grey_written_as_colour_is_grey(tmp_path):
    write_png(tmp_path / "a.png", np.repeat(RAMP[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", grey=True), RAMP)


def whole(path):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_truncated_image_is_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    data = whole(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageFileError, match="truncated or damaged"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"not an image at all", "not an image"),
        (b"\x89PNG\r\n\x1a\nnonsense", "damaged|not an image"),
        (b"II*\0nonsense", "damaged"),
    ],
)
def test_a_file_that_is_no_image_is_refused(tmp_path, content, message):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ImageFileError, match="no such file"):
        read_image(tmp_path / "a.png")
    with pytest.raises(ImageFileError, match="is a folder"):
        read_image(tmp_path)


def test_pages_and_palettes_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(ImageFileError, match="expected one image, found 3 pages"):
        read_image(tmp_path / "a.tif")
    Image.fromarray(RAMP).convert("P").save(tmp_path / "a.png")
    with pytest.raises(ImageFileError, match="mode P"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 4)), np.zeros((3, 4, 2), np.uint8), np.zeros((0, 4), np.uint8), np.zeros(4, np.uint8)],
)
def test_what_no_png_holds_is_refused_and_nothing_is_written(tmp_path, array):
    with pytest.raises(ValueError, match="a PNG holds"):
        write_png(tmp_path / "a.png", array)
    assert list(tmp_path.iterdir()) == []


def test_an_ome_tiff_says_its_size_and_its_channels(tmp_path):
    array = np.random.default_rng(1).random((2, 5, 7), dtype=np.float32)
    path = tmp_path / "a.ome.tiff"
    write_ome_tiff(path, array, 85.1e-9, ["Amplitude", "Phase"], description="a sphere & more")
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert file.series[0].axes == "CYX"
        np.testing.assert_array_equal(file.asarray(), array)
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert pixels["PhysicalSizeX"] == pixels["PhysicalSizeY"] == 0.0851
    assert pixels["PhysicalSizeXUnit"] == pixels["PhysicalSizeYUnit"] == "µm"
    assert [channel["Name"] for channel in pixels["Channel"]] == ["Amplitude", "Phase"]


def test_the_same_image_is_the_same_file_and_another_is_another(tmp_path):
    array = np.zeros((4, 4), np.float32)
    for name, values in (("a", array), ("b", array), ("c", array + 1)):
        write_ome_tiff(tmp_path / name, values, 1e-6, ["Phase"])
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b

    def identity(data):
        return data.split(b'UUID="')[1][:45]

    assert identity(a) != identity(c)


@pytest.mark.parametrize(
    ("array", "size", "channels", "message"),
    [
        (np.zeros((2, 2), complex), 1e-6, ["a"], "float32 or float64"),
        (np.zeros((2, 2)), 0.0, ["a"], "pixel_size must be positive"),
        (np.zeros((2, 2)), float("nan"), ["a"], "pixel_size must be positive"),
        (np.zeros((2, 2, 2)), 1e-6, ["a"], "one name for each of 2"),
    ],
)
def test_what_no_ome_tiff_holds_is_refused(tmp_path, array, size, channels, message):
    with pytest.raises(ValueError, match=message):
        write_ome_tiff(tmp_path / "a.ome.tiff", array, size, channels)
    assert list(tmp_path.iterdir()) == []

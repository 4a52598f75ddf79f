"""What nixel writes as OME-Zarr and OME-TIFF, read and checked by the programs of others."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from test_ome_zarr_frames import image as frame_image
from test_ome_zarr_frames import pixels as frame_pixels

from nixel.acquisition.formats.ome_tiff import write_ome_tiff
from nixel.acquisition.formats.ome_zarr_frames import write_frames
from nixel.acquisition.formats.volumes import Volume, write_volume

SPACING, ORIGIN = (0.25e-6, 0.1e-6, 0.12e-6), (2e-3, -1e-3, 0.5e-3)
SHAPES = [(3, 4, 5), (2, 3, 4, 5), (3, 300, 129)]
MISSING = "the package {} is not here; requirements/dev.lock has it"


@pytest.fixture
def models():
    return pytest.importorskip("ome_zarr_models", reason=MISSING.format("ome-zarr-models"))


@pytest.fixture
def schema():
    """The OME schema of 2016-06, which ome-types brings along, and an XML library that validates."""
    pytest.importorskip("lxml", reason=MISSING.format("lxml"))
    ome_types = pytest.importorskip("ome_types", reason=MISSING.format("ome-types"))
    return ome_types, (Path(ome_types.__file__).parent / "ome-2016-06.xsd").read_bytes()


def volume(dtype="float32", shape=(3, 4, 5)):
    """Every voxel another number."""
    data = (np.arange(np.prod(shape)).reshape(shape) % 120).astype(dtype)
    interval = 0.5 if len(shape) == 4 else None
    return Volume(data, SPACING, ORIGIN, name="Iron [mol/m^3]", interval=interval)


def read_by_ome_zarr(path):
    """Give the image as the reader of ome-zarr finds it: its axes, its levels, and where they lie."""
    reader = pytest.importorskip("ome_zarr.reader", reason=MISSING.format("ome-zarr"))
    from ome_zarr.io import parse_url

    (node,) = list(reader.Reader(parse_url(path, mode="r"))())
    return node


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_reader_of_ome_zarr_finds_every_number_and_length(tmp_path, shape, dtype):
    written = volume(dtype, shape)
    write_volume(tmp_path / "a.ome.zarr", written)
    node = read_by_ome_zarr(tmp_path / "a.ome.zarr")
    np.testing.assert_array_equal(np.asarray(node.data[0]), written.data)
    assert node.data[0].dtype == dtype
    names = [axis["name"] for axis in node.metadata["axes"]]
    assert names == [*(["t"] if len(shape) == 4 else []), "z", "y", "x"]
    first = {part["type"]: part for part in node.metadata["coordinateTransformations"][0]}
    np.testing.assert_allclose(first["scale"]["scale"][-3:], np.array(SPACING) * 1e6)
    np.testing.assert_allclose(first["translation"]["translation"][-3:], np.array(ORIGIN) * 1e6)
    assert len(node.data) == (3 if shape == (3, 300, 129) else 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_models_of_ome_zarr_take_our_images(tmp_path, models, shape):
    write_volume(tmp_path / "a.ome.zarr", volume(shape=shape))
    found = models.v05.Image.from_zarr(zarr.open_group(tmp_path / "a.ome.zarr", mode="r"))
    assert found.ome_attributes.version == "0.5"


def test_recorded_frames_are_an_image_to_others_as_well(tmp_path, models):
    described = frame_image()
    source = tmp_path / "frames"
    source.mkdir()
    files = {}
    for t, c, z in np.ndindex(*described.counts):
        files[t, c, z] = source / f"{t}-{c}-{z}"
        files[t, c, z].write_bytes(frame_pixels(t, c, z).tobytes())
    write_frames(tmp_path / "a.ome.zarr", described, files)
    models.v05.Image.from_zarr(zarr.open_group(tmp_path / "a.ome.zarr", mode="r"))
    data = np.asarray(read_by_ome_zarr(tmp_path / "a.ome.zarr").data[0])
    for t, c, z in files:
        np.testing.assert_array_equal(data[t, c, z], frame_pixels(t, c, z))


def test_the_models_refuse_what_is_not_valid(tmp_path, models):
    """So that the tests above can fail."""
    write_volume(tmp_path / "a.ome.zarr", volume())
    root = zarr.open_group(tmp_path / "a.ome.zarr", mode="a")
    ome = dict(root.attrs["ome"])
    ome["multiscales"][0]["axes"].reverse()
    del ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    root.attrs["ome"] = ome
    with pytest.raises(ValueError, match="coordinateTransformations"):
        models.v05.Image.from_zarr(zarr.open_group(tmp_path / "a.ome.zarr", mode="r"))


def written_tiffs(folder):
    """Every kind of OME-TIFF that nixel writes, with its axes and its numbers."""
    for shape in [(3, 4, 5), (2, 3, 4, 5), (1, 4, 5)]:
        for dtype in ("uint8", "uint16", "float32", "float64"):
            path = folder / f"volume-{len(shape)}-{shape[0]}-{dtype}.ome.tiff"
            write_volume(path, volume(dtype, shape))
            yield path, volume(dtype, shape).data
    channels = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    write_ome_tiff(folder / "c.ome.tiff", channels, 1.12e-6, ["amplitude", "phase <1>"], description="A & B")
    yield folder / "c.ome.tiff", channels
    write_ome_tiff(folder / "one.ome.tiff", channels[0], 1.12e-6, ["amplitude"])
    yield folder / "one.ome.tiff", channels[0]


def test_the_metadata_of_our_tiffs_are_valid_against_the_schema(tmp_path, schema):
    ome_types, xsd = schema
    for path, data in written_tiffs(tmp_path):
        with tifffile.TiffFile(path) as file:
            assert file.is_ome
            assert tifffile.OmeXml.validate(file.ome_metadata, xsd)
            np.testing.assert_array_equal(file.asarray(squeeze=True), data.squeeze())
        found = ome_types.from_tiff(path, validate=True)
        (pixels,) = [image.pixels for image in found.images]
        sizes = pixels.size_t * pixels.size_c * pixels.size_z * pixels.size_y * pixels.size_x
        assert sizes == data.size
        assert (
            np.dtype({"float": "float32", "double": "float64"}.get(pixels.type.value, pixels.type.value))
            == data.dtype
        )
        # Planes without a place would be lost to a reader that goes by the metadata.
        assert sum(block.plane_count or 0 for block in pixels.tiff_data_blocks) == data.size // (
            pixels.size_y * pixels.size_x
        )


def test_lengths_and_names_are_what_others_read(tmp_path, schema):
    ome_types, _ = schema
    paths = {path.name: path for path, _ in written_tiffs(tmp_path)}
    pixels = ome_types.from_tiff(paths["volume-4-2-uint16.ome.tiff"]).images[0].pixels
    lengths = (pixels.physical_size_z, pixels.physical_size_y, pixels.physical_size_x)
    assert lengths == (0.25, 0.1, 0.12)
    units = (pixels.physical_size_z_unit, pixels.physical_size_y_unit, pixels.physical_size_x_unit)
    assert {unit.value for unit in units} == {"µm"}
    assert (pixels.time_increment, pixels.time_increment_unit.value) == (0.5, "s")
    image = ome_types.from_tiff(paths["c.ome.tiff"]).images[0]
    assert [channel.name for channel in image.pixels.channels] == ["amplitude", "phase <1>"]
    assert image.description == "A & B"


def test_the_schema_refuses_what_is_not_valid(tmp_path, schema):
    """So that the tests above can fail."""
    _, xsd = schema
    path, _ = next(written_tiffs(tmp_path))
    with tifffile.TiffFile(path) as file:
        broken = file.ome_metadata.replace('SizeX="5"', 'SizeX="0"')
    assert broken != file.ome_metadata
    assert tifffile.OmeXml.validate(broken, xsd, assert_=False) is False

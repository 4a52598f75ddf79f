"""Volumes in files: every number and every length comes back, and other programs find them where they are."""

import gzip
import hashlib
import json
import struct

import nibabel
import nrrd
import numpy as np
import pytest
import tifffile
import zarr

from nixel.acquisition.formats.images import ImageFileError
from nixel.acquisition.formats.volumes import Volume, ending, read_volume, write_volume

ENDINGS = (".nrrd", ".nii", ".nii.gz", ".ome.zarr", ".ome.tiff")
SPACING, ORIGIN = (0.25e-6, 0.1e-6, 0.12e-6), (2e-3, -1e-3, 0.5e-3)


def volume(dtype="float32", shape=(3, 4, 5), **changes):
    """Every voxel another number."""
    numbers = np.arange(np.prod(shape)).reshape(shape) % 120
    given = {"spacing": SPACING, "origin": ORIGIN, "name": "Iron [mol/m^3]"} | changes
    return Volume(numbers.astype(dtype), **given)


def digest(path):
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files if p.is_file()]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64", ">f4"])
@pytest.mark.parametrize("frames", [None, 2])
def test_a_volume_comes_back(tmp_path, ending, dtype, frames):
    shape = (3, 4, 5) if frames is None else (frames, 3, 4, 5)
    before = volume(dtype, shape, interval=None if frames is None else 0.0215424)
    write_volume(tmp_path / f"a{ending}", before)
    after = read_volume(tmp_path / f"a{ending}")
    assert after.data.dtype == np.dtype(dtype).newbyteorder("=")
    assert after.data.shape == shape
    np.testing.assert_array_equal(after.data, before.data)
    # NIfTI says lengths in single precision.
    precision = 1e-6 if ending.startswith(".nii") else 1e-14
    assert after.spacing == pytest.approx(SPACING, rel=precision)
    if ending != ".ome.tiff":  # which has no place for it
        assert after.origin == pytest.approx(ORIGIN, rel=precision)
    assert after.name == "Iron [mol/m^3]"
    if frames is not None:
        assert after.interval == pytest.approx(0.0215424, rel=precision)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_volume_gives_the_same_bytes(tmp_path, ending):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_volume(tmp_path / name / f"v{ending}", volume(shape=(2, 3, 4, 5)))
    assert digest(tmp_path / "a" / f"v{ending}") == digest(tmp_path / "b" / f"v{ending}")
    write_volume(tmp_path / "a" / f"v{ending}", volume())
    write_volume(tmp_path / "a" / f"v{ending}", volume(shape=(2, 3, 4, 5)))
    assert digest(tmp_path / "a" / f"v{ending}") == digest(tmp_path / "b" / f"v{ending}")
    assert [path.name for path in (tmp_path / "a").iterdir()] == [f"v{ending}"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_array_in_another_order_is_written_as_it_reads(tmp_path, ending):
    whole = volume(shape=(5, 4, 3)).data
    for data in (whole.transpose(2, 1, 0), whole[::-1, ::2, 1:]):
        write_volume(tmp_path / f"a{ending}", Volume(data, SPACING))
        np.testing.assert_array_equal(read_volume(tmp_path / f"a{ending}").data, data)


def test_the_bytes_of_nrrd(tmp_path):
    written = volume("float32")
    write_volume(tmp_path / "a.nrrd", written)
    header, _, numbers = (tmp_path / "a.nrrd").read_bytes().partition(b"\n\n")
    lines = header.decode().splitlines()
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert lines[0] in ("NRRD0004", "NRRD0005")
    assert fields["type"] == "float"
    assert fields["sizes"] == "5 4 3"  # the fastest axis, x, first
    assert fields["encoding"] == "raw"
    assert fields["endian"] == "little"
    assert fields["space"] == "left-posterior-superior"
    assert fields["space units"] == '"mm" "mm" "mm"'
    directions = [[float(v) for v in d.strip("()").split(",")] for d in fields["space directions"].split()]
    np.testing.assert_allclose(directions, np.diag([0.12e-3, 0.1e-3, 0.25e-3]), rtol=1e-14)
    np.testing.assert_allclose(
        [float(v) for v in fields["space origin"].strip("()").split(",")], [0.5, -1, 2]
    )
    assert struct.unpack("<60f", numbers) == tuple(range(60))


def test_the_bytes_of_nifti(tmp_path):
    write_volume(tmp_path / "a.nii", volume("float64"))
    write_volume(tmp_path / "a.nii.gz", volume("float64"))
    raw = (tmp_path / "a.nii").read_bytes()
    assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes()) == raw
    # The offsets are those of nifti1.h.
    assert struct.unpack_from("<i", raw, 0) == (348,)
    assert struct.unpack_from("<4h", raw, 40) == (3, 5, 4, 3)
    assert struct.unpack_from("<2h", raw, 70) == (64, 64)  # double, 64 bits
    assert struct.unpack_from("<3f", raw, 80) == pytest.approx((0.12e-3, 0.1e-3, 0.25e-3), rel=1e-6)
    assert struct.unpack_from("<f", raw, 108) == (352,)
    assert raw[123] & 0b111 == 2  # mm
    assert raw[148:162] == b"Iron [mol/m^3]"
    assert struct.unpack_from("<2h", raw, 252) == (1, 1)  # qform and sform are of the scanner
    rows = np.array(struct.unpack_from("<12f", raw, 280)).reshape(3, 4)
    expected = [[-0.12e-3, 0, 0, -0.5], [0, -0.1e-3, 0, 1], [0, 0, 0.25e-3, 2]]
    np.testing.assert_allclose(rows, expected, rtol=1e-6, atol=1e-12)
    assert raw[344:348] == b"n+1\0"
    assert struct.unpack_from("<60d", raw, 352) == tuple(range(60))


def test_both_medical_formats_put_a_voxel_at_the_same_place(tmp_path):
    write_volume(tmp_path / "a.nrrd", volume())
    write_volume(tmp_path / "a.nii", volume())
    index = np.array([4, 1, 2])  # x, y, z
    data, header = nrrd.read(str(tmp_path / "a.nrrd"))
    left = header["space origin"] + index @ header["space directions"]
    image = nibabel.load(tmp_path / "a.nii")
    right = image.affine @ [*index, 1]
    np.testing.assert_allclose(left, [-right[0], -right[1], right[2]], rtol=1e-6)
    np.testing.assert_allclose(left, 1e3 * (np.array(ORIGIN[::-1]) + index * SPACING[::-1]), rtol=1e-12)
    assert data[tuple(index)] == image.dataobj[tuple(index)] == volume().data[2, 1, 4]
    # Both forms of the affine say the same.
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), rtol=1e-5, atol=1e-9)


def test_nifti_of_others_is_turned(tmp_path):
    # Right-anterior-superior, as most programs write: our x and y run the other way.
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = np.array([[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii.gz")
    read = read_volume(tmp_path / "a.nii.gz")
    assert read.spacing == pytest.approx((4e-3, 3e-3, 2e-3))
    for i, j, k in np.ndindex(data.shape):
        right, front, up = (affine @ [i, j, k, 1])[:3] * 1e-3
        place = np.array([up, -front, -right])
        index = np.rint((place - read.origin) / read.spacing).astype(int)
        np.testing.assert_allclose(read.origin + index * np.array(read.spacing), place)
        assert read.data[tuple(index)] == data[i, j, k]


def test_nifti_in_micrometres_with_permuted_axes(tmp_path):
    # The first axis of the file runs up, the second to the left, the third to the front.
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    affine = np.array([[0, -5, 0, 0], [0, 0, 7, 0], [3, 0, 0, 0], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii")
    read = read_volume(tmp_path / "a.nii")
    assert read.spacing == pytest.approx((3e-6, 7e-6, 5e-6))
    np.testing.assert_array_equal(read.data, data.transpose(0, 2, 1)[:, ::-1])


@pytest.mark.parametrize("encoding", ["raw", "gzip", "ascii"])
@pytest.mark.parametrize(("space", "signs"), [("right-anterior-superior", (-1, -1)), ("LPS", (1, 1))])
def test_nrrd_of_others_is_turned(tmp_path, encoding, space, signs):
    data = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    header = {
        "space": space,
        "space directions": np.diag([2.0, 3.0, 4.0]),
        "space origin": np.array([10.0, 20.0, 30.0]),
        "encoding": encoding,
    }
    nrrd.write(str(tmp_path / "a.nrrd"), data, header)
    read = read_volume(tmp_path / "a.nrrd")
    assert read.spacing == pytest.approx((4e-3, 3e-3, 2e-3))
    np.testing.assert_array_equal(read.data, data.transpose(2, 1, 0)[:, :: signs[1], :: signs[0]])
    first = (30e-3, 20e-3, 10e-3) if signs == (1, 1) else (30e-3, -(20e-3 + 2 * 3e-3), -(10e-3 + 1 * 2e-3))
    assert read.origin == pytest.approx(first)


def test_nrrd_with_spacings_alone(tmp_path):
    data = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    header = {"spacings": [0.1, 0.2, 0.3], "units": ["um", "um", "um"]}
    nrrd.write(str(tmp_path / "a.nrrd"), data, header)
    assert read_volume(tmp_path / "a.nrrd").spacing == pytest.approx((0.3e-6, 0.2e-6, 0.1e-6))


def rules_of_ome_zarr(path):
    """Check an image against what the specification 0.5 says must be, from its JSON alone; give its multiscales."""
    root = json.loads((path / "zarr.json").read_text())
    assert root["zarr_format"] == 3
    assert root["node_type"] == "group"
    ome = root["attributes"]["ome"]
    assert ome["version"] == "0.5"
    assert len(ome["multiscales"]) >= 1
    for multiscale in ome["multiscales"]:
        axes = multiscale["axes"]
        assert 2 <= len(axes) <= 5
        names, types = [axis["name"] for axis in axes], [axis["type"] for axis in axes]
        assert len(set(names)) == len(names)
        assert types.count("space") in (2, 3)
        assert types.count("time") <= 1
        assert types.count("channel") <= 1
        # Time first, then channels, then space, in the order z, y, x.
        assert types == sorted(types, key=["time", "channel", "space"].index)
        assert [name for name, kind in zip(names, types, strict=True) if kind == "space"] == ["z", "y", "x"]
        units = {"space": "micrometer", "time": "second"}
        assert all(axis["unit"] == units[axis["type"]] for axis in axes if "unit" in axis)
        assert all("unit" in axis for axis in axes if axis["type"] == "space")
        sizes = []
        for dataset in multiscale["datasets"]:
            array = json.loads((path / dataset["path"] / "zarr.json").read_text())
            assert array["zarr_format"] == 3
            assert array["node_type"] == "array"
            assert array["dimension_names"] == names
            assert len(array["shape"]) == len(axes)
            kinds = [t["type"] for t in dataset["coordinateTransformations"]]
            assert kinds in (["scale"], ["scale", "translation"])
            for transformation in dataset["coordinateTransformations"]:
                values = transformation[transformation["type"]]
                assert len(values) == len(axes)
                assert all(isinstance(value, float) for value in values)
            sizes.append(np.prod(array["shape"]))
        # From the finest level to the coarsest.
        assert sizes == sorted(sizes, reverse=True)
    for channel in ome["omero"]["channels"]:
        assert len(bytes.fromhex(channel["color"])) == 3
        assert set(channel["window"]) == {"min", "max", "start", "end"}
    return ome["multiscales"]


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5), (3, 300, 129)])
def test_ome_zarr_keeps_to_the_specification(tmp_path, shape):
    write_volume(tmp_path / "a.ome.zarr", volume(shape=shape))
    (multiscale,) = rules_of_ome_zarr(tmp_path / "a.ome.zarr")
    first = multiscale["datasets"][0]["coordinateTransformations"]
    np.testing.assert_allclose(first[0]["scale"][-3:], np.array(SPACING) * 1e6, rtol=1e-12)
    np.testing.assert_allclose(first[1]["translation"][-3:], np.array(ORIGIN) * 1e6, rtol=1e-12)


def test_coarser_levels_are_means_and_stay_in_place(tmp_path):
    z, y, x = np.meshgrid(*(np.arange(n) for n in (3, 300, 260)), indexing="ij")
    # A ramp: its mean over any block is its value at the block's centre.
    ramp = (10 * z + 2 * y + x).astype(np.float64)
    write_volume(tmp_path / "a.ome.zarr", Volume(ramp, (1e-6, 2e-6, 3e-6)))
    (multiscale,) = rules_of_ome_zarr(tmp_path / "a.ome.zarr")
    assert len(multiscale["datasets"]) == 3
    root = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    for level, dataset in enumerate(multiscale["datasets"]):
        array = np.asarray(root[dataset["path"]])
        scale, place = (np.array(t[t["type"]]) / (1, 2, 3) for t in dataset["coordinateTransformations"])
        np.testing.assert_allclose(scale, [1, 2**level, 2**level])
        assert array.shape == (3, -(-300 // 2**level), -(-260 // 2**level))
        at = [start + step * np.arange(n) for start, step, n in zip(place, scale, array.shape, strict=True)]
        zz, yy, xx = np.meshgrid(*at, indexing="ij")
        expected = 10 * zz + 2 * yy + xx
        np.testing.assert_allclose(array[:, :-1, :-1], expected[:, :-1, :-1], rtol=1e-12)


def test_whole_numbers_stay_in_their_range_in_coarser_levels(tmp_path):
    full = np.full((1, 128, 128), 255, np.uint8)
    write_volume(tmp_path / "a.ome.zarr", Volume(full, SPACING))
    coarse = np.asarray(zarr.open_group(tmp_path / "a.ome.zarr", mode="r")["1"])
    assert coarse.dtype == np.uint8
    assert (coarse == 255).all()


def test_ome_zarr_of_others(tmp_path):
    """An image with a channel, in nanometres, with a transformation of the whole multiscale."""
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    data = np.arange(24, dtype=np.uint16).reshape(1, 2, 3, 4)
    root.create_array("s0", data=data, dimension_names=("c", "z", "y", "x"))
    space = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    root.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": "c", "type": "channel"}, *space],
                "datasets": [
                    {
                        "path": "s0",
                        "coordinateTransformations": [{"type": "scale", "scale": [1, 100, 50, 25]}],
                    }
                ],
                "coordinateTransformations": [{"type": "scale", "scale": [1, 2, 2, 2]}],
            }
        ],
    }
    read = read_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(read.data, data[0])
    assert read.spacing == pytest.approx((200e-9, 100e-9, 50e-9))


def test_ome_tiff_says_its_size(tmp_path):
    write_volume(tmp_path / "a.ome.tiff", volume(shape=(2, 3, 4, 5), interval=0.5))
    with tifffile.TiffFile(tmp_path / "a.ome.tiff") as file:
        assert file.series[0].axes == "TZYX"
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    sizes = {axis: pixels[f"PhysicalSize{axis}"] for axis in "XYZ"}
    assert sizes == {"X": 0.12, "Y": 0.1, "Z": 0.25}
    assert (pixels["SizeT"], pixels["SizeZ"], pixels["SizeY"], pixels["SizeX"]) == (2, 3, 4, 5)
    assert pixels["TimeIncrement"] == 0.5


BAD = {
    "complex": ({"data": np.zeros((2, 2, 2), np.complex64)}, "write amplitude and phase"),
    "half": ({"data": np.zeros((2, 2, 2), np.float16)}, "found float16"),
    "flags": ({"data": np.zeros((2, 2, 2), bool)}, "found bool"),
    "a plane": ({"data": np.zeros((2, 2))}, r"found shape \(2, 2\)"),
    "channels": ({"data": np.zeros((1, 2, 3, 4, 5))}, r"found shape \(1, 2, 3, 4, 5\)"),
    "empty": ({"data": np.zeros((0, 2, 2))}, r"found shape \(0, 2, 2\)"),
    "no spacing": ({"spacing": (0.0, 1.0, 1.0)}, "spacing: expected three positive lengths"),
    "infinite spacing": ({"spacing": (np.inf, 1.0, 1.0)}, "spacing: expected three positive lengths"),
    "two spacings": ({"spacing": (1.0, 1.0)}, "spacing: expected three positive lengths"),
    "nowhere": ({"origin": (np.nan, 0.0, 0.0)}, "origin: expected three lengths"),
    "no interval": ({"interval": 0.0}, "interval: expected a positive time"),
    "two lines": ({"name": "a\nspace: right"}, "name: expected one line"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_what_is_no_volume_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Volume(**({"data": np.zeros((2, 3, 4)), "spacing": SPACING} | changes))


def test_oblique_axes_are_refused(tmp_path):
    turn = np.array([[np.cos(0.1), -np.sin(0.1), 0], [np.sin(0.1), np.cos(0.1), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 3, 4), np.float32), affine), tmp_path / "a.nii")
    header = {"space": "LPS", "space directions": turn, "space origin": np.zeros(3)}
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((2, 3, 4)), header)
    for name in ("a.nii", "a.nrrd"):
        with pytest.raises(ImageFileError, match=rf"{name}: .*found oblique ones"):
            read_volume(tmp_path / name)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_cannot_be_read_is_told_by_name(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    with pytest.raises(ImageFileError, match=rf"a\{ending}: there is no such"):
        read_volume(path)
    write_volume(path, volume())
    damaged = path / "zarr.json" if path.is_dir() else path
    whole = damaged.read_bytes()
    for wreck in (b"", b"nonsense", whole[: len(whole) // 2]):
        damaged.write_bytes(wreck)
        with pytest.raises(ImageFileError, match=rf"a\{ending}: "):
            read_volume(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_failed_writing_leaves_what_was_there(tmp_path, ending, monkeypatch):
    path = tmp_path / f"a{ending}"
    write_volume(path, volume())
    before = digest(path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_volume(path, volume(shape=(5, 4, 3)))
    assert digest(path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    folder = tmp_path / "a.ome.zarr"
    folder.mkdir()
    (folder / "thesis.doc").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.doc"):
        write_volume(folder, volume())
    assert [path.name for path in folder.iterdir()] == ["thesis.doc"]


def test_a_side_that_nifti_cannot_count_is_refused(tmp_path):
    with pytest.raises(ValueError, match="32767 voxels"):
        write_volume(tmp_path / "a.nii", Volume(np.zeros((1, 1, 32768), np.uint8), SPACING))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png", "a", ".nrrd", "nrrd", "a.tiff", "a.nhdr"])
def test_an_ending_that_says_no_format_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="expected"):
        write_volume(tmp_path / name, volume())
    assert list(tmp_path.iterdir()) == []


def test_endings_are_read_in_any_case():
    assert ending("A.NII.GZ") == ".nii.gz"
    assert ending("b.Ome.Zarr") == ".ome.zarr"

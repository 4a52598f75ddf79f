"""`nixel deconvolve` as a person meets it: what was blurred is found again, or one paragraph and nothing changed."""

import json

import numpy as np
import pytest
import tifffile
from files_to_files import assert_refused, everything, nixel, nixel_process
from scipy.signal import fftconvolve

from nixel.acquisition.formats.images import write_png
from nixel.acquisition.formats.volumes import Volume, read_volume, write_volume

STEP = (0.3e-6, 0.1e-6, 0.1e-6)
POINTS = ((6, 10, 12), (6, 10, 18), (3, 22, 9))
LIGHT = 4000.0  # counts of each point


@pytest.fixture(scope="module")
def blurred(tmp_path_factory):
    """Three points seen through a Gaussian blur over an offset of 100 counts; the blur."""
    folder = tmp_path_factory.mktemp("blurred")
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in (5, 11, 11)), indexing="ij")
    blur = np.exp(-(z**2 / 2 + (x**2 + y**2) / (2 * 2.0**2)))
    truth = np.zeros((12, 32, 30))
    for point in POINTS:
        truth[point] = LIGHT
    counts = 100 + np.clip(fftconvolve(truth, blur / blur.sum(), mode="same"), 0, None)
    write_volume(folder / "image.nrrd", Volume(counts.astype(np.float32), STEP, (1e-3, 2e-3, 3e-3), "Beads"))
    write_volume(folder / "psf.nii", Volume(blur.astype(np.float32), STEP))
    write_volume(folder / "counts.ome.tiff", Volume(np.rint(counts).astype(np.uint16), STEP))
    write_volume(folder / "frames.nrrd", Volume(np.stack([counts, 2 * counts]).astype(np.float32), STEP))
    return folder


def light_at(volume, point):
    """Counts within a voxel of a point."""
    return volume[tuple(slice(i - 1, i + 2) for i in point)].sum()


def test_points_come_back_with_their_light(blurred, tmp_path):
    words = ("--background=100", "--iterations=60", "--acceleration", f"--out={tmp_path / 'sharp.ome.zarr'}")
    done = nixel_process("deconvolve", blurred / "image.nrrd", f"--psf={blurred / 'psf.nii'}", *words)
    assert done.returncode == 0, done.stderr
    assert "deconvolve: steps" in done.stderr
    image, sharp = read_volume(blurred / "image.nrrd").data, read_volume(tmp_path / "sharp.ome.zarr")
    for point in POINTS:
        assert light_at(sharp.data, point) == pytest.approx(LIGHT, rel=0.05)
        assert sharp.data[point] > 5 * (image[point] - 100)
    assert sharp.data.min() >= 0
    # It lies where the image lies.
    assert sharp.spacing == pytest.approx(STEP)
    assert sharp.origin == pytest.approx((1e-3, 2e-3, 3e-3))
    record = json.loads((tmp_path / "sharp.ome.zarr.json").read_text())
    assert set(record["inputs"]) == {"image", "psf"}
    assert record["parameters"]["iterations"] == 60
    assert record["parameters"]["background"] == 100


def test_counts_of_a_camera_and_the_linear_filter(blurred, tmp_path):
    words = (
        "--method=wiener",
        "--noise-to-signal=1e-4",
        "--boundary=periodic",
        "--background=100",
        f"--out={tmp_path / 'sharp.nrrd'}",
    )
    done = nixel("deconvolve", blurred / "counts.ome.tiff", f"--psf={blurred / 'psf.nii'}", *words)
    assert done.returncode == 0, done.stderr
    sharp = read_volume(tmp_path / "sharp.nrrd").data
    # The two points 6 voxels apart, of which the image shows one blob, are two; and the mean is kept.
    row = sharp[6, 10]
    assert min(row[12], row[18]) > 3 * row[15]
    counts = read_volume(blurred / "counts.ome.tiff").data
    assert sharp.mean() == pytest.approx(counts.mean() - 100, rel=1e-3)


def test_every_frame_by_itself(blurred, tmp_path):
    words = ("--iterations=5", f"--out={tmp_path / 'sharp.nrrd'}")
    done = nixel("deconvolve", blurred / "frames.nrrd", f"--psf={blurred / 'psf.nii'}", *words)
    assert done.returncode == 0, done.stderr
    frames = read_volume(tmp_path / "sharp.nrrd").data
    assert frames.shape == (2, 12, 32, 30)
    done = nixel(
        "deconvolve",
        blurred / "frames.nrrd",
        f"--psf={blurred / 'psf.nii'}",
        "--iterations=5",
        "--cluster=local:1",
        f"--out={tmp_path / 'cluster.nrrd'}",
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_volume(tmp_path / "cluster.nrrd").data, frames)
    # Twice the light, twice the object.
    np.testing.assert_allclose(frames[1], 2 * frames[0], rtol=1e-4)


def test_a_plain_image_with_its_spacing(blurred, tmp_path):
    psf = read_volume(blurred / "psf.nii").data[2:3]
    write_volume(tmp_path / "psf.nrrd", Volume(psf, STEP))
    write_png(tmp_path / "image.png", np.full((32, 32), 50, np.uint8))
    words = ("--psf=psf.nrrd", "--out=sharp.nrrd", "--iterations=3")
    done = nixel("deconvolve", "image.png", *words, "--spacing=0.3um,0.1um", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    sharp = read_volume(tmp_path / "sharp.nrrd")
    assert sharp.data.shape == (1, 32, 32)
    assert sharp.spacing == pytest.approx(STEP)
    assert_refused(nixel("deconvolve", "image.png", *words, folder=tmp_path), "say it with --spacing")


BAD = {
    "no image": (["nowhere.nrrd"], "nowhere.nrrd: there is no such file"),
    "no plain image": (["nowhere.tif"], "nowhere.tif: there is no such file"),
    "a background above all": (["image.nrrd", "--background=1e9"], "nothing of the object would be left"),
    "no volume": (["text.nrrd"], "text.nrrd: expected a whole NRRD file"),
    "a plain stack": (["stack.tif", "--spacing=1um,1um"], "stack.tif: expected one image, found 3 pages"),
    "no psf": (["image.nrrd", "--psf=nowhere.nii"], "nowhere.nii: there is no such file"),
    "a psf of another spacing": (["image.nrrd", "--psf=coarse.nrrd"], "expected the spacing of image.nrrd"),
    "a psf of frames": (["image.nrrd", "--psf=image4.nrrd"], "expected one volume, found 2 frames"),
    "a psf that is larger": (["psf.nii", "--psf=image.nrrd"], "psf"),
    "a spacing twice": (["image.nrrd", "--spacing=1um,1um"], "says itself how large its voxels are"),
    "no method": (["image.nrrd", "--method=magic"], "--method: found"),
    "steps of a filter": (
        ["image.nrrd", "--method=wiener", "--iterations=5"],
        "--iterations is of --method richardson-lucy",
    ),
    "noise of steps": (["image.nrrd", "--noise-to-signal=0.1"], "--noise-to-signal is of --method wiener"),
    "no cluster": (["frames.nrrd", "--cluster=many"], "--cluster: found"),
    "no boundary": (["image.nrrd", "--boundary=reflect"], "--boundary: found"),
    "no noise": (["image.nrrd", "--method=wiener", "--noise-to-signal=0"], "noise_to_signal"),
    "too much regularisation": (["image.nrrd", "--regularisation=3"], "regularisation"),
    "a negative background": (["image.nrrd", "--background=-5"], "background"),
    "itself": (["image.nrrd", "--out=image.nrrd"], "this is what is read"),
    "no format": (["image.nrrd", "--out=sharp.jpg"], "--out: expected a name that ends in"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_input_changes_nothing(blurred, tmp_path, words, message):
    for path in blurred.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "text.nrrd").write_text("a letter home")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    write_volume(tmp_path / "coarse.nrrd", Volume(np.ones((3, 3, 3), np.float32), (0.3e-6, 0.2e-6, 0.1e-6)))
    write_volume(tmp_path / "image4.nrrd", Volume(np.ones((2, 3, 3, 3), np.float32), STEP))
    before = everything(tmp_path)
    done = nixel("deconvolve", "--psf=psf.nii", "--out=sharp.nrrd", *words, folder=tmp_path)
    assert_refused(done, message)
    assert everything(tmp_path) == before

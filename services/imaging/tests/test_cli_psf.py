"""`nixel psf` as a person meets it."""

import hashlib
import json

import numpy as np
import pytest
from files_to_files import assert_refused, everything, nixel, nixel_process

from nixel.acquisition.formats.images import read_image
from nixel.acquisition.formats.volumes import read_volume

OIL = ("--na=1.4", "--wavelength=610nm", "--sample-index=1.515", "--shape=5x33x33", "--spacing=0.25um,0.1um")


def test_a_point_spread_function_a_picture_and_a_record(tmp_path):
    done = nixel("psf", *OIL, "--precision=float64", "--out=psf.nrrd", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["psf.nrrd", "psf.nrrd.png", "psf.nrrd.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(done.stdout.split())
    volume = read_volume(tmp_path / "psf.nrrd")
    assert volume.spacing == pytest.approx((0.25e-6, 0.1e-6, 0.1e-6))
    assert volume.data.dtype == np.float64
    # Nothing aberrates: in focus it is Airy's pattern, dark at the first zero of J1, symmetric about the middle.
    assert volume.data[2, 16, 16] == volume.data.max() == 1
    from scipy.special import j1

    v = 2 * np.pi * 1.4 / 610e-9 * np.hypot(0.1e-6 * 3, 0.1e-6 * 4)
    assert volume.data[2, 19, 20] == pytest.approx((2 * j1(v) / v) ** 2, abs=1e-10)
    np.testing.assert_array_equal(volume.data, volume.data[:, ::-1, ::-1])

    record = json.loads((tmp_path / "psf.nrrd.json").read_text())
    for name in ("psf.nrrd", "psf.nrrd.png"):
        assert record["outputs"][name] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    microscope = record["parameters"]["microscope"]
    assert microscope["wavelength"] == pytest.approx(610e-9)
    assert microscope["coverslip_thickness_design"] == pytest.approx(170e-6)
    # The brightest of the picture is the particle: in the middle of the panel seen along z.
    picture = read_image(tmp_path / "psf.nrrd.png").sum(axis=2).astype(int)
    y, x = np.unravel_index(picture[34:-44, 16 : 16 + 512].argmax(), (picture.shape[0] - 78, 512))
    assert abs(y - 256) <= 16
    assert abs(x - 256) <= 16


@pytest.mark.parametrize("ending", [".ome.zarr", ".ome.tiff", ".nii.gz"])
def test_the_ending_chooses_the_format_and_twice_gives_the_same_bytes(tmp_path, ending):
    out = f"psf{ending}"
    for folder, run in (("a", nixel), ("b", nixel_process)):
        (tmp_path / folder).mkdir()
        assert run("psf", *OIL, f"--out={out}", folder=tmp_path / folder).returncode == 0
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    assert read_volume(tmp_path / "a" / out).data.shape == (5, 33, 33)
    # Again, over what is there.
    assert nixel("psf", *OIL, f"--out={out}", folder=tmp_path / "a").returncode == 0
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_models(tmp_path):
    found = {}
    for name, more in {
        "scalar": (),
        "series": ("--method=series",),
        "vectorial": ("--model=vectorial",),
        "confocal": ("--model=confocal", "--excitation=488nm", "--pinhole=0.1um"),
        "confocal-vectorial": ("--model=confocal-vectorial", "--excitation=488nm", "--polarisation=x"),
    }.items():
        done = nixel("psf", *OIL, "--depth=2um", *more, f"--out={name}.nrrd", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        found[name] = read_volume(tmp_path / f"{name}.nrrd").data
    # A point is at least as sharp in a confocal microscope, and blunter where light is a vector.
    width = {name: (data[2, 16] > data[2, 16].max() / 2).sum() for name, data in found.items()}
    assert width["confocal"] <= width["scalar"] <= width["vectorial"]
    # Polarised along x, the spot of the illumination is longer along x.
    middle = found["confocal-vectorial"][2]
    assert middle[16, 19] > 1.05 * middle[19, 16]
    assert np.abs(found["series"] - found["scalar"]).max() < 5e-4
    assert np.abs(found["vectorial"] - found["scalar"]).max() > 1e-2


def test_pixels_take_their_mean(tmp_path):
    # Airy's pattern on pixels of 0.1 um, and five times finer; the mean of 5 x 5 of these is what a pixel sees.
    light = ("--na=1.4", "--wavelength=610nm", "--sample-index=1.515", "--precision=float64")
    for name, words in {
        "coarse": ("--shape=1x9x9", "--spacing=0.25um,0.1um", "--pixel-integrated"),
        "fine": ("--shape=1x45x45", "--spacing=0.25um,0.02um"),
    }.items():
        assert nixel("psf", *light, *words, f"--out={name}.nrrd", folder=tmp_path).returncode == 0
    coarse, fine = (read_volume(tmp_path / f"{name}.nrrd").data[0] for name in ("coarse", "fine"))
    means = fine.reshape(9, 5, 9, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse, means / means.max(), atol=5e-3)
    assert np.abs(coarse - fine[2::5, 2::5]).max() > 2e-2


BAD = {
    "a bare wavelength": (["--wavelength=610"], "--wavelength: found the bare number '610'"),
    "a bare spacing": (["--spacing=0.25,0.1"], "--spacing: found the bare number '0.25'"),
    "one step": (["--spacing=0.1um"], "--spacing: found"),
    "two sizes": (["--shape=33x33"], "--shape: found"),
    "no size": (["--shape=0x33x33"], "--shape: found"),
    "no aperture": (["--na=-1"], "numerical_aperture: expected a positive number"),
    "no index": (["--sample-index=nan"], "sample_index: expected a"),
    "above the coverslip": (["--depth=-2um"], "particle_depth"),
    "a model of another world": (["--model=magic"], "--model: found"),
    "a confocal without light": (["--model=confocal"], "--excitation"),
    "light for nothing": (["--excitation=488nm"], "--excitation is of --model confocal"),
    "a pinhole for nothing": (["--pinhole=0.1um"], "--pinhole is of --model confocal"),
    "no polarisation": (["--model=vectorial", "--polarisation=up"], "--polarisation: found"),
    "a polarised number": (["--polarisation=x"], "of the vectorial models"),
    "a series of vectors": (["--model=vectorial", "--method=series"], "--method series"),
    "no format": (["--out=psf.png"], "--out: expected a name that ends in"),
    "no folder": (["--out=nowhere/psf.nrrd"], "does not exist; make it first"),
    "a folder": (["--out=folder.nrrd"], "found a folder of that name"),
    "a file": (["--out=file.ome.zarr"], "found a file of that name"),
    "others' things": (["--out=full.ome.zarr"], "thesis.doc"),
    "an option that is none": (["--colour=red"], "--colour"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_input_changes_nothing(tmp_path, words, message):
    (tmp_path / "folder.nrrd").mkdir()
    (tmp_path / "file.ome.zarr").write_text("mine")
    (tmp_path / "full.ome.zarr").mkdir()
    (tmp_path / "full.ome.zarr" / "thesis.doc").write_text("mine")
    before = everything(tmp_path)
    done = nixel("psf", *OIL, "--out=psf.nrrd", *words, folder=tmp_path)
    assert_refused(done, message)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(("planes", "noted"), [(9, True), (41, False)])
def test_a_focus_at_the_edge_of_the_volume_is_noted(tmp_path, planes, noted):
    # Of a particle 2 um behind the coverslip, in water under oil, the focus is some 2 um before the nominal one.
    words = (
        "--na=1.4",
        "--wavelength=610nm",
        f"--shape={planes}x9x9",
        "--spacing=0.25um,0.1um",
        "--depth=2um",
    )
    done = nixel("psf", *words, "--out=psf.nrrd", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("note: the brightest plane is number 1 of 9" in done.stderr) == noted


def test_help_is_there_at_once_without_the_libraries_that_compute(tmp_path):
    heavy = (
        "numpy",
        "scipy",
        "dask",
        "distributed",
        "torch",
        "zarr",
        "nibabel",
        "nrrd",
        "h5py",
        "tifffile",
        "PIL",
    )
    code = f"import sys, nixel.imaging.cli; print([name for name in {heavy!r} if name in sys.modules])"
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

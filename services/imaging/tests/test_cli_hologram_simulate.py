"""`nixel hologram simulate`: frames that `nixel hologram` makes the simulated sample of again."""

import json

import numpy as np
import pytest
from files_to_files import assert_refused, everything, nixel

from nixel.acquisition.formats.images import read_image
from nixel.acquisition.formats.volumes import read_volume
from nixel.physics.sensor import imx219

COMMON = ("--background=background.png", "--dark=dark.png", "--pixel-size=1.12um", "--wavelength=532nm")
SMALL = ("--shape=128x160",)


def field(folder, ending="ome.tiff"):
    return [read_volume(folder / f"{name}.{ending}").data[0] for name in ("amplitude", "phase")]


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def test_what_was_simulated_is_found_and_reconstructed(tmp_path):
    words = ("--sample=disc", "--absorption=0.7", "--distance=300um", "--sensor=monochrome")
    done = nixel("hologram", "simulate", *SMALL, *words, "--out=made", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "hologram: exposing" in done.stderr
    assert sorted(done.stdout.split()) == sorted(f"made/{p.name}" for p in (tmp_path / "made").iterdir())
    made = tmp_path / "made"
    more = ("--steady", "--method=total-variation", "--sample=absorbing", "--out=../found")
    done = nixel("hologram", "hologram.png", *COMMON, *more, folder=made)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "found" / "record.json").read_text())
    assert record["simulated"] is True
    assert record["distance"]["value"] == pytest.approx(300e-6, abs=5e-6)
    assert correlation(field(tmp_path / "found")[0], field(made)[0]) > 0.98


def test_several_heights_on_the_colour_sensor(tmp_path):
    far = (300, 400, 500, 600)
    words = ("--phase=1", *(f"--distance={each}um" for each in far), "--format=nrrd", "--out=made")
    assert nixel("hologram", "simulate", *SMALL, *words, folder=tmp_path).returncode == 0
    others = [f"--height=hologram-{number}.png@{each}um" for number, each in enumerate(far[1:], 2)]
    more = ("--distance=300um", "--steady", *others, "--format=nrrd", "--out=../found")
    done = nixel("hologram", "hologram.png", *COMMON, *more, folder=tmp_path / "made")
    assert done.returncode == 0, done.stderr
    for found, true in zip(field(tmp_path / "found", "nrrd"), field(tmp_path / "made", "nrrd"), strict=True):
        assert correlation(found, true) > 0.8


def test_shifted_frames_show_the_shift(tmp_path):
    words = ("--sensor=ideal", "--distance=100um", "--sample=bump", "--phase=2", "--absorption=0")
    done = nixel("hologram", "simulate", *words, "--shift=3,-5", "--out=made", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (
        read_image(tmp_path / "made" / f"{name}.png").astype(float) for name in ("hologram", "shifted-2")
    )
    # What the first shows at (y, x) + shift, the second shows at (y, x), to rounding.
    np.testing.assert_allclose(second[:-3, 5:], first[3:, :-5], atol=2)
    assert np.abs(second - first).max() > 1000


def test_the_sensor_is_the_model(tmp_path):
    done = nixel("hologram", "simulate", "--absorption=0", "--exposure=0.5", "--out=made", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    frame, light, dark = (
        read_image(tmp_path / "made" / f"{name}.png").astype(float)
        for name in ("hologram", "background", "dark")
    )
    sensor = imx219(532e-9)
    assert frame.max() <= 1023
    assert dark.mean() == pytest.approx(64, abs=0.2)
    for colour in "RGB":
        (green, *_), (seen, *_) = (sensor.bayer.planes(values, colour) for values in (light, frame))
        part = sensor.efficiency(colour) / sensor.efficiency("G")
        assert green.mean() - 64 == pytest.approx(0.5 * (1023 - 64) * part, rel=0.01)
        # Nothing stands in the light: what differs from the mean of 16 is the noise of one frame and a 16th of it.
        variance = sensor.variance(
            (green.mean() - 64) / sensor.gain / sensor.efficiency(colour), colour=colour
        )
        assert np.var(seen - green) == pytest.approx(variance * 17 / 16, rel=0.06)


def test_twice_the_same_is_the_same_to_the_byte(tmp_path):
    for name in ("one", "two"):
        words = (*SMALL, f"--out={name}", f"--workers={1 + (name == 'two')}")
        assert nixel("hologram", "simulate", *words, folder=tmp_path).returncode == 0
    assert everything(tmp_path / "one") == everything(tmp_path / "two")
    # Another takes its place, with the files of the first gone.
    words = (*SMALL, "--sensor=ideal", "--seed=3", "--format=ome.zarr", "--out=one")
    assert nixel("hologram", "simulate", *words, folder=tmp_path).returncode == 0
    assert not (tmp_path / "one" / "amplitude.ome.tiff").exists()
    record = json.loads((tmp_path / "one" / "record.json").read_text())
    assert record["simulated"] is True
    assert record["parameters"]["seed"] == 3


BAD = {
    "a bare distance": (["--distance=5"], "--distance: found the bare number '5'"),
    "a distance too far": (["--distance=5m"], "too far for this hologram"),
    "a distance twice": (["--distance=1mm", "--distance=1000um"], "expected heights that differ"),
    "a small frame": (["--shape=5x5"], '--shape: found "5x5"'),
    "no shape": (["--shape=256"], '--shape: found "256"'),
    "no sensor": (["--sensor=ccd"], '--sensor: found "ccd"'),
    "no sample": (["--sample=gold"], '--sample: found "gold"'),
    "no format": (["--format=gif"], "--format: found"),
    "half a shift": (["--shift=1"], '--shift: found "1"'),
    "an endless shift": (["--shift=1,inf"], "--shift: expected a finite number"),
    "shifts and heights": (["--distance=1mm", "--distance=2mm", "--shift=0.5,0"], "leave out either"),
    "light that the sensor does not know": (["--wavelength=900nm"], "wavelength: expected 400e-9 to 700e-9"),
    "no delay": (["--phase=nan"], "--phase: expected a finite number"),
    "no size": (["--size=-1um"], "--size: found"),
    "an index below one": (["--medium-index=0.5"], "refractive index between 1"),
    "a folder of others": (["--out=others"], "others holds other things already (thesis.doc)"),
    "a folder in none": (["--out=nowhere/made"], "does not exist; make it first"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_input_changes_nothing(tmp_path, words, message):
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "thesis.doc").write_text("mine")
    before = everything(tmp_path)
    assert_refused(nixel("hologram", "simulate", "--out=made", *words, folder=tmp_path), message)
    assert everything(tmp_path) == before

"""`nixel hologram` as a person meets it: the whole result, or one paragraph and nothing changed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from files_to_files import everything, nixel, nixel_process

from nixel.acquisition.formats.images import read_image, write_png
from nixel.physics.optics import propagate

FILES = ["amplitude.ome.tiff", "focus.csv", "focus.png", "phase.ome.tiff", "picture.png", "record.json"]
DISTANCE, PIXEL, N = 12e-6, 170e-9, 128


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """An absorbing disc in uneven light, as 8-bit counts over a dark level: hologram, background, dark."""
    folder = tmp_path_factory.mktemp("frames")
    axis = (np.arange(2 * N) - N) * PIXEL
    # The disc sits 10 pixels below and 20 right of the window's pixel (64, 64).
    r = np.hypot(axis[:, None] - 10 * PIXEL, axis[None, :] - 20 * PIXEL)
    disc = np.clip((0.6e-6 - r) / PIXEL + 0.5, 0, 1)
    field = 1 + propagate(-0.8 * disc, DISTANCE, wavelength=660e-9, pixel_size=PIXEL, medium_index=1.33)
    inside = slice(N // 2, -N // 2)
    light = 100 + 40 * np.linspace(-1, 1, N)[None, :] * np.ones((N, 1))
    noise = np.random.default_rng(1).standard_normal((2, N, N))
    counts = (
        light * np.abs(field[inside, inside]) ** 2 + 8 + noise[0],
        light + 8 + noise[1],
        np.full((N, N), 8.0),
    )
    for name, values in zip(("hologram", "background", "dark"), counts, strict=True):
        write_png(folder / f"{name}.png", np.clip(np.rint(values), 0, 255).astype(np.uint8))
    return folder


def arguments(frames, out, **changes):
    options = {
        "image": frames / "hologram.png",
        "background": frames / "background.png",
        "dark": frames / "dark.png",
        "pixel-size": "0.17um",
        "wavelength": "660nm",
        "medium-index": "1.33",
        "distance": "auto",
        "out": out,
    } | {key.replace("_", "-"): value for key, value in changes.items()}
    image = options.pop("image")
    named = [f"--{key}={value}" for key, value in options.items() if value is not None]
    return ["hologram", str(image), *named]


def run(frames, out, **changes):
    return nixel(*arguments(frames, out, **changes))


def test_a_hologram_becomes_pictures_and_a_record(frames, tmp_path):
    done = run(frames, tmp_path / "out")
    assert done.returncode == 0
    # Off a terminal, progress is a line for each stage.
    assert all(line.startswith("  hologram: finding the ") for line in done.stderr.splitlines())
    assert "µm ±" in done.stdout
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == FILES
    record = json.loads((out / "record.json").read_text())

    distance = record["distance"]
    assert distance["unit"] == "m"
    assert abs(distance["value"] - DISTANCE) < 3 * distance["uncertainty"] < 1e-6
    for name in ("hologram", "background", "dark"):
        assert (
            record["inputs"][name]["sha256"]
            == hashlib.sha256((frames / f"{name}.png").read_bytes()).hexdigest()
        )
    assert record["parameters"]["wavelength"] == {"value": pytest.approx(660e-9), "unit": "m", "in": "vacuum"}
    assert record["parameters"]["pixel_size"] == {"value": pytest.approx(170e-9), "unit": "m"}
    for name in FILES[:-1]:
        assert record["outputs"][name] == hashlib.sha256((out / name).read_bytes()).hexdigest()

    # The disc is where it was put: dark in the amplitude, which elsewhere is about 1, the light alone.
    with tifffile.TiffFile(out / "amplitude.ome.tiff") as file:
        amplitude = file.asarray()
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert pixels["PhysicalSizeX"] == 0.17
    assert np.median(amplitude) == pytest.approx(1, abs=0.05)
    assert amplitude[73:76, 83:86].mean() < 0.5
    # The curve that was searched has its highest point at the distance, to a step of it.
    curve = np.loadtxt(out / "focus.csv", delimiter=",", skiprows=1)
    assert curve[curve[:, 1].argmax(), 0] == pytest.approx(DISTANCE, abs=np.diff(curve[:, 0]).max())
    phase = tifffile.imread(out / "phase.ome.tiff")
    assert phase.shape == (N, N)
    assert np.abs(phase).max() <= np.pi

    # Two panels of 3 x 128 pixels; the left one shows the disc in its darkest tones.
    picture = read_image(out / "picture.png")
    assert picture.shape[1] > 2 * 3 * N
    panel = picture[34 : 34 + 3 * N, 16 : 16 + 3 * N, 0]
    assert panel[3 * 73 : 3 * 76, 3 * 83 : 3 * 86].mean() < np.median(panel) - 60


def test_twice_the_same_is_the_same_to_the_byte(frames, tmp_path):
    # The second time by a process of its own, as a person would.
    assert run(frames, tmp_path / "first").returncode == 0
    assert nixel_process(*arguments(frames, tmp_path / "second")).returncode == 0
    assert everything(tmp_path / "first") == everything(tmp_path / "second")
    before = everything(tmp_path / "first")
    assert run(frames, tmp_path / "first").returncode == 0
    assert everything(tmp_path / "first") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_a_given_distance_is_used(frames, tmp_path):
    done = run(frames, tmp_path / "out", distance="12 um", dark=None)
    assert done.returncode == 0
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["distance"]["value"] == pytest.approx(12e-6)
    assert record["distance"]["uncertainty"] is None
    assert "dark" not in record["inputs"]


def test_the_range_of_the_search_is_kept(frames, tmp_path):
    done = run(frames, tmp_path / "out", distance_range="8um:20um")
    assert done.returncode == 0
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["distance"]["searched"] == [pytest.approx(8e-6), pytest.approx(20e-6)]
    assert record["distance"]["value"] == pytest.approx(DISTANCE, abs=0.5e-6)


BAD = {
    "a missing hologram": ({"image": "nowhere.png"}, "nowhere.png: there is no such file"),
    "a missing background": ({"background": "nowhere.png"}, "nowhere.png: there is no such file"),
    "a missing dark frame": ({"dark": "nowhere.png"}, "nowhere.png: there is no such file"),
    "no image": ({"image": "text.png"}, "text.png: this is not an image"),
    "an empty image": ({"image": "empty.png"}, "empty.png: the file is empty"),
    "half an image": ({"image": "half.png"}, "half.png: the image is truncated or damaged"),
    "half a TIFF": ({"image": "half.tif"}, "half.tif: the image is truncated or damaged"),
    "a colour image": ({"image": "colour.png"}, "colour.png: expected a grey image"),
    "a small background": ({"background": "small.png"}, "background is 64 x 128 pixels"),
    "a small dark frame": ({"dark": "small.png"}, "dark frame is 64 x 128 pixels"),
    "a black background": ({"background": "black.png", "dark": None}, "brighter than the dark frame"),
    "nothing to see": ({"image": "background.png"}, "nothing to focus on"),
    "a bare pixel size": ({"pixel_size": "0.17"}, "--pixel-size: found the bare number '0.17'"),
    "a bare wavelength": ({"wavelength": "660"}, "--wavelength: found the bare number '660'"),
    "a bare distance": ({"distance": "17"}, "--distance: found the bare number '17'"),
    "a heavy wavelength": ({"wavelength": "3kg"}, "--wavelength: found '3kg', which is of another kind"),
    "an unknown unit": ({"wavelength": "3 blorg"}, "--wavelength: found '3 blorg'"),
    "a negative pixel": ({"pixel_size": "-1um"}, '--pixel-size: found "-1um"; expected a length above zero'),
    "a negative distance": ({"distance": "-5um"}, '--distance: found "-5um"; expected a length above zero'),
    "no distance": ({"distance": "0um"}, "expected a length above zero"),
    "a distance in parsecs": ({"distance": "3 parsec"}, "too far for this hologram"),
    "half a range": ({"distance_range": "5um"}, "expected two lengths"),
    "a bare range": ({"distance_range": "5:40um"}, "found the bare number '5'"),
    "a range backwards": ({"distance_range": "40um:5um"}, "expected the nearer distance first"),
    "a range too far": ({"distance_range": "5um:4m"}, "too far for this hologram"),
    "a range and a distance": ({"distance": "5um", "distance_range": "5um:9um"}, "leave one out"),
    "an index in words": ({"medium_index": "water"}, '--medium-index: found "water"'),
    "an index below one": ({"medium_index": "0.5"}, "refractive index between 1"),
    "an index that is no number": ({"medium_index": "nan"}, "refractive index between 1"),
    "an option that is none": ({"colour": "red"}, "--colour"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_paragraph_and_changes_nothing(frames, tmp_path, changes, message):
    for frame in frames.iterdir():
        (tmp_path / frame.name).write_bytes(frame.read_bytes())
    whole = (tmp_path / "hologram.png").read_bytes()
    (tmp_path / "text.png").write_text("a letter home")
    (tmp_path / "empty.png").touch()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    tifffile.imwrite(tmp_path / "half.tif", np.zeros((64, 64), np.uint16))
    (tmp_path / "half.tif").write_bytes((tmp_path / "half.tif").read_bytes()[:2000])
    write_png(tmp_path / "small.png", np.full((64, 128), 90, np.uint8))
    write_png(tmp_path / "black.png", np.zeros((N, N), np.uint8))
    write_png(tmp_path / "colour.png", np.random.default_rng(1).integers(0, 255, (N, N, 3), np.uint8))
    changes = {
        key: tmp_path / value if key in ("image", "background", "dark") and value else value
        for key, value in changes.items()
    }
    before = everything(tmp_path)
    done = run(tmp_path, tmp_path / "out", **changes)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if "colour" not in changes:
        assert done.stderr.startswith("nixel: ")
        assert done.stderr.count("\n") == 1
    assert everything(tmp_path) == before


def test_a_folder_with_other_things_is_left_alone(frames, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("mine")
    before = everything(tmp_path)
    done = run(frames, tmp_path / "out", distance="12um")
    assert done.returncode == 2
    assert "thesis.doc" in done.stderr
    assert "Traceback" not in done.stderr
    assert everything(tmp_path) == before


@pytest.mark.parametrize("where", ["a file", "below a file", "below nothing", "here"])
def test_a_folder_that_cannot_be_is_refused(frames, tmp_path, where):
    (tmp_path / "file").write_text("mine")
    out = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "out",
        "below nothing": tmp_path / "nowhere" / "out",
        "here": Path.cwd(),
    }[where]
    before = everything(tmp_path)
    done = run(frames, out, distance="12um")
    assert done.returncode == 2
    assert done.stderr.startswith("nixel: --out ")
    assert "Traceback" not in done.stderr
    assert everything(tmp_path) == before


def test_a_read_only_folder_is_refused(frames, tmp_path):
    # The kernel's own tree refuses new folders to everyone, the superuser included.
    done = run(frames, Path("/proc/nixel-out"), distance="12um")
    assert done.returncode == 2
    assert done.stderr.startswith("nixel: --out ")
    assert "Traceback" not in done.stderr


def test_an_interrupted_command_leaves_nothing(frames, tmp_path):
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "nixel.imaging", *arguments(frames, tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    time.sleep(0.9)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left in ([], ["out"])
    if left:
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES


def test_the_help_names_the_units():
    done = nixel_process("hologram", "--help", COLUMNS="120")
    assert done.returncode == 0
    for text in ("--pixel-size", "0.0851um", "660nm", "auto|17um", "5um:40um"):
        assert text in done.stdout


def test_a_measured_sphere_is_found(tmp_path):
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    data = Path(os.environ.get("NIXEL_SHARED_DATA", beside))
    if not (data / "image01.jpg").is_file():
        pytest.skip(f"the measured sphere hologram is not in {data}; name its folder in NIXEL_SHARED_DATA")
    done = run(
        data,
        tmp_path / "out",
        image=data / "image01.jpg",
        background=data / "bg01.jpg",
        dark=data / "df01.jpg",
        pixel_size="0.0851um",
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert 15e-6 < record["distance"]["value"] < 19e-6
    point = record["brightest_point"]
    assert 15e-6 < point["z"] < 19e-6
    # Published as (24, 22) um in the order rows, columns; here y runs along the rows.
    assert point["y"] == pytest.approx(24e-6, abs=1e-6)
    assert point["x"] == pytest.approx(22e-6, abs=1e-6)

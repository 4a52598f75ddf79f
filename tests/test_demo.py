"""The main job as a new user runs it: `nixel demo --once`, twice, and `nixel reproduce`."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from nixel.physics.grid import Grid
from nixel.physics.phantoms import phantom


def nixel(*arguments, timeout=240):
    return subprocess.run(
        [sys.executable, "-m", "nixel.imaging", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    """Three folders: two demonstrations with one seed, one with another."""
    made = {}
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        folder = tmp_path_factory.mktemp("demo") / name
        done = nixel("demo", "--once", "--port", 0, "--data", folder, "--seed", seed)
        assert done.returncode == 0, done.stderr
        made[name] = (folder, done)
    return made


def hashes(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".mdf", ".png")
    }


def test_it_says_where_the_picture_is_and_how_far_it_is(demos):
    folder, done = demos["first"]
    picture = re.search(r"^ *picture +(\S+)$", done.stdout, re.MULTILINE).group(1)
    assert Path(picture).is_file()
    assert Path(picture).is_relative_to(folder)
    assert re.search(r"^ *page +http://127\.0\.0\.1:\d+/", done.stdout, re.MULTILINE)
    for stage in ("calibration: positions", "scan: frames", "scan: reconstructing"):
        assert stage in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_picture_shows_the_phantom(demos):
    """Pearson correlation, over all voxels, of the picture with the phantom averaged over each voxel.

    The picture is read from its file with h5py alone; voxels are stored x fastest. The phantom is the analytic one,
    and the virtual scanner simulates it on a grid of its own, finer than the picture's and not a multiple of it.
    """
    folder, done = demos["first"]
    with h5py.File(folder / "pictures" / "run-000002.mdf") as file:
        nx, ny, _ = file["/reconstruction/size"][()]
        fx, fy, _ = file["/reconstruction/fieldOfView"][()]
        picture = file["/reconstruction/data"][()].mean(axis=0)[:, 0].reshape(ny, nx)
        assert file["/experiment/isSimulation"][()] == 1
    truth = phantom("stenosis").rasterise(Grid((int(ny), int(nx)), (fy, fx)), oversampling=16)
    correlation = np.corrcoef(picture.ravel(), truth.ravel())[0, 1]
    assert correlation >= 0.9
    told = float(re.search(r"correlation ([\d.]+)", done.stdout).group(1))
    assert told == pytest.approx(correlation, abs=2e-3)
    # Concentrations are in mol(Fe)/m^3: what is inside the vessel has the phantom's 100.
    assert np.median(picture[truth > 99]) == pytest.approx(100, rel=0.15)


def test_the_preview_is_the_picture(demos):
    folder, _ = demos["first"]
    with h5py.File(folder / "pictures" / "run-000002.mdf") as file:
        nx, ny, _ = file["/reconstruction/size"][()]
        picture = file["/reconstruction/data"][()].mean(axis=0)[:, 0].reshape(ny, nx)
    image = Image.open(folder / "pictures" / "run-000002.png")
    grey = np.asarray(image.convert("L"), dtype=float)
    cells = grey.reshape(ny, grey.shape[0] // ny, nx, grey.shape[1] // nx)
    assert np.ptp(cells, axis=(1, 3)).max() == 0  # each voxel is one flat square
    shown = cells[:, 0, :, 0][::-1]  # y points up
    assert np.corrcoef(shown.ravel(), picture.ravel())[0, 1] > 0.97
    assert np.unravel_index(shown.argmax(), shown.shape) == np.unravel_index(picture.argmax(), picture.shape)


def test_one_seed_gives_one_set_of_bits(demos):
    first, again, other = (hashes(demos[name][0]) for name in ("first", "again", "other"))
    assert len(first) == 4
    assert first == again
    assert not set(first.values()) & set(other.values())


def test_reproduce_proves_it(demos):
    folder, _ = demos["first"]
    for identity in ("picture-1", "dataset-1", "dataset-2"):
        done = nixel("reproduce", identity, "--data", folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "made with    this very system and software" in done.stdout
        assert "DIFFERENT" not in done.stdout
    done = nixel("reproduce", "picture-1", "--data", folder)
    kinds = re.findall(r"^identical +(\S+): (.*?),? ", done.stdout, re.MULTILINE)
    assert {identity for identity, _ in kinds} == {"picture-1:"[:-1], "dataset-1", "dataset-2"}
    assert done.stdout.count("simulated again") == 2


def test_reproduce_notices_a_changed_bit(demos, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(demos["first"][0], folder)
    path = folder / "datasets" / "run-000002.mdf"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    done = nixel("reproduce", "picture-1", "--data", folder)
    assert done.returncode == 2
    assert "the file was changed after it was kept" in done.stderr


def test_reproduce_notices_other_numbers(demos, tmp_path):
    import sqlite3

    folder = tmp_path / "copy"
    shutil.copytree(demos["first"][0], folder)
    with sqlite3.connect(folder / "nixel.db") as database:
        database.execute("update pictures set pixels_sha256 = ?", ("0" * 64,))
    database.close()
    done = nixel("reproduce", "picture-1", "--data", folder, "--stored")
    assert done.returncode == 1
    assert "DIFFERENT  picture-1" in done.stdout


def test_a_second_demo_in_the_same_folder_keeps_the_first(demos, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(demos["first"][0], folder)
    before = hashes(folder)
    done = nixel("demo", "--once", "--port", 0, "--data", folder, "--seed", 7)
    assert done.returncode == 0, done.stderr
    after = hashes(folder)
    assert {name: after[name] for name in before} == before
    assert after["datasets/run-000003.mdf"] == before["datasets/run-000002.mdf"]
    assert after["pictures/run-000003.png"] == before["pictures/run-000002.png"]


def test_every_file_says_that_it_is_simulated_and_what_made_it(demos):
    folder, _ = demos["first"]
    for path in (folder / "datasets").iterdir():
        with h5py.File(path) as file:
            assert file["/experiment/isSimulation"][()] == 1
            record = json.loads(file["/_nixel/provenance"].asstr()[()])
        assert record["simulated"] is True
        assert record["seed"] == 7
        assert record["instrument"]["name"] == "virtual-scanner"
        assert record["software"]["revision"]

"""`nixel hologram` with the methods that suppress the twin image, several heights, tiles and formats."""

import json

import numpy as np
import pytest
from files_to_files import assert_refused, everything, nixel

from nixel.acquisition.formats.images import write_png
from nixel.acquisition.formats.volumes import read_volume
from nixel.physics.optics import propagate

N, PIXEL, WAVELENGTH = 160, 1.12e-6, 532e-9
HEIGHTS = (300e-6, 400e-6, 550e-6)
COMMON = ("--background=light.png", "--pixel-size=1.12um", "--wavelength=532nm")


def sample():
    """An absorbing bar and a phase disc, 0.8 rad, on twice the window."""
    y, x = np.meshgrid(*(np.arange(2 * N) - N,) * 2, indexing="ij")
    bar = (np.abs(y + 20) < 5) & (np.abs(x) < 25)
    disc = np.hypot(y - 22, x) < 12
    return (1 - 0.7 * bar) * np.exp(0.8j * disc)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heights")
    inside = (slice(N // 2, -N // 2),) * 2
    rng = np.random.default_rng(5)
    for number, height in enumerate(HEIGHTS):
        field = 1 + propagate(sample() - 1, height, wavelength=WAVELENGTH, pixel_size=PIXEL)
        counts = 20000 * np.abs(field[inside]) ** 2
        write_png(
            folder / f"{number}.png", np.rint(counts + 30 * rng.standard_normal((N, N))).astype(np.uint16)
        )
    write_png(folder / "light.png", np.full((N, N), 20000, np.uint16))
    return folder


def field(folder, ending=".ome.tiff"):
    amplitude, phase = (read_volume(folder / f"{name}{ending}").data[0] for name in ("amplitude", "phase"))
    return amplitude, phase


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def test_several_heights_leave_no_twin_image(frames, tmp_path):
    others = ("--height=1.png@400um", "--height=2.png@550um")
    done = nixel(
        "hologram", "0.png", *COMMON, "--distance=300um", *others, f"--out={tmp_path / 'all'}", folder=frames
    )
    assert done.returncode == 0, done.stderr
    assert "hologram: reconstructing" in done.stderr
    done = nixel("hologram", "0.png", *COMMON, "--distance=300um", f"--out={tmp_path / 'one'}", folder=frames)
    assert done.returncode == 0, done.stderr
    true = sample()[N // 2 : -N // 2, N // 2 : -N // 2]
    alone, together = field(tmp_path / "one"), field(tmp_path / "all")
    assert correlation(together[0], np.abs(true)) > max(0.9, correlation(alone[0], np.abs(true)))
    assert correlation(together[1], np.angle(true)) > max(0.8, correlation(alone[1], np.angle(true)))
    record = json.loads((tmp_path / "all" / "record.json").read_text())
    assert record["parameters"]["method"] == "multi-height"
    assert record["parameters"]["heights"]["value"] == pytest.approx([400e-6, 550e-6])
    assert {"hologram", "hologram 2", "hologram 3", "background"} == set(record["inputs"])


@pytest.mark.parametrize("method", ["total-variation", "projections"])
def test_a_single_hologram_without_its_twin(frames, tmp_path, method):
    words = (f"--method={method}", "--distance=300um", "--format=ome.zarr", f"--out={tmp_path / 'out'}")
    done = nixel("hologram", "0.png", *COMMON, *words, folder=frames)
    assert done.returncode == 0, done.stderr
    amplitude, _ = field(tmp_path / "out", ".ome.zarr")
    assert read_volume(tmp_path / "out" / "amplitude.ome.zarr").spacing == pytest.approx((PIXEL,) * 3)
    # Beside bar and disc there is nothing but light; the twin image is what is seen there otherwise.
    done = nixel(
        "hologram", "0.png", *COMMON, "--distance=300um", f"--out={tmp_path / 'twin'}", folder=frames
    )
    assert done.returncode == 0, done.stderr
    empty = np.abs(sample() - 1)[N // 2 : -N // 2, N // 2 : -N // 2] == 0
    assert amplitude[empty].std() < 0.7 * field(tmp_path / "twin")[0][empty].std()
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["parameters"]["method"] == method
    assert set(record["outputs"]) == {"amplitude.ome.zarr", "phase.ome.zarr", "picture.png"}


def test_another_format_replaces_an_earlier_result(frames, tmp_path):
    for format_ in ("nrrd", "ome.zarr", "nii.gz", "nrrd"):
        words = ("--distance=300um", f"--format={format_}", f"--out={tmp_path / 'out'}")
        assert nixel("hologram", "0.png", *COMMON, *words, folder=frames).returncode == 0
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            f"amplitude.{format_}", f"phase.{format_}", "picture.png", "record.json",
        ]  # fmt: skip


def test_the_phase_is_unwrapped(tmp_path):
    # A bump of 4 rad: in the wrapped phase there is a jump around it, unwrapped there is none.
    y, x = np.meshgrid(*(np.arange(2 * N) - N,) * 2, indexing="ij")
    bump = 4 * np.exp(-(x**2 + y**2) / (2 * 10.0**2))
    inside = (slice(N // 2, -N // 2),) * 2
    for number, height in enumerate(HEIGHTS):
        wave = propagate(np.exp(1j * bump) - 1, height, wavelength=WAVELENGTH, pixel_size=PIXEL)
        counts = 4000 * np.abs(1 + wave[inside]) ** 2
        write_png(tmp_path / f"{number}.png", np.rint(counts).clip(0, 65535).astype(np.uint16))
    write_png(tmp_path / "light.png", np.full((N, N), 4000, np.uint16))
    others = ("--distance=300um", "--height=1.png@400um", "--height=2.png@550um", "--iterations=200")
    for name, more in (("wrapped", ()), ("unwrapped", ("--unwrap",))):
        done = nixel("hologram", "0.png", *COMMON, *others, *more, f"--out={name}", folder=tmp_path)
        assert done.returncode == 0, done.stderr
    wrapped, unwrapped = (field(tmp_path / name)[1] for name in ("wrapped", "unwrapped"))
    turns = (unwrapped - wrapped) / (2 * np.pi)
    # To the precision of the file's float32, it differs by whole turns.
    np.testing.assert_allclose(turns, np.rint(turns), atol=1e-5)
    before, after = (
        sum((np.abs(np.diff(phase, axis=axis)) > np.pi).sum() for axis in (0, 1))
        for phase in (wrapped, unwrapped)
    )
    assert before > 10
    assert after < 0.1 * before


BAD = {
    "a height alone": (["--height=1.png"], "--height: found"),
    "a bare height": (["--height=1.png@400"], "--height: found the bare number '400'"),
    "no such height": (
        ["--height=nowhere.png@400um", "--distance=300um"],
        "nowhere.png: there is no such file",
    ),
    "a height of another size": (
        ["--height=small.png@400um", "--distance=300um"],
        "another height is 32 x 32",
    ),
    "a height without a distance": (["--height=1.png@400um"], "--distance auto finds one distance"),
    "a height twice": (["--height=1.png@300um", "--distance=300um"], "distances"),
    "a height too far": (["--height=1.png@4m", "--distance=300um"], "too far for this hologram"),
    "one height of several": (["--method=multi-height", "--distance=300um"], "give each as --height"),
    "several heights of one": (
        ["--method=projections", "--height=1.png@400um", "--distance=300um"],
        "give each as --height",
    ),
    "no method": (["--method=magic"], "--method: found"),
    "no sample": (["--sample=gold", "--method=projections"], "--sample: found"),
    "no format": (["--format=gif"], "--format: found"),
    "no memory": (["--method=projections", "--distance=300um", "--memory=1"], "memory"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_input_changes_nothing(frames, tmp_path, words, message):
    for path in frames.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_png(tmp_path / "small.png", np.full((32, 32), 9, np.uint16))
    before = everything(tmp_path)
    done = nixel("hologram", "0.png", *COMMON, "--out=out", *words, folder=tmp_path)
    assert_refused(done, message)
    assert everything(tmp_path) == before

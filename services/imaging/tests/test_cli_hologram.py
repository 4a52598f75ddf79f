"""`nixel hologram` with the methods that suppress the twin image, several heights, tiles and formats."""

import json

import numpy as np
import pytest
from files_to_files import assert_refused, everything, nixel

from nixel.acquisition.formats.images import read_image, write_png
from nixel.acquisition.formats.ome_zarr_frames import FrameImage, write_frames
from nixel.acquisition.formats.volumes import read_volume
from nixel.physics.holograms import simulate_hologram
from nixel.physics.optics import point_source, propagate

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
    "no filters": (["--bayer=RGB"], "--bayer: found"),
    "a filter of none": (["--channel=R"], "say the order of its filters"),
    "no channel": (["--bayer=RGGB", "--channel=G"], "--channel: found"),
    "nothing to be finer with": (["--finer=2"], "--finer 2: found 0 other frames"),
    "frames for nothing": (["--shifted=1.png"], "--finer 1: found 1 other frames"),
    "too few frames": (["--shifted=1.png", "--finer=2"], "takes 4 frames or more"),
    "frames that did not move": (
        ["--shifted=0.png", "--shifted=0.png", "--shifted=0.png", "--finer=2", "--distance=300um"],
        "fractions of a pixel",
    ),
    "a source in the way": (["--distance=300um", "--source-distance=0.2mm"], "between the source and"),
    "a source and heights": (
        ["--source-distance=5cm", "--height=1.png@400um", "--distance=300um"],
        "leave out either",
    ),
    "a support of nobody": (["--support=1.png"], "--support is of --method"),
    "iterations of nothing": (["--iterations=5"], "--iterations: back-propagation has none"),
    "a start of one": (["--start=back-propagation"], "--start is of --method multi-height"),
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


SMALL = ("--pixel-size=1.12um", "--wavelength=532nm")


def recorded(transmission, distance, **options):
    return simulate_hologram(
        transmission.astype(np.complex128), distance, wavelength=WAVELENGTH, pixel_size=PIXEL, **options
    )


def counts(path, intensity, full=20000):
    write_png(path, np.rint(full * intensity).clip(0, 65535).astype(np.uint16))


def test_a_point_source_is_the_plane_wave_of_another_distance(tmp_path):
    # The source's wave, exactly, through a disc 400 um before the camera and 3 mm behind the source.
    source, distance, finer = 3.4e-3, 400e-6, 2
    y, x = np.meshgrid(*(np.arange(2 * 256) - 255.5,) * 2, indexing="ij")
    there = np.hypot(y * PIXEL / finer, x * PIXEL / finer) < 20e-6
    options = {"wavelength": WAVELENGTH, "pixel_size": PIXEL / finer}
    wave, alone = (point_source(there.shape, far, **options) for far in (source - distance, source))
    # Each is 1 on the axis, but the wave has become weaker on its way to the camera.
    alone *= (source - distance) / source
    frame = recorded(1 - 0.8 * there, distance, oversampling=finer, illumination=wave, reference=alone)
    light = np.abs(alone) ** 2
    counts(tmp_path / "frame.png", frame)
    counts(tmp_path / "light.png", light.reshape(256, 2, 256, 2).mean(axis=(1, 3)))
    words = ("--background=light.png", f"--source-distance={source * 1e3}mm", "--distance-range=200um:700um")
    done = nixel("hologram", "frame.png", *SMALL, *words, "--out=out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["distance"]["value"] == pytest.approx(distance, abs=8e-6)
    assert record["magnification"] == pytest.approx(source / (source - distance), rel=5e-3)
    # In the sample's own lengths, the disc is as large as it is.
    volume = read_volume(tmp_path / "out" / "amplitude.ome.tiff")
    area = (volume.data[0] < 0.6).sum() * volume.spacing[1] * volume.spacing[2]
    assert np.sqrt(area / np.pi) == pytest.approx(20e-6, rel=0.05)


def test_shifted_frames_make_a_finer_one(tmp_path):
    # Lines of 1.12 um a pair: a pixel takes the mean of both, and only shifted frames tell them apart.
    finer, margin = 2, 40
    rng = np.random.default_rng(2)
    cells = rng.random((2 * 150, 2 * 150)) < 0.3
    coarse = 1 - 0.5 * np.kron(cells, np.ones((2, 2)))
    shifts = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)]
    for number, shift in enumerate(shifts):
        frame = recorded(
            coarse, 60e-6, oversampling=4, margin=margin, shift=tuple(part * PIXEL for part in shift)
        )
        counts(tmp_path / f"{number}.png", frame)
    more = [f"--shifted={number}.png" for number in (1, 2, 3)]
    for name, words in {"coarse": [], "fine": [*more, "--finer=2"]}.items():
        done = nixel("hologram", "0.png", *SMALL, "--distance=60um", *words, f"--out={name}", folder=tmp_path)
        assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "fine" / "record.json").read_text())
    np.testing.assert_allclose(record["shifts"]["value"], shifts, atol=0.05)
    assert record["pixel_size"]["value"] == pytest.approx(PIXEL / finer)
    volume = read_volume(tmp_path / "fine" / "amplitude.ome.tiff")
    assert volume.spacing[1:] == pytest.approx((PIXEL / finer,) * 2)
    inside = slice(2 * margin, -2 * margin)
    true = np.where(cells, 0.5, 1.0)[inside, inside]
    rough = np.kron(field(tmp_path / "coarse")[0], np.ones((2, 2)))
    assert correlation(volume.data[0], true) > correlation(rough, true) + 0.05


@pytest.mark.parametrize(
    ("words", "pitch"),
    [(("--channel=G1",), 2 * PIXEL), ((), PIXEL)],
    ids=["one kind of pixels", "all, each by its share"],
)
def test_a_colour_camera_in_light_of_one_colour(tmp_path, words, pitch):
    clear = recorded(sample(), 300e-6, margin=N // 2)
    gains = np.tile([[0.1, 0.9], [0.8, 0.4]], (N // 2, N // 2))
    counts(tmp_path / "raw.png", clear * gains)
    counts(tmp_path / "grey.png", clear)
    more = ("--bayer=RGGB", *words)
    for name, options in {"raw": more, "grey": ()}.items():
        done = nixel(
            "hologram", f"{name}.png", *SMALL, "--distance=300um", *options, f"--out={name}", folder=tmp_path
        )
        assert done.returncode == 0, done.stderr
    volume = read_volume(tmp_path / "raw" / "amplitude.ome.tiff")
    assert volume.spacing[1:] == pytest.approx((pitch,) * 2)
    grey = field(tmp_path / "grey")[0]
    if pitch > PIXEL:  # the second pixel of the first row of two
        grey = grey[::2, 1::2]
    assert correlation(volume.data[0], grey) > 0.9


def test_in_tiles_it_is_the_same_picture(frames, tmp_path):
    y, x = np.meshgrid(*(np.arange(512) - 256,) * 2, indexing="ij")
    wide = 1 - 0.7 * ((np.hypot(y % 90 - 45, x % 90 - 45)) < 8)
    counts(tmp_path / "wide.png", recorded(wide, 100e-6))
    for name, words in {"whole": (), "tiles": ("--memory=4",)}.items():
        done = nixel(
            "hologram", "wide.png", *SMALL, "--distance=100um", *words, f"--out={name}", folder=tmp_path
        )
        assert done.returncode == 0, done.stderr
    difference = field(tmp_path / "whole")[0] - field(tmp_path / "tiles")[0]
    assert 0 < np.sqrt(np.mean(difference**2)) < 0.01


def test_a_support_keeps_the_rest_clear(frames, tmp_path):
    inside = np.abs(sample() - 1)[N // 2 : -N // 2, N // 2 : -N // 2] > 0
    write_png(tmp_path / "where.png", (255 * inside).astype(np.uint8))
    words = ("--method=projections", "--distance=300um", f"--support={tmp_path / 'where.png'}")
    done = nixel("hologram", "0.png", *COMMON, *words, f"--out={tmp_path / 'out'}", folder=frames)
    assert done.returncode == 0, done.stderr
    amplitude, phase = field(tmp_path / "out")
    np.testing.assert_allclose(amplitude[~inside], 1, atol=1e-6)
    np.testing.assert_allclose(phase[~inside], 0, atol=1e-6)
    assert "support" in json.loads((tmp_path / "out" / "record.json").read_text())["inputs"]
    assert correlation(amplitude, np.abs(sample())[N // 2 : -N // 2, N // 2 : -N // 2]) > 0.95


def test_a_steady_source_keeps_what_the_sample_absorbs(frames, tmp_path):
    # A grey filter over everything: divided by its mean, it is gone.
    counts(tmp_path / "grey.png", recorded(0.8 * sample(), 300e-6, margin=N // 2))
    counts(tmp_path / "light.png", np.ones((N, N)))
    found = {}
    for name, words in {"scaled": (), "steady": ("--steady",)}.items():
        common = ("--background=light.png", *SMALL, "--distance=300um", f"--out={name}")
        assert nixel("hologram", "grey.png", *common, *words, folder=tmp_path).returncode == 0
        found[name] = np.median(field(tmp_path / name)[0])
    assert found["scaled"] == pytest.approx(1, abs=0.05)
    # Back-propagation keeps the first order of what is missing: half of 1 - 0.8^2.
    assert found["steady"] < 0.9


def test_a_frame_of_a_recorded_sequence_is_a_hologram(frames, tmp_path):
    """The same numbers as in a file of their own give the same result; the record names the frame."""
    counts = read_image(frames / "0.png")
    (tmp_path / "frame").write_bytes(counts.astype("<u2").tobytes())
    common = (f"--background={frames / 'light.png'}", *COMMON[1:], "--distance=300um")
    image = FrameImage((2, 1, 1), counts.shape, "<u2", "run", ("green",), (1e-6, PIXEL, PIXEL))
    write_frames(tmp_path / "run.ome.zarr", image, {(1, 0, 0): tmp_path / "frame"})
    for name, out in ((frames / "0.png", "file"), ("run.ome.zarr#1", "run")):
        done = nixel("hologram", name, *common, f"--out={out}", folder=tmp_path)
        assert done.returncode == 0, done.stderr
    for one, other in zip(field(tmp_path / "file"), field(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert "run.ome.zarr#1" in (tmp_path / "run/record.json").read_text()
    for name, message in (
        ("run.ome.zarr", "frame 0 is missing"),
        ("run.ome.zarr#x", "frame's number after #"),
    ):
        words = ("hologram", name, *common, "--out=no")
        assert_refused(nixel(*words, folder=tmp_path), message)

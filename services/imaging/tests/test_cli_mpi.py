"""`nixel mpi` as a person meets it: simulated files, judged and reconstructed, or one paragraph and nothing changed."""

import csv
import json

import numpy as np
import pytest
from files_to_files import assert_refused, everything, nixel, nixel_process

from nixel.acquisition.formats.mdf import read_mdf, write_calibration
from nixel.acquisition.formats.volumes import read_volume

FAST = ("--shape=1x15x13", "--field-of-view=1mm,24mm,22mm", "--averages=1000")
# Where the phantom "dots" has its brightest and its second brightest sample (y, x) in m, by its own definition.
STEP = (24e-3 / 15, 22e-3 / 13)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mpi")
    done = nixel("mpi", "simulate", *FAST, "--phantom=dots", "--frames=2", "--out=dots", folder=folder)
    assert done.returncode == 0, done.stderr
    done = nixel("mpi", "simulate", *FAST, "--drive-field=11mT,12mT", "--out=other", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def iron(folder, *words, out="out.nrrd", subject="dots"):
    files = (f"{subject}/scan.mdf", f"--calibration={subject}/calibration.mdf")
    done = nixel("mpi", "reconstruct", *files, *words, f"--out={out}", folder=folder)
    assert done.returncode == 0, done.stderr
    return read_volume(folder / out)


def truth(shape, spacing):
    """Iron of the phantom on a grid, from its definition and not from a signal."""
    from nixel.physics.grid import Grid
    from nixel.physics.phantoms import phantom

    grid = Grid(shape, tuple(n * step for n, step in zip(shape, spacing, strict=True)))
    return phantom("dots").rasterise(grid)


def test_the_files_say_what_they_are(simulated):
    calibration, scan = (read_mdf(simulated / "dots" / name) for name in ("calibration.mdf", "scan.mdf"))
    assert calibration.calibration.size == (13, 15, 1)
    assert calibration.calibration.field_of_view == pytest.approx((22e-3, 24e-3, 1e-3))
    assert calibration.setting.simulated
    assert scan.setting.simulated
    assert scan.setting.drive_field == (12e-3, 12e-3)
    assert (~scan.measurement.is_background).sum() == 2
    assert scan.provenance["parameters"]["phantom"] == "dots"


def test_the_same_seed_gives_the_same_bytes(simulated, tmp_path):
    for seed, folder, run in ((0, "a", nixel), (0, "b", nixel_process), (1, "c", nixel)):
        words = ("--phantom=dots", "--frames=2", f"--seed={seed}", f"--out={tmp_path / folder}")
        assert run("mpi", "simulate", *FAST, *words).returncode == 0
    a, b, c = (everything(tmp_path / name) for name in ("a", "b", "c"))
    assert a == b
    assert a["scan.mdf"] != c["scan.mdf"]


@pytest.mark.parametrize(
    "words",
    [
        ("--method=kaczmarz", "--relative-lambda=1e-3"),
        ("--method=cgnr", "--relative-lambda=1e-3"),
        ("--method=fista", "--relative-lambda=1e-5", "--total-variation=3e-4", "--iterations=200"),
    ],
    ids=["kaczmarz", "cgnr", "fista"],
)
def test_each_method_finds_the_iron_where_it_is(simulated, words):
    out = f"{words[0][9:]}.nii.gz"
    found = iron(simulated, *words, out=out)
    assert found.data.shape == (2, 1, 15, 13)
    assert found.spacing == pytest.approx((1e-3, *STEP), rel=1e-6)
    # The grid is centred on the bore: its first voxel's centre is half a field of view less half a voxel away.
    assert found.origin == pytest.approx((0, -12e-3 + STEP[0] / 2, -11e-3 + STEP[1] / 2), abs=1e-9)
    expected = truth((15, 13), STEP)
    for frame in found.data[:, 0]:
        assert np.corrcoef(frame.ravel(), expected.ravel())[0, 1] > 0.9
    record = json.loads((simulated / f"{out}.json").read_text())
    assert record["simulated"] is True
    assert record["parameters"]["method"] == words[0][9:]
    assert set(record["inputs"]) == {"scan", "calibration"}
    assert record["rows"] > 100


def test_it_is_quantitative(simulated):
    found = iron(simulated, "--relative-lambda=1e-3").data[0, 0]
    # All of the iron, in mol: what lies in the voxels of the phantom.
    expected = truth((15, 13), STEP)
    assert found[expected > 0].sum() == pytest.approx(expected.sum(), rel=0.15)


def test_a_volume_in_space(tmp_path):
    words = (
        "--shape=5x7x7",
        "--field-of-view=8mm,16mm,16mm",
        "--drive-field=12mT,12mT,12mT",
        "--dividers=12,13,14",
        "--base-frequency=1MHz",
        "--phantom=dilution-cubes",
        "--out=cubes",
    )
    done = nixel("mpi", "simulate", *words, "--averages=1000", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    words = ("--relative-lambda=1e-4", "--band=80kHz:500kHz")
    volume = iron(tmp_path, *words, out="cubes.ome.zarr", subject="cubes")
    assert volume.data.shape == (5, 7, 7)
    assert volume.spacing == pytest.approx((1.6e-3, 16e-3 / 7, 16e-3 / 7))
    # Cubes stand at the corners of a box of 12 mm x 12 mm x 6 mm: in the outer planes, and nothing in the middle.
    assert volume.data[2].max() < 0.5 * max(volume.data[0].max(), volume.data[-1].max())
    place = (
        np.array(np.unravel_index(volume.data.argmax(), volume.data.shape)) * volume.spacing + volume.origin
    )
    np.testing.assert_allclose(np.abs(place), (3e-3, 6e-3, 6e-3), atol=2.3e-3)


def test_signal_to_noise_is_told_and_written(simulated, tmp_path):
    done = nixel(
        "mpi", "snr", simulated / "dots/calibration.mdf", "--best=3", f"--out={tmp_path / 'snr.csv'}"
    )
    assert done.returncode == 0, done.stderr
    assert "13 x 15 x 1 voxels, 2 channels, 817 frequencies" in done.stdout
    rows = list(csv.DictReader((tmp_path / "snr.csv").open()))
    assert len(rows) == 2 * 817
    ratio = {(int(r["channel"]), int(r["frequency number"])): float(r["signal-to-noise ratio"]) for r in rows}
    # Both drive frequencies, 2.5 MHz/102 and 2.5 MHz/96, are the strongest of their channels; there is none at zero.
    for channel, number in ((0, 16), (1, 17)):
        assert max(ratio, key=lambda key, c=channel: ratio[key] if key[0] == c else -1) == (channel, number)
    assert ratio[0, 0] < 5


def test_x_space_needs_no_calibration(simulated):
    done = nixel("mpi", "xspace", "dots/scan.mdf", "--shape=1x25x25", "--out=x.nrrd", folder=simulated)
    assert done.returncode == 0, done.stderr
    found = read_volume(simulated / "x.nrrd")
    assert found.data.shape == (2, 1, 25, 25)
    # 12 mT in 1.25 T/m reach 9.6 mm to either side; a cell lies beyond.
    assert found.spacing[1:] == pytest.approx((19.2e-3 / 23,) * 2)
    expected = truth((25, 25), found.spacing[1:])
    for frame in found.data[:, 0]:
        # The point spread function is some 3.5 mm wide, with long tails: what it blurs is still brighter than the rest.
        assert frame[expected > 0].mean() > frame[expected == 0].mean() + frame.std()
    brightest = np.unravel_index(found.data[0, 0].argmax(), (25, 25))
    assert expected[brightest] > 0


BAD = {
    "no scan": (["nowhere.mdf"], "nowhere.mdf: there is no such file"),
    "no HDF5": (["text.mdf"], "text.mdf: expected an HDF5 file"),
    "a scan for a calibration": (
        ["dots/scan.mdf", "--calibration=dots/scan.mdf"],
        "expected a calibration, found a",
    ),
    "other settings": (["dots/scan.mdf", "--calibration=other/calibration.mdf"], "do not belong together"),
    "no method": (["dots/scan.mdf", "--method=magic"], "--method: found"),
    "no weighting": (["dots/scan.mdf", "--weighting=lead"], "--weighting: found"),
    "sparse rows": (["dots/scan.mdf", "--l1=0.1"], "are of --method fista"),
    "no band": (["dots/scan.mdf", "--band=1MHz"], "--band: found"),
    "a bare band": (["dots/scan.mdf", "--band=30:60"], "found the bare number '30'"),
    "a band backwards": (["dots/scan.mdf", "--band=1MHz:1kHz"], "the lower frequency first"),
    "an empty band": (["dots/scan.mdf", "--band=1Hz:2Hz"], "frequenc"),
    "too loud a noise": (["dots/scan.mdf", "--snr-threshold=1e9"], "frequenc"),
    "no format": (["dots/scan.mdf", "--out=iron.txt"], "--out: expected a name that ends in"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_input_changes_nothing(simulated, words, message):
    (simulated / "text.mdf").write_text("a letter home")
    before = everything(simulated)
    calibration = "--calibration=dots/calibration.mdf"
    done = nixel("mpi", "reconstruct", calibration, "--out=bad.nrrd", *words, folder=simulated)
    assert_refused(done, message)
    assert everything(simulated) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--phantom=unicorn"], "unicorn"),
        (["--drive-field=12mT"], "expected 2 amplitudes and 2 dividers"),
        (["--dividers=102,ninety"], "--dividers: found"),
        (["--gradient=2.5"], "found the bare number '2.5'"),
        (["--field-of-view=24mm,24mm"], "expected three lengths"),
        (["--out=mine"], "thesis.doc"),
    ],
)
def test_a_simulation_that_cannot_be_changes_nothing(tmp_path, words, message):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("mine")
    before = everything(tmp_path)
    assert_refused(nixel("mpi", "simulate", *FAST, "--out=new", *words, folder=tmp_path), message)
    assert everything(tmp_path) == before


def test_a_matrix_of_the_used_frequencies_alone_gives_the_same_iron(simulated):
    """As are many that are published: what lies outside of the band is left out of the file."""
    whole = read_mdf(simulated / "dots" / "calibration.mdf")
    matrix, calibration = whole.measurement, whole.calibration
    hertz = np.fft.rfftfreq(whole.setting.samples, 1 / whole.setting.base_frequency)
    numbers = np.flatnonzero((hertz >= 20e3) & (hertz <= 1.3e6))
    assert 0 < len(numbers) < len(hertz)
    write_calibration(
        simulated / "dots" / "selected.mdf",
        whole.setting,
        np.ascontiguousarray(matrix.data[:, :, numbers]),
        calibration.grid,
        frame_permutation=matrix.frame_permutation,
        delta_sample_size=calibration.delta_sample_size,
        snr=None,
        frequency_selection=numbers + 1,
        labels=whole.labels,
        provenance={},
    )
    wanted = iron(simulated)
    files = ("dots/scan.mdf", "--calibration=dots/selected.mdf")
    done = nixel("mpi", "reconstruct", *files, "--out=selected.nrrd", folder=simulated)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_volume(simulated / "selected.nrrd").data, wanted.data)
    # A scan that has fewer frequencies than the matrix is refused, not taken for another.
    done = nixel(
        *("mpi", "reconstruct", "dots/selected.mdf", "--calibration=dots/calibration.mdf", "--out=x.nrrd"),
        folder=simulated,
    )
    assert_refused(done, "some were left out when it was stored")

"""`nixel mpi` on lines along x, with a field-free line that turns, and with a measured receive path."""

import json

import numpy as np
import pytest
from files_to_files import assert_refused, everything, nixel

from nixel.acquisition.formats.mdf import read_mdf
from nixel.acquisition.formats.volumes import read_volume
from nixel.physics.grid import Grid
from nixel.physics.phantoms import phantom

FAST = ("--shape=1x15x15", "--field-of-view=1mm,20mm,20mm", "--averages=1000")
# A first-order low pass of 100 kHz, 1 / (1 + i f / 100 kHz), in decibels and degrees.
FREQUENCIES = np.arange(0, 1.26e6, 2e3)
LOW_PASS = 1 / (1 + 1j * FREQUENCIES / 1e5)


def run(*words, folder):
    done = nixel("mpi", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    return done


def reconstruct(folder, subject):
    files = (f"{subject}/scan.mdf", f"--calibration={subject}/calibration.mdf")
    run("reconstruct", *files, "--relative-lambda=1e-3", f"--out={subject}.nrrd", folder=folder)
    return read_volume(folder / f"{subject}.nrrd")


def xspace(folder, subject, *words):
    run("xspace", f"{subject}/scan.mdf", "--shape=1x25x31", *words, "--out=x.nrrd", folder=folder)
    return read_volume(folder / "x.nrrd")


def likeness(volume):
    """Correlation with the iron of the phantom on the volume's grid, by its definition and not from a signal."""
    shape, spacing = volume.data.shape[-2:], volume.spacing[1:]
    grid = Grid(shape, tuple(n * s for n, s in zip(shape, spacing, strict=True)))
    return np.corrcoef(volume.data.ravel(), phantom("dots").rasterise(grid).ravel())[0, 1]


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """Scans: on lines, with a line that turns, and through a low pass that is in two tables."""
    folder = tmp_path_factory.mktemp("trajectories")
    size, phase = 20 * np.log10(np.abs(LOW_PASS)), np.degrees(np.angle(LOW_PASS))
    rows = (f"{f},{s},{p}\n" for f, s, p in zip(FREQUENCIES, size, phase, strict=True))
    (folder / "x.csv").write_text("Frequency [Hz],magnitude [dB],phase [deg]\n" + "".join(rows))
    rows = (f"{f},{v.real},{v.imag}\n" for f, v in zip(FREQUENCIES, LOW_PASS, strict=True))
    (folder / "y.csv").write_text("frequency [Hz],real,imaginary\n" + "".join(rows))
    run("simulate", *FAST, "--lines=19", "--out=lines", folder=folder)
    run("simulate", *FAST, "--field-free=line", "--rotation-divider=7500", "--out=turning", folder=folder)
    run("simulate", *FAST, "--out=plain", folder=folder)
    run("simulate", *FAST, "--transfer=x.csv", "--transfer=y.csv", "--out=filtered", folder=folder)
    return folder


def test_lines_are_periods_of_a_frame_in_one_focus_field_each(scanned):
    scan = read_mdf(scanned / "lines/scan.mdf")
    assert scan.setting.samples == 102  # of the fast axis, by its divider
    assert scan.measurement.data.shape[1] == 19
    expected = np.zeros((19, 3))
    expected[:, 1] = np.linspace(-12e-3, 12e-3, 19)
    np.testing.assert_allclose(scan.setting.offset_fields, expected, atol=1e-12)
    assert scan.setting.drive_field == (12e-3, 0.0)


def test_lines_are_reconstructed(scanned):
    assert likeness(reconstruct(scanned, "lines")) > 0.9


def test_lines_are_gridded(scanned):
    found = xspace(scanned, "lines")
    # 12 mT in 1.25 T/m, either way, and a cell around it.
    assert found.spacing[1:] == pytest.approx((19.2e-3 / 23, 19.2e-3 / 29), rel=1e-6)
    # The x-space picture of the Lissajous scan is as blurred.
    assert likeness(found) == pytest.approx(likeness(xspace(scanned, "plain")), abs=0.1)


def test_a_line_that_turns_is_reconstructed(scanned):
    scan = read_mdf(scanned / "turning/scan.mdf")
    assert (scan.setting.topology, scan.setting.samples) == ("FFL", 7500)
    assert likeness(reconstruct(scanned, "turning")) > 0.9


def test_a_receive_path_delays_and_dampens_and_can_be_undone(scanned):
    plain, filtered = (read_mdf(scanned / f"{name}/scan.mdf") for name in ("plain", "filtered"))
    spectra = [mdf.measurement.spectra()[-1, 0] for mdf in (plain, filtered)]
    hertz = np.fft.rfftfreq(plain.setting.samples, 1 / 2.5e6)
    strong = np.abs(spectra[0]) > 0.01 * np.abs(spectra[0]).max()
    expected = np.broadcast_to(1 / (1 + 1j * hertz / 1e5), spectra[0].shape)[strong]
    np.testing.assert_allclose((spectra[1] / np.where(strong, spectra[0], 1))[strong], expected, rtol=2e-3)
    # A calibration went through the same path.
    assert likeness(reconstruct(scanned, "filtered")) > 0.9
    wanted = xspace(scanned, "plain").data
    undone = xspace(scanned, "filtered", "--transfer=x.csv", "--transfer=y.csv").data
    assert np.abs(undone - wanted).max() < 0.01 * np.abs(wanted).max()
    inputs = json.loads((scanned / "x.nrrd.json").read_text())["inputs"]
    assert [given["name"] for given in inputs.values()] == ["scan.mdf", "x.csv", "y.csv"]
    assert np.abs(xspace(scanned, "filtered").data - wanted).max() > 0.1 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lines=many"], '--lines: found "many"; expected whole numbers'),
        (["--lines=0"], "lines: expected"),
        (["--lines=5", "--dividers=102,96"], "expected 2 amplitudes and 1 dividers"),
        (["--lines=5", "--patches=1x1x2"], "--patches is of --field-free point without --lines"),
        (["--lines=5", "--feed-through=1mV"], "--feed-through is of --field-free point without --lines"),
        (["--lines=5", "--field-free=line"], "--lines is of --field-free point"),
        (["--rotation-divider=7500"], "--rotation-divider is of --field-free line"),
        (["--transfer=none.csv"], "none.csv: cannot be read"),
        (["--transfer=words.csv"], 'words.csv, line 3: expected three numbers, found "2e5,much,0"'),
        (["--transfer=head.csv"], "expected a first line such as"),
        (["--transfer=short.csv"], "short.csv: expected two or more frequencies"),
        (["--transfer=bytes.csv"], "found no text with commas"),
        (["--transfer=short.csv"] * 3, "one for each of 2, found 3"),
    ],
)
def test_a_scan_that_cannot_be_is_refused(tmp_path, words, message):
    (tmp_path / "words.csv").write_text("frequency [Hz],real,imaginary\n1e5,1,0\n2e5,much,0\n")
    (tmp_path / "head.csv").write_text("1e5,1,0\n2e5,1,0\n")
    (tmp_path / "short.csv").write_text("frequency [Hz],real,imaginary\n1e5,1,0\n")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    before = everything(tmp_path)
    assert_refused(nixel("mpi", "simulate", *words, "--out=new", folder=tmp_path), message)
    assert everything(tmp_path) == before


def test_a_turning_line_without_a_calibration_is_refused(scanned):
    before = everything(scanned)
    assert_refused(
        nixel("mpi", "xspace", "turning/scan.mdf", "--out=bad.nrrd", folder=scanned), "needs a calibration"
    )
    assert everything(scanned) == before

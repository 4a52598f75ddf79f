"""`nixel mpi` with patches, a field-free line, a bound of memory, a cluster, and a scanner that is not silent."""

import json

import numpy as np
import pytest
from files_to_files import assert_refused, everything, nixel

from nixel.acquisition.formats.mdf import read_mdf
from nixel.acquisition.formats.volumes import read_volume
from nixel.physics.grid import Grid
from nixel.physics.phantoms import phantom

FAST = ("--shape=1x15x15", "--field-of-view=1mm,24mm,24mm", "--averages=1000")


def run(*words, folder):
    done = nixel("mpi", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    return done


def reconstruct(folder, subject, *words, out="out.nrrd"):
    files = (f"{subject}/scan.mdf", f"--calibration={subject}/calibration.mdf")
    run("reconstruct", *files, "--relative-lambda=1e-3", *words, f"--out={out}", folder=folder)
    return read_volume(folder / out)


def truth(name, volume):
    """Iron of a phantom on a volume's grid, from its definition and not from a signal."""
    shape, spacing = volume.data.shape[-2:], volume.spacing[1:]
    return phantom(name).rasterise(Grid(shape, tuple(n * s for n, s in zip(shape, spacing, strict=True))))


def likeness(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """Scans: of a line; of four frames; of a scanner that drifts; of two patches."""
    folder = tmp_path_factory.mktemp("fields")
    run("simulate", "--field-free=line", "--angles=12", *FAST, "--out=line", folder=folder)
    run("simulate", *FAST, "--frames=4", "--out=frames", folder=folder)
    loud = ("--frames=3", "--feed-through=1mV", "--drift=0.5", "--averages=100")
    run("simulate", *FAST, *loud, "--out=loud", folder=folder)
    patches = ("--patches=1x1x2", "--phantom=dilution", "--overlap=0.3")
    # The field of view of a patch holds the whole of the phantom: nothing beside it is heard.
    wide = ("--shape=1x19x27", "--field-of-view=1mm,22.8mm,32.4mm", "--averages=1000")
    run("simulate", *wide, *patches, "--out=patches", folder=folder)
    return folder


def test_a_line_is_solved_jointly_for_all_angles(scanned):
    scan = read_mdf(scanned / "line/scan.mdf")
    assert scan.setting.topology == "FFL"
    # At every angle, the gradient of the line and the sweep along its normal, (-sin a, cos a).
    angles = np.arange(12) * np.pi / 12
    normal = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(scan.setting.drive_fields, 16e-3 * normal, atol=1e-12)
    across = 1.25 * normal[:, :, None] * normal[:, None, :]
    np.testing.assert_allclose(scan.setting.gradients[:, :2, :2], across, atol=1e-12)
    np.testing.assert_allclose(np.trace(scan.setting.gradients, axis1=1, axis2=2), 0, atol=1e-12)
    for method in ("kaczmarz", "fista"):
        found = reconstruct(scanned, "line", f"--method={method}", out=f"line-{method}.nrrd")
        assert likeness(found.data, truth("dots", found)) > 0.85


def test_a_line_needs_no_calibration(scanned):
    run("xspace", "line/scan.mdf", "--shape=1x21x21", "--out=projected.nii.gz", folder=scanned)
    found = read_volume(scanned / "projected.nii.gz")
    # The square within the circle of 95 % of 16 mT in 1.25 T/m.
    assert 21 * found.spacing[1] == pytest.approx(2 * 0.95 * 12.8e-3 / np.sqrt(2), rel=1e-6)
    assert likeness(found.data, truth("dots", found)) > 0.7
    # All the iron in the square, which the particles' response spreads but does not change.
    assert found.data.sum() == pytest.approx(truth("dots", found).sum(), rel=0.3)
    record = json.loads((scanned / "projected.nii.gz.json").read_text())
    assert record["parameters"]["method"] == "filtered back-projection"


def test_patches_make_one_picture(scanned):
    scan = read_mdf(scanned / "patches/scan.mdf")
    found = reconstruct(scanned, "patches")
    # 0.7 of a patch of 19.2 mm is 11.2 voxels of 1.2 mm; the field-free point goes whole ones, about the middle.
    places = -scan.setting.offset_fields[:, 0] / scan.setting.gradient[0]
    np.testing.assert_allclose(places, [-6.6e-3, 6.6e-3])
    assert found.data.shape == (1, 19, 27 + 11)
    assert found.spacing == pytest.approx((1e-3, 1.2e-3, 1.2e-3), rel=1e-6)
    assert likeness(found.data, truth("dilution", found)) > 0.8
    run("xspace", "patches/scan.mdf", "--shape=1x25x41", "--out=x.nrrd", folder=scanned)
    blurred = read_volume(scanned / "x.nrrd")
    # The strongest rod, at x = 7 mm, is where it is.
    y, x = np.unravel_index(blurred.data[0].argmax(), blurred.data.shape[1:])
    assert blurred.origin[2] + x * blurred.spacing[2] == pytest.approx(7e-3, abs=2e-3)
    assert blurred.origin[1] + y * blurred.spacing[1] == pytest.approx(0, abs=3e-3)


def test_a_matrix_in_a_file_and_workers_give_the_same(scanned):
    here = reconstruct(scanned, "frames", "--block=2", out="here.nrrd")
    # The matrix takes 3 MiB and more.
    in_file = reconstruct(scanned, "frames", "--block=2", "--memory=1", out="file.nrrd")
    np.testing.assert_array_equal(in_file.data, here.data)
    cluster = reconstruct(scanned, "frames", "--block=2", "--cluster=local:1", out="cluster.nrrd")
    np.testing.assert_array_equal(cluster.data, here.data)
    assert here.data.shape == (4, 1, 15, 15)
    # The file that the matrix was kept in is gone.
    assert not [path for path in scanned.iterdir() if path.name.startswith("tmp")]


def test_what_the_scanner_adds_is_taken_out(scanned):
    expected = None
    for words in ((), ("--leakage",), ("--background=mean",)):
        found = reconstruct(scanned, "loud", *words, "--band=60kHz:600kHz", out="quiet.nrrd")
        expected = truth("dots", found) if expected is None else expected
        assert likeness(found.data.mean(axis=0), expected) > 0.85
    parameters = json.loads((scanned / "quiet.nrrd.json").read_text())["parameters"]
    assert (parameters["background"], parameters["leakage"]) == ("mean", False)


def test_fewer_rows_and_negative_values(scanned):
    reconstruct(scanned, "frames", "--best=200", "--max-order=12", "--signed", out="few.nrrd")
    assert json.loads((scanned / "few.nrrd.json").read_text())["rows"] == 200
    # Noise has both signs.
    assert read_volume(scanned / "few.nrrd").data.min() < 0


BAD = {
    "a line's and a point's": (
        ["line/scan.mdf", "--calibration=frames/calibration.mdf"],
        "do not belong together",
    ),
    "patches of another solver": (
        ["patches/scan.mdf", "--calibration=patches/calibration.mdf", "--method=cgnr"],
        "expected --method kaczmarz",
    ),
    "leakage of patches": (
        ["patches/scan.mdf", "--calibration=patches/calibration.mdf", "--leakage"],
        "2 different periods",
    ),
    "no cluster": (["--cluster=four"], "--cluster: found"),
    "a cluster of none": (["--cluster=local:0"], "--cluster: found"),
    "a cluster in little memory": (["--cluster=local:2", "--memory=1"], "leave out either"),
    "no background": (["--background=blue"], "--background: found"),
    "an order of nothing": (["--max-order=1", "--band=300kHz:400kHz"], "mixing order 1"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_input_changes_nothing(scanned, words, message):
    before = everything(scanned)
    files = [] if words[0].endswith(".mdf") else ["frames/scan.mdf", "--calibration=frames/calibration.mdf"]
    assert_refused(nixel("mpi", "reconstruct", *files, *words, "--out=bad.nrrd", folder=scanned), message)
    assert everything(scanned) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--field-free=plane"], "--field-free: found"),
        (["--field-free=line", "--patches=1x1x2"], "is of --field-free point"),
        (["--field-free=line", "--drive-field=12mT,12mT"], "is swept by one drive field"),
        (["--field-free=line", "--shape=3x5x5"], "expected one plane"),
        (["--patches=2x2x2"], "expected one plane of them"),
        (["--patches=two"], "--patches: found"),
        (["--feed-through=1"], "found the bare number '1'"),
        (["--relaxation-time=-1us"], "relaxation_time"),
    ],
)
def test_a_simulation_that_cannot_be_is_refused(tmp_path, words, message):
    before = everything(tmp_path)
    assert_refused(nixel("mpi", "simulate", *words, "--out=new", folder=tmp_path), message)
    assert everything(tmp_path) == before


def test_a_scheduler_that_is_not_there(scanned, monkeypatch):
    from nixel.reconstruction import cluster

    opened = cluster.Cluster.__init__
    monkeypatch.setattr(cluster.Cluster, "__init__", lambda *a, **k: opened(*a, **k, patience=1.0))
    files = ("frames/scan.mdf", "--calibration=frames/calibration.mdf", "--out=bad.nrrd")
    done = nixel("mpi", "reconstruct", *files, "--cluster=tcp://127.0.0.1:9", folder=scanned)
    assert_refused(done, "--cluster tcp://127.0.0.1:9: the scheduler")

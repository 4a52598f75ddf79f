"""A scan of patches through the whole system: file, plan, run, dataset, and one picture of all of them."""

import numpy as np
import pytest
from files_to_files import nixel
from whole_system import wait_until

from nixel.acquisition.formats.mdf import read_mdf
from nixel.acquisition.formats.volumes import read_volume
from nixel.physics.grid import Grid
from nixel.physics.phantoms import phantom

pytestmark = pytest.mark.timeout(240)

STEP = 2e-3
CALIBRATION = (
    'kind = "calibration"\ngrid = [9, 9]\nfield_of_view = ["18 mm", "18 mm"]\naverages = 10\nseed = 1\n'
)
# Two patches, four voxels of the calibration apart.
SCAN = 'kind = "scan"\nsubject = "dots"\naverages = 50\nseed = 1\npatches = [["-4 mm", "0 mm"], ["4 mm", "0 mm"]]\n'


@pytest.fixture(scope="module")
def done(shared_service, tmp_path_factory):
    """The run's folder with its files, once both have been run by `nixel run`."""
    bench, service = shared_service
    bench.arm()
    folder = tmp_path_factory.mktemp("patches")
    said = {}
    for name, text in (("calibration", CALIBRATION), ("scan", SCAN)):
        (folder / f"{name}.toml").write_text(text)
        ended = nixel("run", f"{name}.toml", f"--url={service.url}", folder=folder)
        assert ended.returncode == 0, ended.stderr
        said[name] = ended.stdout
    runs = {run["kind"]: run for run in service.client.get("/runs")}
    wait_until(lambda: service.client.get(f"/runs/{runs['scan']['id']}")["picture_ids"], what="the picture")
    files = {kind: folder_of(service, run["dataset_ids"][-1]) for kind, run in runs.items()}
    picture = service.client.get(f"/pictures/{runs['scan']['picture_ids'][-1]}")
    return folder, said, files, service.data / picture["path"], f"picture-{picture['id']}", service.data


def folder_of(service, number):
    return service.data / service.client.get(f"/datasets/{number}")["path"]


def iron(shape):
    """The phantom's own iron on the voxels."""
    grid = Grid(shape, (shape[0] * STEP, shape[1] * STEP))
    return phantom("dots").rasterise(grid)


def alike(found, expected):
    return np.corrcoef(found.ravel(), expected.ravel())[0, 1]


def test_the_plan_tells_of_it_before_the_start(done):
    _, said, *_ = done
    assert "frames      8" in said["scan"]
    assert "note        Not counted: heating by the focus fields" in said["scan"]


def test_its_picture_is_of_all_patches_and_stands_where_they_are(done):
    _, _, files, picture, *_ = done
    assert read_mdf(files["scan"]).measurement.data.shape[1] == 2
    images = read_mdf(picture).reconstruction
    # Nine voxels of the calibration and four more, by which the patches are apart.
    assert tuple(images.size) == (13, 9, 1)
    assert tuple(images.field_of_view[:2]) == pytest.approx((26e-3, 18e-3))
    found = np.asarray(images.images()).reshape(-1, 9, 13).mean(axis=0)
    assert alike(found, iron((9, 13))) > 0.8


def test_the_command_reconstructs_the_same(done):
    folder, _, files, picture, *_ = done
    words = (str(files["scan"]), f"--calibration={files['calibration']}", "--out=out.nrrd")
    ended = nixel("mpi", "reconstruct", *words, folder=folder)
    assert ended.returncode == 0, ended.stderr
    volume = read_volume(folder / "out.nrrd")
    images = read_mdf(picture).reconstruction
    stored = np.asarray(images.images()).reshape(-1, 9, 13)
    np.testing.assert_allclose(volume.data.reshape(-1, 9, 13), stored, rtol=1e-4, atol=1e-6 * stored.max())


def test_it_is_made_again_to_the_bit(done):
    folder, *_, identity, data = done
    ended = nixel("reproduce", identity, f"--data={data}", folder=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr

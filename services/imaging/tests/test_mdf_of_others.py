"""MDF files as the RedPitaya scanners' programs wrote them in version 2.0: told of, checked and reconstructed.

They are written here by h5py alone, after the specification's tag v2.0.0 and what MPIFiles.jl of that time wrote and
read: no numPeriodsPerFrame (or numPeriods in its place), no isFastFrameAxis (or isTransposed), no
isSparsityTransformed, one waveform and one tracer as single values, and a gradient of three numbers a period. The
numbers in them are those of a simulation, whose own files tell what must come of them.
"""

import h5py
import numpy as np
import pytest
from files_to_files import assert_refused, nixel

from nixel.acquisition.formats.mdf import MdfError, read_mdf
from nixel.acquisition.formats.volumes import read_volume

UUID = "3170fdf8-f8e1-4cbf-ac73-41520b41f6ee"
STYLES = ("lacking", "by another name")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("others")
    words = (
        "--phantom=dots",
        "--shape=1x11x11",
        "--field-of-view=1mm,22mm,22mm",
        "--averages=1000",
        "--frames=3",
    )
    done = nixel("mpi", "simulate", *words, "--out=ours", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def foreign(source, path, style):
    """Write the numbers of one of our files as such a program would; what is text or number is by the specification."""
    with h5py.File(source) as ours, h5py.File(path, "w") as file:
        data, measured = ours["/measurement/data"][()], ours["/measurement"]
        calibration = "calibration" in ours
        text = {
            "version": "2.0.0",
            "uuid": UUID,
            "time": "2019-05-06T07:08:09.123",
            "study/name": "Test",
            "study/uuid": UUID,
            "study/description": "n.a.",
            "experiment/name": "dots",
            "experiment/uuid": UUID,
            "experiment/description": "n.a.",
            "experiment/subject": "phantom",
            "scanner/name": "RedPitaya scanner",
            "scanner/facility": "n.a.",
            "scanner/operator": "n.a.",
            "scanner/manufacturer": "n.a.",
            "scanner/topology": "FFP",
            "tracer/name": "magnetite",
            "tracer/batch": "1",
            "tracer/vendor": "n.a.",
            "tracer/solute": "Fe",
            "acquisition/startTime": "2019-05-06T07:00:00.000",
            "acquisition/drivefield/waveform": "sine",
            "acquisition/receiver/unit": "V",
        }
        dividers = np.array([[102], [96]])
        numbers = {
            "study/number": np.int64(0),
            "experiment/number": np.int64(1),
            "experiment/isSimulation": np.int8(0),
            "tracer/concentration": ours["/tracer/concentration"][0],
            "tracer/volume": ours["/tracer/volume"][0],
            "acquisition/numAverages": ours["/acquisition/numAverages"][()],
            "acquisition/numFrames": np.int64(len(measured["isBackgroundFrame"])),
            # In HDF5's order of dimensions J x 3, as before the release.
            "acquisition/gradient": np.array([[-1.25, -1.25, 2.5]]),
            "acquisition/offsetField": np.zeros((1, 3)),
            "acquisition/drivefield/numChannels": np.int64(2),
            "acquisition/drivefield/strength": np.full((1, 2, 1), 12e-3),
            "acquisition/drivefield/phase": np.zeros((1, 2, 1)),
            "acquisition/drivefield/baseFrequency": 2.5e6,
            "acquisition/drivefield/divider": dividers,
            "acquisition/drivefield/cycle": 1632 / 2.5e6,
            "acquisition/receiver/numChannels": np.int64(2),
            "acquisition/receiver/bandwidth": 1.25e6,
            "acquisition/receiver/numSamplingPoints": np.int64(1632),
            "measurement/data": data,
            "measurement/isBackgroundFrame": measured["isBackgroundFrame"][()],
            "measurement/isSpectralLeakageCorrected": np.int8(0),
            "measurement/isBackgroundCorrected": np.int8(0),
            "measurement/isFourierTransformed": np.int8(calibration),
            "measurement/isTransferFunctionCorrected": np.int8(0),
            "measurement/isFrequencySelection": np.int8("frequencySelection" in measured),
            "measurement/isFramePermutation": np.int8(calibration),
        }
        if "dataConversionFactor" in ours["/acquisition/receiver"]:
            factor = ours["/acquisition/receiver/dataConversionFactor"][()]
            numbers["acquisition/receiver/dataConversionFactor"] = factor
        for name in ("framePermutation", "frequencySelection"):
            if name in measured:
                numbers[f"measurement/{name}"] = measured[name][()]
        if calibration:
            text |= {"calibration/method": "robot", "calibration/order": "xyz"}
            for name in ("size", "fieldOfView", "fieldOfViewCenter", "deltaSampleSize", "snr"):
                if name in ours["/calibration"]:
                    numbers[f"calibration/{name}"] = ours[f"/calibration/{name}"][()]
        if style == "by another name":
            numbers["acquisition/numPeriods"] = np.int64(1)
            numbers["measurement/isTransposed"] = np.int8(calibration)
            numbers["measurement/isFramePermution"] = numbers.pop("measurement/isFramePermutation")
        for name, value in (text | numbers).items():
            file[name] = value
    return path


@pytest.fixture(scope="module", params=STYLES)
def theirs(request, simulated):
    folder = simulated / request.param.replace(" ", "-")
    folder.mkdir()
    for name in ("scan", "calibration"):
        foreign(simulated / "ours" / f"{name}.mdf", folder / f"{name}.mdf", request.param)
    return request.param, folder


@pytest.mark.parametrize("name", ["scan", "calibration"])
def test_the_check_finds_no_fault_and_says_what_is_assumed(theirs, name):
    style, folder = theirs
    done = nixel("mdf", "check", f"{name}.mdf", folder=folder)
    assert done.returncode == 0, done.stdout
    assert "good (0 errors," in done.stdout
    warned = [
        line.removeprefix("warning: ") for line in done.stdout.splitlines() if line.startswith("warning: ")
    ]
    for path in ("numPeriodsPerFrame", "drivefield/waveform", "gradient"):
        assert f"/acquisition/{path}" in warned
    for path in ("isFastFrameAxis", "isSparsityTransformed"):
        assert f"/measurement/{path}" in warned
    said = "1 is assumed, as" if name == "calibration" else "0 is assumed"
    assert said in done.stdout
    if style == "by another name":
        assert "as /measurement/isTransposed says" in done.stdout


@pytest.mark.parametrize(("name", "axes"), [("scan", "N x J x C x W"), ("calibration", "J x C x K x N")])
def test_what_it_holds_is_told_with_what_is_assumed(theirs, name, axes):
    _, folder = theirs
    done = nixel("mdf", "info", f"{name}.mdf", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    for text in ("version                 2.0.0", axes, "-1.25 x -1.25 x 2.5 T/m", "RedPitaya scanner"):
        assert text in done.stdout
    for text in (
        "/acquisition/drivefield/waveform is a single value, assumed for all channels",
        "/acquisition/gradient has three numbers a period, assumed its diagonal",
        "/acquisition/numPeriodsPerFrame is missing, assumed 1",
        f"/measurement/isFastFrameAxis is missing, assumed {int(name == 'calibration')}",
        "/measurement/isSparsityTransformed is missing, assumed 0",
    ):
        assert text in done.stdout


def test_its_picture_is_that_of_the_same_numbers_in_our_own_files(theirs, simulated):
    _, folder = theirs
    volumes = []
    for place in (simulated / "ours", folder):
        words = ("scan.mdf", "--calibration=calibration.mdf", "--iterations=20", "--out=out.nrrd")
        done = nixel("mpi", "reconstruct", *words, folder=place)
        assert done.returncode == 0, done.stderr
        volumes.append(read_volume(place / "out.nrrd"))
    np.testing.assert_array_equal(volumes[0].data, volumes[1].data)
    assert volumes[0].spacing == volumes[1].spacing
    assert volumes[0].data.max() > 0


def test_a_compression_from_before_the_standard_has_one_is_refused(simulated, tmp_path):
    path = foreign(simulated / "ours/calibration.mdf", tmp_path / "a.mdf", "lacking")
    with h5py.File(path, "a") as file:
        file["/measurement/isBasisTransformed"] = np.int8(1)
    with pytest.raises(MdfError, match="isBasisTransformed, which is from before"):
        read_mdf(path)
    assert_refused(nixel("mdf", "info", path), "isBasisTransformed")


def test_gradients_of_several_periods_are_diagonals_of_each(simulated, tmp_path):
    path = foreign(simulated / "ours/scan.mdf", tmp_path / "a.mdf", "lacking")
    diagonals = np.array([[-0.5, -0.5, 1.0], [-1.25, -1.25, 2.5]])
    with h5py.File(path, "a") as file:
        del file["/acquisition/gradient"]
        file["/acquisition/gradient"] = diagonals
    setting = read_mdf(path).setting
    np.testing.assert_array_equal(setting.gradients, [np.diag(row) for row in diagonals])

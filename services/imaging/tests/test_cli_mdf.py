"""`nixel mdf` as a person meets it."""

import json
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from files_to_files import assert_refused, nixel

from nixel.acquisition.formats.mdf import Setting, write_measurement


@pytest.fixture
def scan(tmp_path):
    time = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    setting = Setting(
        time=time,
        start_time=time,
        simulated=True,
        scanner="bench",
        base_frequency=2.5e6,
        dividers=(4, 3),
        drive_field=(0.012, 0.011),
        gradient=(-1.25, -1.25, 2.5),
        samples=12,
        channels=2,
        averages=5,
    )
    data = np.zeros((3, 1, 2, 12), np.float32)
    return write_measurement(tmp_path / "scan.mdf", setting, data, [True, False, False], provenance={}).path


def test_a_good_file_is_said_to_be_good(scan):
    done = nixel("mdf", "check", scan)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{scan}: good (0 errors, 0 warnings); ")
    assert "N = 3" in done.stdout
    done = nixel("mdf", "check", scan, "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (told["errors"], told["warnings"], told["sizes"]["V"]) == ([], [], 12)


def test_all_that_is_wrong_is_listed_with_what_to_do(scan):
    with h5py.File(scan, "a") as file:
        del file["/uuid"], file["/acquisition/drivefield/cycle"]
        file["/acquisition/drivefield/cycle"] = 1.0
        file["/scanner/\x1b[31mred"] = 1
    done = nixel("mdf", "check", scan)
    assert done.returncode == 1
    errors = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    # What the file says itself does not reach the terminal as it is.
    assert errors == [
        r"error: /scanner/\x1b[31mred",
        "error: /uuid",
        "error: /acquisition/drivefield/cycle",
    ]
    assert (
        "  expected: lcm(divider) / baseFrequency = 12 / 2.5e+06 Hz = 4.8e-06 s\n  found:    1 s\n"
        in done.stdout
    )
    # A cycle that does not fit the samples is warned of as well.
    assert done.stdout.count("  to do:    ") == 4
    assert done.stdout.splitlines()[-1].startswith(f"{scan}: not as MDF 2.1 wants it (3 errors, 1 warning)")
    told = json.loads(nixel("mdf", "check", scan, "--json").stdout)
    assert [set(finding) for finding in told["errors"]] == [{"path", "expected", "found", "remedy"}] * 3


def test_warnings_alone_are_no_fault(scan):
    with h5py.File(scan, "a") as file:
        del file["/version"], file["/measurement/isFastFrameAxis"]
        file["/version"] = "2.0.0"
    done = nixel("mdf", "check", scan)
    assert done.returncode == 0
    assert "good (0 errors, 2 warnings)" in done.stdout
    done = nixel("mdf", "info", scan)
    assert done.returncode == 0
    assert "assumed                 /measurement/isFastFrameAxis is missing, assumed 0" in done.stdout


def test_what_a_file_holds_is_told(scan):
    done = nixel("mdf", "info", scan)
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        "kind                    measurement",
        "measured                2024-05-06 07:08:09 UTC",
        "simulated               yes",
        "drive field             12 mT at 625 kHz",
        "data                    N x J x C x W = 3 x 1 x 2 x 12 float32, 0.000275 MiB in memory",
        "frames                  2, and 1 of background",
    ):
        assert line in done.stdout.splitlines()
    told = json.loads(nixel("mdf", "info", scan, "--json").stdout)
    assert told["drive field"] == ["12 mT at 625 kHz", "11 mT at 833.333 kHz"]
    assert told["assumed"] == []


@pytest.mark.parametrize("command", ["check", "info"])
def test_what_is_no_mdf_is_refused(tmp_path, command):
    assert_refused(nixel("mdf", command, tmp_path / "none.mdf"), "there is no such file")
    (tmp_path / "text.mdf").write_text("hello")
    assert_refused(nixel("mdf", command, tmp_path / "text.mdf"), "expected an HDF5 file that is whole")
    with h5py.File(tmp_path / "other.mdf", "w") as file:
        file["/entry"] = 1
    assert_refused(
        nixel("mdf", command, tmp_path / "other.mdf"), "found" if command == "info" else "without any"
    )


def test_what_nixel_writes_passes_the_check(tmp_path):
    words = ("--phantom=dots", "--frames=2", "--shape=1x5x5", "--averages=1000", f"--out={tmp_path / 'dots'}")
    assert nixel("mpi", "simulate", *words).returncode == 0
    for name in ("scan.mdf", "calibration.mdf"):
        done = nixel("mdf", "check", tmp_path / "dots" / name)
        assert "good (0 errors, 0 warnings)" in done.stdout

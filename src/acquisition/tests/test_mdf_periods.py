"""MDF files whose frames have several periods, each in fields of its own, and data left in its file."""

from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

from nixel.acquisition.formats.mdf import MdfError, Setting, open_mdf, read_mdf, write_measurement
from nixel.acquisition.formats.mdf_info import describe

START = datetime(2000, 1, 1, tzinfo=UTC)
FOCUS = np.array([[0.01, 0.0, 0.0], [-0.01, 0.002, 0.0], [0.0, 0.0, 0.003]])
TURNED = np.array([np.diag([g, 1.0, -1.0 - g]) for g in (0.5, 0.75, 1.0)])
SWEEPS = np.array([[0.01, 0.0], [0.0, 0.02], [-0.01, 0.01]])


def write(path, **changes):
    setting = Setting(
        time=START,
        start_time=START,
        simulated=True,
        scanner="test",
        base_frequency=2.5e6,
        dividers=(4, 3),
        drive_field=(0.012, 0.011),
        gradient=(-1.25, -1.25, 2.5),
        samples=12,
        channels=2,
        averages=1,
        **changes,
    )
    data = np.random.default_rng(1).standard_normal((2, 3, 2, 12)).astype(np.float32)
    write_measurement(path, setting, data, [True, False], provenance={})
    return data


def test_each_period_keeps_its_fields_where_the_standard_has_them(tmp_path):
    write(tmp_path / "a.mdf", offset_fields=FOCUS, gradients=TURNED, drive_fields=SWEEPS)
    with h5py.File(tmp_path / "a.mdf") as file:
        # J x Y x 3, J x Y x 3 x 3, J x D x F of the specification, with Y = F = 1.
        np.testing.assert_array_equal(file["/acquisition/offsetField"][()], FOCUS[:, None])
        np.testing.assert_array_equal(file["/acquisition/gradient"][()], TURNED[:, None])
        np.testing.assert_array_equal(file["/acquisition/drivefield/strength"][()], SWEEPS[:, :, None])
    setting = read_mdf(tmp_path / "a.mdf").setting
    np.testing.assert_array_equal(setting.offset_fields, FOCUS)
    np.testing.assert_array_equal(setting.gradients, TURNED)
    np.testing.assert_array_equal(setting.drive_fields, SWEEPS)


def test_what_is_alike_in_all_periods_is_said_once(tmp_path):
    write(tmp_path / "a.mdf")
    setting = read_mdf(tmp_path / "a.mdf").setting
    assert setting.offset_fields is setting.gradients is setting.drive_fields is None
    assert setting.gradient == (-1.25, -1.25, 2.5)
    assert setting.drive_field == (0.012, 0.011)


@pytest.mark.parametrize(
    ("name", "values"), [("offset_fields", FOCUS[:2]), ("gradients", FOCUS), ("drive_fields", FOCUS)]
)
def test_fields_of_other_periods_are_refused(tmp_path, name, values):
    with pytest.raises(MdfError, match=f"{name}: expected dimensions"):
        write(tmp_path / "a.mdf", **{name: values})
    assert not list(tmp_path.iterdir())


def test_data_may_stay_in_its_file(tmp_path):
    data = write(tmp_path / "a.mdf")
    measured = read_mdf(tmp_path / "a.mdf", mapped=True).measurement
    assert isinstance(measured.data, np.memmap)
    np.testing.assert_array_equal(measured.data, data)
    assert not isinstance(read_mdf(tmp_path / "a.mdf").measurement.data, np.memmap)


def test_the_offset_fields_of_patches_are_told(tmp_path):
    write(tmp_path / "a.mdf", offset_fields=FOCUS)
    with open_mdf(tmp_path / "a.mdf") as mdf:
        assert describe(mdf)["offset field"] == ["10 x 0 x 0 mT", "-10 x 2 x 0 mT", "0 x 0 x 3 mT"]
    write(tmp_path / "b.mdf")
    with open_mdf(tmp_path / "b.mdf") as mdf:
        assert "offset field" not in describe(mdf)

"""Scans through patches: focus fields from the protocol file to the dataset."""

import json
import threading

import numpy as np
import pytest

from nixel.acquisition.adapters.scpi import ScpiConnection
from nixel.acquisition.devices import DeviceError
from nixel.acquisition.formats.mdf import check_mdf, read_mdf
from nixel.acquisition.instrument import Instrument, load_instrument
from nixel.acquisition.opened import open_devices
from nixel.acquisition.protocol import ProtocolError, ScanProtocol
from nixel.acquisition.scan import ScanAborted, measure
from nixel.acquisition.sequences import SequenceError, load_sequence
from nixel.acquisition.virtual import signal

SHIPPED = load_instrument("virtual-scanner")
FILE = """
kind = "scan"
frames = 3
averages = 40
background_frames = 2
seed = 5
patches = [["-4 mm", "0 mm"], ["4 mm", "0 mm"], ["0 mm", "8 mm"]]
"""
# -G r with G = (-1.25, -1.25) T/m.
FOCUS = [[-5e-3, 0, 0], [5e-3, 0, 0], [0, 10e-3, 0]]


@pytest.fixture
def protocol(tmp_path):
    (tmp_path / "scan.toml").write_text(FILE)
    return load_sequence(tmp_path / "scan.toml").protocol


def spectra_at(codes):
    """Mixing frequencies that the feed-through does not reach: f1 + f2 and its neighbours."""
    return np.fft.rfft(codes)[:, [33, 50, 49, 67]]


def test_a_dataset_holds_each_patch_with_its_focus_field(scanner, safety, tmp_path, protocol):
    found = measure(scanner.instrument, protocol, path=tmp_path / "p.mdf", safety=safety, provenance={})
    report = check_mdf(found.dataset)
    assert (report.errors, report.warnings) == ([], [])
    mdf = read_mdf(found.dataset)
    assert mdf.measurement.data.shape == (5, 3, 2, 1632)
    np.testing.assert_allclose(mdf.setting.offset_fields, FOCUS, rtol=1e-12, atol=0)
    assert mdf.setting.averages == 40
    codes = mdf.measurement.data.astype(np.float64)
    frames = codes[2:].mean(axis=0) - codes[:2].mean(axis=0)
    scanner_ = scanner.instrument.scanner
    for patch, focus in zip(frames, FOCUS, strict=True):
        phantom = signal.NamedPhantom("stenosis")
        truth = signal.particle_signal(phantom, (0, 0), scanner_, scanner_.drive_field, tuple(focus[:2]))
        expected, seen = spectra_at(truth), spectra_at(patch)
        # Noise of the mean of 120 and 80 periods, six times; and what 50 uT of 12 mT may change.
        noise = 6 * 4.0 * np.sqrt(1632 * (1 / 120 + 1 / 80))
        assert np.abs(seen - expected).max() < noise + 0.03 * np.abs(expected).max()
    # They see different parts of it.
    strength = np.abs(spectra_at(frames.reshape(6, 1632)).reshape(3, -1)).max(axis=1)
    assert strength.max() > 1.2 * strength.min()


def test_each_patch_controls_its_field(scanner, safety, tmp_path, protocol):
    found = measure(scanner.instrument, protocol, path=tmp_path / "p.mdf", safety=safety, provenance={})
    controls = json.loads(read_mdf(found.dataset).extras["fieldControl"])
    # Before the empty bore and before the subject, each patch once.
    assert [control["steps"][0]["patch"] for control in controls] == [0, 1, 2, 0, 1, 2]
    assert all(control["steps"][-1]["error"] <= 50e-6 for control in controls)
    # What was learned at a patch is kept for it.
    assert max(len(control["steps"]) for control in controls[3:]) <= 2 < len(controls[1]["steps"])


def test_the_field_of_view_is_in_the_middle_again_for_the_next_run(scanner, safety, tmp_path, protocol):
    measure(scanner.instrument, protocol, path=tmp_path / "p.mdf", safety=safety, provenance={})
    plain = ScanProtocol(frames=2, averages=40, background_frames=1, seed=5)
    files = []
    for name in ("after.mdf", "again.mdf"):
        found = measure(scanner.instrument, plain, path=tmp_path / name, safety=safety, provenance={})
        files.append(found.dataset.read_bytes())
    assert files[0] == files[1]
    assert read_mdf(tmp_path / "after.mdf").setting.offset_fields is None


def test_a_pause_takes_the_frame_anew_through_all_its_patches(scanner, safety, tmp_path, protocol):
    wanted, waits = threading.Event(), []

    def progress(stage, done, _total):
        if (stage, done) == ("frames", 1) and not waits:
            wanted.set()
        if stage == "paused":
            with ScpiConnection(scanner.ready["control"], 2.0, "scanner") as connection:
                waits.append(connection.query("RP:TR?"))
            wanted.clear()

    found = measure(
        scanner.instrument,
        protocol,
        path=tmp_path / "p.mdf",
        safety=safety,
        provenance={},
        progress=progress,
        paused=wanted.is_set,
    )
    assert waits == ["0"]
    mdf = read_mdf(found.dataset)
    assert mdf.extras["complete"] == 1
    frames = mdf.measurement.data[2:].astype(np.float64)
    strengths = np.abs(spectra_at(frames.reshape(-1, 1632))).reshape(3, 3, -1)
    # No patch stands in another's place: each frame is like the first.
    assert np.abs(strengths[1:] - strengths[0]).max() < 0.2 * strengths[0].max()


def test_the_plan_counts_all_patches_and_says_what_it_does_not_count(protocol):
    plan, one = protocol.plan(SHIPPED), protocol.model_copy(update={"patches": ()}).plan(SHIPPED)
    assert plan.frames == one.frames
    assert plan.size == 3 * one.size
    assert plan.duration > one.duration + 2 * 5 * 40 * 1632 / 2.5e6
    assert plan.notes == (
        "Not counted: heating by the focus fields (the instrument file has no data for it).",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('patches = [["17 mm", "0 mm"]]', r"x = 17 mm takes a focus field of 21\.2 mT; .*focus_field, 20 mT"),
        ('patches = [["1 mm", "0 mm"], ["1 mm"]]', r"patches\.1: found 1 coordinates; expected one for each"),
        ('patches = [["nan mm", "0 mm"]]', "nan"),
        ("patches = [[1, 2]]", "bare number"),
    ],
)
def test_what_the_scanner_cannot_do_is_refused_beforehand(tmp_path, text, message):
    (tmp_path / "scan.toml").write_text(f'kind = "scan"\n{text}\n')
    with pytest.raises(SequenceError, match=message):
        load_sequence(tmp_path / "scan.toml").plan(SHIPPED)


def without_focus_field():
    tables = SHIPPED.model_dump(mode="json", exclude_none=True)
    del tables["scanner"]["limits"]["focus_field"]
    return Instrument.model_validate(tables)


def test_a_scanner_without_focus_field_has_no_patches(protocol):
    with pytest.raises(ProtocolError, match=r"expected scanner\.limits\.focus_field .* found none"):
        protocol.plan(without_focus_field())


def test_the_device_refuses_too_much_focus_field_itself(scanner):
    with open_devices(scanner.instrument) as devices:
        daq = devices["daq"]
        daq.focus([0.0, 0.0])
        with pytest.raises(
            DeviceError, match=r"focus field of channel 1.*expected at most .*20 mT, found 21 mT"
        ):
            daq.focus([0.0, 21e-3])
        assert daq.control.query("RP:DAC:CHannel1:OFFset?") == "0.0"
        daq.focus([0.0, 20e-3])
        assert float(daq.control.query("RP:DAC:CHannel1:OFFset?")) == pytest.approx(0.5)
        daq.focus([0.0, 0.0])


def test_what_a_cancelled_scan_has_of_whole_frames_is_kept(scanner, safety, tmp_path, protocol):
    enough = threading.Event()

    def progress(stage, done, _total):
        if (stage, done) == ("frames", 1):
            enough.set()

    with pytest.raises(ScanAborted, match="cancelled"):
        measure(
            scanner.instrument,
            protocol.model_copy(update={"frames": 200}),
            path=tmp_path / "p.mdf",
            safety=safety,
            provenance={},
            progress=progress,
            cancelled=enough.is_set,
        )
    mdf = read_mdf(tmp_path / "p.mdf")
    assert (mdf.extras["complete"], mdf.extras["planned"]) == (0, 202)
    assert 3 <= len(mdf.measurement.data) < 202
    assert mdf.measurement.data.shape[1:] == (3, 2, 1632)
    np.testing.assert_allclose(mdf.setting.offset_fields, FOCUS, rtol=1e-12, atol=0)
    report = check_mdf(tmp_path / "p.mdf")
    assert (report.errors, report.warnings) == ([], [])

"""Runs on the virtual scanner: what they write, and that what is aborted leaves nothing."""

import threading
import time

import numpy as np
import pytest

from nixel.acquisition.adapters.scpi import ScpiConnection
from nixel.acquisition.devices import DeviceError
from nixel.acquisition.formats.mdf import MdfError, read_mdf
from nixel.acquisition.protocol import CalibrationProtocol, ProtocolError, ScanProtocol
from nixel.acquisition.scan import ScanAborted, calibrate, measure
from nixel.acquisition.virtual import signal

SHORT = ScanProtocol(frames=3, averages=20, background_frames=2, seed=5)
LONG = ScanProtocol(frames=2000, averages=20, background_frames=0, seed=5)
SMALL = CalibrationProtocol(
    grid=(3, 4), field_of_view=("12 mm", "16 mm"), averages=10, background_frames=3, seed=5
)


def control(scanner):
    return ScpiConnection(scanner.ready["control"], 2.0, "scanner")


def test_a_measurement_holds_the_phantoms_signal(scanner, safety, tmp_path):
    seen = []
    info = measure(
        scanner.instrument,
        SHORT,
        path=tmp_path / "m.mdf",
        safety=safety,
        provenance={"by": "test"},
        progress=lambda *news: seen.append(news),
    )
    assert safety.events == ["lease scan", "enable amplifier", "released"]
    assert seen == [
        *[("background", n, 2) for n in range(3)],
        *[("frames", n, 3) for n in range(4)],
        ("writing", 0, 1),
        ("writing", 1, 1),
    ]
    mdf = read_mdf(info.path)
    assert (info.kind, info.simulated, info.shape) == ("measurement", True, (5, 1, 2, 1632))
    assert mdf.setting.simulated
    assert mdf.labels.subject == "stenosis"
    assert mdf.provenance == {"by": "test"}
    assert mdf.extras["lostSamples"] == 0
    assert mdf.extras["instrumentFingerprint"] == scanner.instrument.fingerprint()
    assert mdf.measurement.is_background.tolist() == [True, True, False, False, False]
    # Less the background it is the phantom's signal, within noise and the feed-through's drift.
    codes = mdf.measurement.data[:, 0]
    found = codes[2:].mean(axis=0) - codes[:2].mean(axis=0)
    particles = signal.particle_signal(
        signal.NamedPhantom("stenosis"),
        (0, 0),
        scanner.instrument.scanner,
        scanner.instrument.scanner.drive_field,
    )
    residual = found - particles
    # Inserting the sample takes a second of the scanner's clock: 1500 codes of feed-through drift by 0.1 %.
    assert np.abs(residual).max() < 6 * 4.0 * np.sqrt(1 / 60 + 1 / 40) + 2 * 1500 * 0.02 / 20
    assert residual.std() < 0.01 * particles.std()
    volts = mdf.measurement.volts()
    np.testing.assert_allclose(volts[:, 0], codes.astype(np.float64) * (40e-3 / 32768), rtol=1e-12)


def test_one_seed_gives_bit_identical_files_and_another_seed_another(scanner, safety, tmp_path):
    def run(name, protocol, write=measure):
        return write(
            scanner.instrument, protocol, path=tmp_path / name, safety=safety, provenance={"a": 1}
        ).path.read_bytes()

    assert run("a.mdf", SHORT) == run("b.mdf", SHORT)
    assert run("c.mdf", SHORT.model_copy(update={"seed": 6})) != run("d.mdf", SHORT)
    assert run("e.mdf", SMALL, calibrate) == run("f.mdf", SMALL, calibrate)


def test_single_periods_are_stored_as_the_converter_gave_them(scanner, safety, tmp_path):
    protocol = ScanProtocol(frames=2, averages=1, background_frames=0, subject="dots")
    info = measure(scanner.instrument, protocol, path=tmp_path / "m.mdf", safety=safety, provenance={})
    assert read_mdf(info.path).measurement.data.dtype == np.int16


def test_an_average_is_the_mean_of_its_periods(scanner, safety, tmp_path):
    values = {"background_frames": 0, "seed": 9}
    one, many = ScanProtocol(frames=6, averages=1, **values), ScanProtocol(frames=2, averages=3, **values)
    data = [
        read_mdf(
            measure(scanner.instrument, p, path=tmp_path / f"{n}.mdf", safety=safety, provenance={}).path
        ).measurement.data
        for n, p in enumerate((one, many))
    ]
    mean = data[0].reshape(2, 3, 1, 2, 1632).astype(np.float64).mean(axis=1)
    np.testing.assert_array_equal(data[1], mean.astype(np.float32))


def test_a_calibration_holds_the_delta_samples_spectra(scanner, safety, tmp_path):
    info = calibrate(scanner.instrument, SMALL, path=tmp_path / "c.mdf", safety=safety, provenance={})
    mdf = read_mdf(info.path)
    assert info.shape == (1, 2, 817, 12 + 3 + 3)
    assert mdf.calibration.size == (4, 3, 1)
    assert mdf.measurement.is_background.tolist() == [False] * 12 + [True] * 6
    # Three background frames first, then rows of four, each followed by one background frame.
    assert mdf.measurement.frame_permutation.tolist() == [
        *(4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17),
        *(1, 2, 3, 8, 13, 18),
    ]
    spectra = mdf.measurement.spectra()[:, 0]
    matrix = spectra[:12] - spectra[12:].mean(axis=0)
    scanner_ = scanner.instrument.scanner
    volts = 40e-3 / 32768
    for position, row in zip(mdf.calibration.positions, matrix, strict=True):
        delta = signal.Delta((0.8e-3, 0.8e-3, 1e-3))
        expected = np.fft.rfft(
            signal.particle_signal(delta, tuple(position[:2]), scanner_, scanner_.drive_field) * volts
        )
        # 33 and 50 are f1 + f2 and f1 + 2 f2: mixing frequencies that the feed-through does not reach.
        noise = 4.0 * volts * np.sqrt(1632 / 10)
        assert np.abs(row[:, [33, 50, 49, 67]] - expected[:, [33, 50, 49, 67]]).max() < 6 * noise
    assert mdf.calibration.snr.shape == (1, 2, 817)
    assert mdf.calibration.snr[0, :, [49, 50]].min() > 5


def aborted(scanner, safety, tmp_path, disturb, protocol=LONG, **options):
    """Run a long scan, disturb it after 0.3 s, and check that nothing is left; gives the error."""
    began = time.monotonic()
    timer = threading.Timer(0.3, disturb)
    timer.start()
    try:
        with pytest.raises((ScanAborted, DeviceError)) as caught:
            measure(
                scanner.instrument, protocol, path=tmp_path / "m.mdf", safety=safety, provenance={}, **options
            )
    finally:
        timer.join()
    assert time.monotonic() - began < 3
    assert not list(tmp_path.iterdir())
    assert safety.events[-1] == "released"
    assert scanner.line.ask("GET:STATUS").startswith("STATUS:AC=0")
    with control(scanner) as connection:
        assert connection.query("RP:TR?") == "0"
        assert connection.query("RP:ADC:ACQ:STAT?") == "0"
    return caught.value


def test_the_emergency_stop_aborts_with_the_safety_daemons_reason(scanner, safety, tmp_path):
    def pull():
        with control(scanner) as connection:
            connection.command("SIM:ESTOP 1")

    error = aborted(scanner, safety, tmp_path, pull)
    assert isinstance(error, ScanAborted)
    assert str(error) == safety.reason


def test_a_cancelled_scan_leaves_nothing(scanner, safety, tmp_path):
    cancel = threading.Event()
    error = aborted(scanner, safety, tmp_path, cancel.set, cancelled=cancel.is_set)
    assert isinstance(error, ScanAborted)
    assert "cancelled" in str(error)


def test_lost_samples_end_the_scan_with_a_clear_record(scanner, safety, tmp_path):
    def lose():
        with control(scanner) as connection:
            connection.command("SIM:LOSE 2")

    error = aborted(scanner, safety, tmp_path, lose)
    assert isinstance(error, DeviceError)
    assert "2 lost" in str(error)


def test_a_scanner_that_dies_leaves_nothing(new_scanner, stand_in_safety, tmp_path):
    scanner = new_scanner()
    folder = tmp_path / "data"
    folder.mkdir()
    safety = stand_in_safety(scanner.line)
    timer = threading.Timer(0.5, scanner.process.kill)
    timer.start()
    with pytest.raises((ScanAborted, DeviceError)):
        measure(scanner.instrument, LONG, path=folder / "m.mdf", safety=safety, provenance={})
    timer.join()
    assert not list(folder.iterdir())
    assert safety.events[-1] == "released"


def test_bad_requests_energise_nothing(scanner, safety, tmp_path):
    options = {"safety": safety, "provenance": {}}
    (tmp_path / "there.mdf").write_text("here first")
    with pytest.raises(MdfError, match="never overwritten"):
        measure(scanner.instrument, SHORT, path=tmp_path / "there.mdf", **options)
    with pytest.raises(MdfError, match="no such folder"):
        measure(scanner.instrument, SHORT, path=tmp_path / "none" / "m.mdf", **options)
    with pytest.raises(ProtocolError):
        measure(scanner.instrument, ScanProtocol(frames=100_000), path=tmp_path / "m.mdf", **options)
    nowhere = scanner.instrument.with_endpoints({"daq.control": "127.0.0.1:1"})
    with pytest.raises(DeviceError, match=r"daq at 127\.0\.0\.1:1: connecting failed: expected a listener"):
        measure(nowhere, SHORT, path=tmp_path / "m.mdf", **options)
    assert safety.events == []
    assert [path.name for path in tmp_path.iterdir()] == ["there.mdf"]


def test_an_unknown_phantom_is_named_with_those_there_are(scanner, safety, tmp_path):
    protocol = ScanProtocol(frames=1, averages=1, background_frames=0, subject="nobody")
    with pytest.raises(DeviceError, match="PHANTOM stenosis, PHANTOM dots"):
        measure(scanner.instrument, protocol, path=tmp_path / "m.mdf", safety=safety, provenance={})
    assert not list(tmp_path.iterdir())


def test_a_position_out_of_the_robots_reach_leaves_nothing(scanner, safety, tmp_path):
    protocol = CalibrationProtocol(grid=(2, 2), field_of_view=("80 mm", "80 mm"), background_frames=0)
    with pytest.raises(DeviceError, match=r"expected a position within -0\.015 m to 0\.015 m"):
        calibrate(scanner.instrument, protocol, path=tmp_path / "c.mdf", safety=safety, provenance={})
    assert not list(tmp_path.iterdir())

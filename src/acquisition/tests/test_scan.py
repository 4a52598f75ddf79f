"""Runs on the virtual scanner: what they write, and what is kept of those that end early or wait."""

import threading
import time

import numpy as np
import pytest

from nixel.acquisition.adapters.scpi import ScpiConnection
from nixel.acquisition.devices import DeviceError
from nixel.acquisition.formats.mdf import MdfError, check_mdf, read_mdf
from nixel.acquisition.protocol import CalibrationProtocol, ProtocolError, ScanProtocol
from nixel.acquisition.scan import ScanAborted, calibrate, measure
from nixel.acquisition.virtual import signal

SHORT = ScanProtocol(frames=3, averages=20, background_frames=2, seed=5)
LONG = ScanProtocol(frames=2000, averages=20, background_frames=0, seed=5)
SMALL = CalibrationProtocol(
    grid=(3, 4), field_of_view=("12 mm", "16 mm"), averages=10, background_frames=3, seed=5
)


def tolerated(signal):
    """By how many codes samples may differ because the field is within 50 uT of 12 mT only.

    A harmonic's phase follows as many times: of the feed-through (1500, 120, 60, 25 and 10 codes of the own axis, a
    fifth of that from the other) and of the particles, most of whose signal is below the fifth.
    """
    through = 1.2 * (1500 + 2 * 120 + 3 * 60 + 4 * 25 + 5 * 10)
    return 50e-6 / 12e-3 * (through + 5 * signal)


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
    assert (info.result, info.dataset) == ("finished", tmp_path / "m.mdf")
    assert [path.name for path in tmp_path.iterdir()] == ["m.mdf"]
    mdf = read_mdf(info.dataset)
    assert (mdf.kind, mdf.measurement.data.shape) == ("measurement", (5, 1, 2, 1632))
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
    drift = 2 * 1500 * 0.02 / 20
    # Before each of the two stages the field is controlled anew.
    noise = 6 * 4.0 * np.sqrt(1 / 60 + 1 / 40)
    assert np.abs(residual).max() < noise + drift + 2 * tolerated(np.abs(particles).max())
    assert np.corrcoef(found.ravel(), particles.ravel())[0, 1] > 0.999
    volts = mdf.measurement.volts()
    np.testing.assert_allclose(volts[:, 0], codes.astype(np.float64) * (40e-3 / 32768), rtol=1e-12)


def test_one_seed_gives_bit_identical_files_and_another_seed_another(scanner, safety, tmp_path):
    def run(name, protocol, write=measure):
        return write(
            scanner.instrument, protocol, path=tmp_path / name, safety=safety, provenance={"a": 1}
        ).dataset.read_bytes()

    assert run("a.mdf", SHORT) == run("b.mdf", SHORT)
    assert run("c.mdf", SHORT.model_copy(update={"seed": 6})) != run("d.mdf", SHORT)
    assert run("e.mdf", SMALL, calibrate) == run("f.mdf", SMALL, calibrate)
    for name in ("a.mdf", "e.mdf"):
        report = check_mdf(tmp_path / name)
        assert (report.errors, report.warnings) == ([], [])


def test_single_periods_are_stored_as_the_converter_gave_them(scanner, safety, tmp_path):
    protocol = ScanProtocol(frames=2, averages=1, background_frames=0, subject="dots")
    info = measure(scanner.instrument, protocol, path=tmp_path / "m.mdf", safety=safety, provenance={})
    assert read_mdf(info.dataset).measurement.data.dtype == np.int16


def test_an_average_is_the_mean_of_its_periods(scanner, safety, tmp_path):
    values = {"background_frames": 0, "seed": 9}
    one, many = ScanProtocol(frames=6, averages=1, **values), ScanProtocol(frames=2, averages=3, **values)
    data = [
        read_mdf(
            measure(scanner.instrument, p, path=tmp_path / f"{n}.mdf", safety=safety, provenance={}).dataset
        ).measurement.data
        for n, p in enumerate((one, many))
    ]
    mean = data[0].reshape(2, 3, 1, 2, 1632).astype(np.float64).mean(axis=1)
    np.testing.assert_array_equal(data[1], mean.astype(np.float32))


def test_a_calibration_holds_the_delta_samples_spectra(scanner, safety, tmp_path):
    info = calibrate(scanner.instrument, SMALL, path=tmp_path / "c.mdf", safety=safety, provenance={})
    mdf = read_mdf(info.dataset)
    assert mdf.measurement.data.shape == (1, 2, 817, 12 + 3 + 3)
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


def is_at_rest(scanner):
    assert scanner.line.ask("GET:STATUS").startswith("STATUS:AC=0")
    with control(scanner) as connection:
        assert connection.query("RP:TR?") == "0"
        assert connection.query("RP:ADC:ACQ:STAT?") == "0"


class Disturbance:
    """Something that happens to a run in a thread of its own, as soon as it has a few frames of the subject."""

    def __init__(self, what):
        self.what, self.thread, self.began = what, None, 0.0

    def progress(self, stage, done, _total):
        if (stage, done) == ("frames", 4):
            self.began = time.monotonic()
            self.thread = threading.Thread(target=self.what)
            self.thread.start()


def aborted(scanner, safety, path, disturb, **options):
    """Disturb a long scan, and check that what it had measured is kept; gives the error."""
    disturbance = Disturbance(disturb)
    with pytest.raises((ScanAborted, DeviceError)) as caught:
        measure(
            scanner.instrument,
            LONG,
            path=path,
            safety=safety,
            provenance={},
            progress=disturbance.progress,
            **options,
        )
    assert time.monotonic() - disturbance.began < 5
    disturbance.thread.join()
    assert safety.events[-1] == "released"
    is_incomplete(path, str(caught.value))
    return caught.value


def is_incomplete(path, reason):
    """A dataset says itself that it is incomplete and why; gives it."""
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    mdf = read_mdf(path)
    frames = len(mdf.measurement.data)
    assert 0 < frames < 2000
    assert (mdf.extras["complete"], mdf.extras["planned"], mdf.extras["committed"]) == (0, 2000, frames)
    assert reason in mdf.extras["reason"]
    assert not mdf.measurement.is_background.any()
    return mdf


def test_the_emergency_stop_aborts_with_the_safety_daemons_reason(scanner, safety, tmp_path):
    def pull():
        with control(scanner) as connection:
            connection.command("SIM:ESTOP 1")

    error = aborted(scanner, safety, tmp_path / "m.mdf", pull)
    is_at_rest(scanner)
    assert isinstance(error, ScanAborted)
    assert str(error) == safety.reason


def test_a_cancelled_scan_keeps_the_frames_that_it_has(scanner, safety, tmp_path):
    cancel = threading.Event()
    error = aborted(scanner, safety, tmp_path / "m.mdf", cancel.set, cancelled=cancel.is_set)
    is_at_rest(scanner)
    assert isinstance(error, ScanAborted)
    assert "cancelled" in str(error)
    assert "kept as an incomplete dataset" in error.__notes__[-1]
    # They are, to the bit, those of a scan that was meant to be as short.
    found = read_mdf(tmp_path / "m.mdf").measurement.data
    protocol = LONG.model_copy(update={"frames": len(found)})
    whole = measure(scanner.instrument, protocol, path=tmp_path / "n.mdf", safety=safety, provenance={})
    np.testing.assert_array_equal(read_mdf(whole.dataset).measurement.data, found)


def test_of_a_scan_that_saw_only_the_empty_bore_nothing_is_kept(scanner, safety, tmp_path):
    cancel = threading.Event()
    protocol = LONG.model_copy(update={"background_frames": 3})
    with pytest.raises(ScanAborted, match="cancelled") as caught:
        measure(
            scanner.instrument,
            protocol,
            path=tmp_path / "m.mdf",
            safety=safety,
            provenance={},
            progress=lambda stage, done, _: cancel.set() if (stage, done) == ("background", 2) else None,
            cancelled=cancel.is_set,
        )
    assert not list(tmp_path.iterdir())
    assert "none of the subject, so nothing is kept" in caught.value.__notes__[-1]


def test_a_cancelled_calibration_leaves_nothing_and_says_so(scanner, safety, tmp_path):
    cancel = threading.Event()
    with pytest.raises(ScanAborted, match="cancelled") as caught:
        calibrate(
            scanner.instrument,
            SMALL,
            path=tmp_path / "c.mdf",
            safety=safety,
            provenance={},
            progress=lambda stage, done, _: cancel.set() if (stage, done) == ("positions", 7) else None,
            cancelled=cancel.is_set,
        )
    assert not list(tmp_path.iterdir())
    assert "a calibration with positions missing is of no use" in caught.value.__notes__[-1]


def test_lost_samples_end_the_scan_with_a_clear_record(scanner, safety, tmp_path):
    def lose():
        with control(scanner) as connection:
            connection.command("SIM:LOSE 2")

    error = aborted(scanner, safety, tmp_path / "m.mdf", lose)
    is_at_rest(scanner)
    assert isinstance(error, DeviceError)
    assert "2 lost" in str(error)


def test_a_scanner_that_dies_costs_only_the_frame_under_way(new_scanner, stand_in_safety, tmp_path):
    scanner = new_scanner()
    folder = tmp_path / "data"
    folder.mkdir()
    safety = stand_in_safety(scanner.line)
    aborted(scanner, safety, folder / "m.mdf", scanner.process.kill)


class Pause:
    """Pauses a run when it has made some progress, watches it wait, and lets it go on (or does something else)."""

    def __init__(self, scanner, at, then=None):
        self.scanner, self.at, self.then = scanner, at, then
        self.wanted, self.told, self.thread = False, [], None

    def progress(self, stage, done, total):
        self.told.append((stage, done))
        if (stage, done) == self.at and self.thread is None:
            self.wanted = True
            self.thread = threading.Thread(target=self.look)
            self.thread.start()

    def look(self):
        deadline = time.monotonic() + 10
        while self.told[-1][0] != "paused":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.3)
        with control(self.scanner) as connection:
            self.transmitting = connection.query("RP:TR?")
            self.ready = connection.query("RP:TR:READ?")
        self.waiting = self.told[-1]
        if self.then is None:
            self.wanted = False
        else:
            self.then()

    def settings(self):
        return {"progress": self.progress, "paused": lambda: self.wanted}


@pytest.mark.parametrize("averages", [1, 20, 200])
def test_a_paused_scan_is_silent_and_goes_on_with_the_next_frame(scanner, safety, tmp_path, averages):
    protocol = ScanProtocol(frames=12, averages=averages, background_frames=2, seed=5)
    pause = Pause(scanner, ("frames", 4))
    found = measure(
        scanner.instrument,
        protocol,
        path=tmp_path / "m.mdf",
        safety=safety,
        provenance={},
        **pause.settings(),
    )
    pause.thread.join()
    # While it waits nothing is transmitted, but the lease is held and the amplifier stays on.
    assert (pause.transmitting, pause.ready) == ("0", "1")
    assert safety.events == ["lease scan", "enable amplifier", "released"]
    stage, done = pause.waiting
    assert stage == "paused"
    assert 4 <= done < 12
    # Every frame is there once, and they are those of a scan that did not wait, but for the drift of the time between.
    assert [number for stage, number in pause.told if stage == "frames" and number > done] == [
        *range(done + 1, 13)
    ]
    assert found.result == "finished"
    mdf = read_mdf(found.dataset)
    assert mdf.extras["complete"] == 1
    assert mdf.measurement.is_background.tolist() == [True] * 2 + [False] * 12
    straight = measure(
        scanner.instrument, protocol, path=tmp_path / "n.mdf", safety=safety, provenance={}
    ).dataset
    data, expected = mdf.measurement.data, read_mdf(straight).measurement.data
    np.testing.assert_array_equal(data[: 2 + done], expected[: 2 + done])
    signal_ = np.abs(expected[2:].astype(float) - expected[:2].mean(axis=0)).max()
    assert np.abs(data.astype(float) - expected).max() < 12 * 4.0 / np.sqrt(averages) + 5 + 2 * tolerated(
        signal_
    )


def test_a_paused_calibration_goes_on(scanner, safety, tmp_path):
    pause = Pause(scanner, ("positions", 5))
    found = calibrate(
        scanner.instrument, SMALL, path=tmp_path / "c.mdf", safety=safety, provenance={}, **pause.settings()
    )
    pause.thread.join()
    assert (pause.transmitting, pause.waiting) == ("0", ("paused", 5))
    assert found.result == "finished"
    assert [number for stage, number in pause.told if stage == "positions"] == [
        *range(1, 6),
        5,
        *range(6, 13),
    ]


def test_a_paused_scan_can_be_cancelled(scanner, safety, tmp_path):
    cancel = threading.Event()
    pause = Pause(scanner, ("frames", 4), then=cancel.set)
    with pytest.raises(ScanAborted, match="cancelled"):
        measure(
            scanner.instrument,
            LONG,
            path=tmp_path / "m.mdf",
            safety=safety,
            provenance={},
            cancelled=cancel.is_set,
            **pause.settings(),
        )
    pause.thread.join()
    assert len(is_incomplete(tmp_path / "m.mdf", "cancelled").measurement.data) == pause.waiting[1]


def test_the_emergency_stop_ends_a_paused_scan_with_the_daemons_reason(scanner, safety, tmp_path):
    def pull():
        with control(scanner) as connection:
            connection.command("SIM:ESTOP 1")

    pause = Pause(scanner, ("frames", 4), then=pull)
    with pytest.raises(ScanAborted) as caught:
        measure(
            scanner.instrument,
            LONG,
            path=tmp_path / "m.mdf",
            safety=safety,
            provenance={},
            **pause.settings(),
        )
    pause.thread.join()
    assert str(caught.value) == safety.reason
    assert len(is_incomplete(tmp_path / "m.mdf", safety.reason).measurement.data) == pause.waiting[1]


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
    with pytest.raises(ProtocolError, match=r"within its travel, -15 mm to 15 mm"):
        calibrate(scanner.instrument, protocol, path=tmp_path / "c.mdf", safety=safety, provenance={})
    assert safety.events == []
    assert not list(tmp_path.iterdir())

"""Runs of an MPI scanner: from a protocol to a dataset."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.formats.mdf import (
    DatasetInfo,
    Labels,
    MdfError,
    Setting,
    Tracer,
    write_calibration,
    write_measurement,
)
from nixel.acquisition.session import ScanAborted, session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from nixel.acquisition.instrument import Instrument
    from nixel.acquisition.protocol import CalibrationProtocol, ScanProtocol
    from nixel.acquisition.session import Session
    from nixel.safety.client import SafetyClient

    Progress = Callable[[str, int, int], None]

__all__ = ["ScanAborted", "calibrate", "measure"]

_TRACER = "simulated magnetite, core diameter 25 nm"
_TRACER_CONCENTRATION = 0.1  # mol(Fe)/l


def _no_progress(_stage: str, _done: int, _total: int) -> None:
    pass


def _never() -> bool:
    return False


def measure(
    instrument: Instrument,
    protocol: ScanProtocol,
    *,
    path: str | Path,
    safety: SafetyClient,
    safety_output: str = "amplifier",
    provenance: Mapping[str, Any],
    progress: Progress = _no_progress,
    cancelled: Callable[[], bool] = _never,
) -> DatasetInfo:
    """Measure frames of a subject and write them as an MDF measurement.

    Single periods are stored as the converter's int16 codes; averages as float32 codes, the exact sum divided
    and rounded once, because a mean has more bits than a code. Both become volts by the file's conversion.

    Parameters
    ----------
    instrument : Instrument
    protocol : ScanProtocol
    path : str or Path
        Of the file that is to be; there must be none.
    safety : nixel.safety.client.SafetyClient
        An armed safety daemon; a lease is held for the run.
    safety_output : str
        The output that gates the amplifier.
    provenance : mapping
        Stored in the file as JSON.
    progress : callable
        Told (stage, done, total): ``"background"`` and ``"frames"`` in frames, then ``"writing"``.
    cancelled : callable
        Asked about every ten milliseconds whether to stop.

    Returns
    -------
    DatasetInfo

    Raises
    ------
    ProtocolError
        The instrument cannot run the protocol.
    ScanAborted
        The safety daemon refused or dropped the output (its reason is the text), or the run was cancelled.
    DeviceError
        A device failed.
    MdfError
        The file cannot be written.

    No dataset is left by any of them.
    """
    protocol.plan(instrument)
    path = _free(path)
    scanner = instrument.scanner
    assert scanner is not None
    frames: list[NDArray[np.generic]] = []
    with session(instrument, safety, safety_output, "scan", cancelled, protocol.seed) as run:
        conversion, start = run.daq.conversion(), run.daq.clock()
        stages = (("background", protocol.background_frames), ("frames", protocol.frames))
        for stage, count in stages:
            if not count:
                continue
            _insert(run, None if stage == "background" else protocol.subject)
            progress(stage, 0, count)
            with run.transmission():
                for number, frame in enumerate(run.frame(protocol.averages, count), start=1):
                    frames.append(frame)
                    progress(stage, number, count)
        end = run.daq.clock()
    progress("writing", 0, 1)
    setting = _setting(instrument, protocol.averages, start, end, conversion)
    background = [True] * protocol.background_frames + [False] * protocol.frames
    info = write_measurement(
        path,
        setting,
        np.stack(frames)[:, None],
        background,
        labels=_labels(instrument, "scan", protocol.subject, math.nan),
        provenance=provenance,
        extras=_extras(instrument, protocol),
    )
    progress("writing", 1, 1)
    return info


def calibrate(
    instrument: Instrument,
    protocol: CalibrationProtocol,
    *,
    path: str | Path,
    safety: SafetyClient,
    safety_output: str = "amplifier",
    provenance: Mapping[str, Any],
    progress: Progress = _no_progress,
    cancelled: Callable[[], bool] = _never,
) -> DatasetInfo:
    """Measure a system matrix with a delta sample on the robot and write it as an MDF calibration.

    Stored are the Fourier coefficients of the averaged periods in volts, complex64, with the positions'
    frames first (x fastest) and the background frames last; the file's frame permutation tells when each was taken.

    Parameters
    ----------
    instrument, path, safety, safety_output, provenance, cancelled
        As for `measure`.
    protocol : CalibrationProtocol
    progress : callable
        Told (stage, done, total): ``"background"``, ``"positions"``, then ``"writing"``.

    Returns
    -------
    DatasetInfo

    Raises
    ------
    ProtocolError, ScanAborted, DeviceError, MdfError
        As `measure`.
    """
    protocol.plan(instrument)
    path = _free(path)
    grid, averages = protocol.positions(), protocol.averages
    places = grid.positions().reshape(*protocol.grid, 2)
    total = protocol.grid[0] * protocol.grid[1]
    signal: list[NDArray[np.complex64]] = []
    background: list[NDArray[np.complex64]] = []
    when: tuple[list[int], list[int]] = ([], [])  # place in time of the frames of either list, from 1

    with session(instrument, safety, safety_output, "calibration", cancelled, protocol.seed) as run:
        if run.robot is None:
            raise ScanAborted(f"instrument {instrument.name}: expected a robot for a calibration, found none")
        conversion, start = run.daq.conversion(), run.daq.clock()

        def take(count: int, empty: bool) -> None:
            frames = background if empty else signal
            for frame in run.frame(averages, count):
                when[not empty].append(len(signal) + len(background) + 1)
                frames.append(_spectrum(frame, conversion))

        def take_background(count: int) -> None:
            _insert(run, None)
            with run.transmission():
                take(count, empty=True)

        if protocol.background_frames:
            progress("background", 0, protocol.background_frames)
            take_background(protocol.background_frames)
            progress("background", protocol.background_frames, protocol.background_frames)
        for row, line in enumerate(places, start=1):
            _insert(run, protocol.delta_sample)
            with run.transmission():
                for x, y in line:
                    run.check()
                    run.robot.move(float(x), float(y))
                    take(1, empty=False)
                    progress("positions", len(signal), total)
            if protocol.background_every and row % protocol.background_every == 0:
                take_background(1)
        end = run.daq.clock()
        run.robot.home()
    progress("writing", 0, 1)
    spectra = np.stack([*signal, *background], axis=-1)[None]
    info = write_calibration(
        path,
        _setting(instrument, averages, start, end, None),
        spectra,
        grid,
        frame_permutation=np.array([*when[1], *when[0]], dtype=np.int64),
        delta_sample_size=protocol.delta_sample,
        snr=_snr(spectra, total),
        labels=_labels(instrument, "calibration", "delta sample", math.prod(protocol.delta_sample) * 1e3),
        provenance=provenance,
        extras=_extras(instrument, protocol),
    )
    progress("writing", 1, 1)
    return info


def _free(path: str | Path) -> Path:
    # Said before anything is energised, not after the run.
    path = Path(path)
    if path.exists():
        raise MdfError(
            f"{path}: there is a file already, and datasets are never overwritten. Choose another name."
        )
    if not path.parent.is_dir():
        raise MdfError(f"{path.parent}: there is no such folder. Make it, or choose another.")
    return path


def _insert(run: Session, sample: str | tuple[float, float, float] | None) -> None:
    """Put the subject, the delta sample or nothing into the bore."""
    if run.simulation is None:
        if sample is None:
            raise DeviceError(
                "emptying the bore",
                where=run.daq.control.where,
                expected="a device that takes the sample out",
                found="none",
                remedy="Set background_frames (and background_every) to 0.",
            )
    elif sample is None:
        run.simulation.remove_sample()
    elif isinstance(sample, str):
        run.simulation.insert_phantom(sample)
    else:
        run.simulation.insert_delta(sample)


def _spectrum(frame: NDArray[np.generic], conversion: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Unnormalised Fourier coefficients of a frame's volts, shape (channels, frequencies)."""
    volts = frame.astype(np.float64) * conversion[:, 0, None] + conversion[:, 1, None]
    return np.fft.rfft(volts, axis=-1).astype(np.complex64)


def _snr(spectra: NDArray[np.complex64], positions: int) -> NDArray[np.float64] | None:
    """Mean signal over the background's standard deviation, shape (J, C, K); None without two backgrounds.

    After Franke et al., IEEE Trans. Med. Imaging 35, 1993 (2016).
    """
    background = spectra[..., positions:].astype(np.complex128)
    if background.shape[-1] < 2:
        return None
    level = background.mean(axis=-1, keepdims=True)
    noise = background.std(axis=-1, ddof=1)
    strength = np.abs(spectra[..., :positions] - level).mean(axis=-1)
    return np.asarray(np.divide(strength, noise, out=np.zeros_like(strength), where=noise > 0))


def _setting(
    instrument: Instrument,
    averages: int,
    start: datetime,
    end: datetime,
    conversion: NDArray[np.float64] | None,
) -> Setting:
    scanner = instrument.scanner
    assert scanner is not None
    return Setting(
        time=end,
        start_time=start,
        simulated=instrument.simulated,
        scanner=instrument.name,
        base_frequency=scanner.base_frequency,
        dividers=scanner.dividers,
        drive_field=scanner.drive_field,
        gradient=scanner.gradient,
        samples=scanner.samples_per_period,
        channels=scanner.receive_channels,
        averages=averages,
        conversion=conversion,
    )


def _labels(instrument: Instrument, experiment: str, subject: str, volume: float) -> Labels:
    tracer = Tracer(_TRACER, _TRACER_CONCENTRATION, volume) if instrument.simulated else None
    return Labels(
        experiment=experiment, subject=subject, description=instrument.instrument.description, tracer=tracer
    )


def _extras(instrument: Instrument, protocol: ScanProtocol | CalibrationProtocol) -> dict[str, Any]:
    # A run that lost or clipped a sample has been refused, so the counters of what is written are zero.
    return {
        "instrumentFingerprint": instrument.fingerprint(),
        "protocol": protocol.model_dump_json(),
        "lostSamples": np.int64(0),
        "overwrittenSamples": np.int64(0),
    }

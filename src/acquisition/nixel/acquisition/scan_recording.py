"""What a scan's recording is begun with, and the MDF dataset that is made of it."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.blocks import BLOCK
from nixel.acquisition.formats.mdf import (
    Labels,
    Setting,
    Tracer,
    write_calibration,
    write_measurement,
)
from nixel.acquisition.protocol import CalibrationProtocol
from nixel.acquisition.recording.finisher import Finisher, Plan, counted, shortfall
from nixel.acquisition.slow import recorded_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nixel.acquisition.devices import Value
    from nixel.acquisition.instrument import Instrument
    from nixel.acquisition.protocol import ScanProtocol
    from nixel.acquisition.recording import Recovered

__all__ = ["CALIBRATION", "MEASUREMENT", "header"]

_TRACER = "simulated magnetite, core diameter 25 nm"
_TRACER_CONCENTRATION = 0.1  # mol(Fe)/l


def header(
    instrument: Instrument,
    protocol: ScanProtocol | CalibrationProtocol,
    *,
    frames: int,
    buffer_frames: int,
    start: datetime,
    conversion: NDArray[np.float64],
    focus: Sequence[Sequence[float]] = (),
    devices: Mapping[str, Mapping[str, Value]],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Return all that a dataset needs besides the frames, as JSON.

    Each frame's note is `Session.note`'s: whether it is ``background``, where it ends (``end``, in samples since the
    acquisition's start), and how the drive field was controlled before it (``control``).

    Parameters
    ----------
    instrument : Instrument
    protocol : ScanProtocol or CalibrationProtocol
    frames : int
        Planned, background included.
    buffer_frames : int
        That the buffer on the way to the disk holds.
    start : datetime
        By the instrument's clock, of the acquisition's first sample.
    conversion : array, shape (C, 2)
        From codes to V.
    focus : sequence of sequence of float
        Focus field of each patch in T; none without patches.
    devices : mapping
        Snapshot of every property.
    provenance : mapping
    """
    scanner = instrument.scanner
    assert scanner is not None
    calibration = isinstance(protocol, CalibrationProtocol)
    if isinstance(protocol, CalibrationProtocol):
        subject, volume = "delta sample", math.prod(protocol.delta_sample) * 1e3
    else:
        subject, volume = protocol.subject, None
    tracer = {"name": _TRACER, "concentration": _TRACER_CONCENTRATION, "volume": volume}
    return {
        "format": "mdf-calibration" if calibration else "mdf-measurement",
        "frames": frames,
        "buffer_frames": buffer_frames,
        "start": start.isoformat(),
        "conversion": conversion.tolist(),
        "setting": {
            "simulated": instrument.simulated,
            "scanner": instrument.name,
            "base_frequency": scanner.base_frequency,
            "dividers": scanner.dividers,
            "drive_field": scanner.drive_field,
            "gradient": scanner.gradient,
            "samples": scanner.samples_per_period,
            "channels": scanner.receive_channels,
            "averages": protocol.averages,
            **({"offset_fields": [[*field, 0.0, 0.0][:3] for field in focus]} if focus else {}),
        },
        "labels": {
            "experiment": "calibration" if calibration else "scan",
            "subject": subject,
            "description": instrument.instrument.description,
        },
        "tracer": tracer if instrument.simulated else None,
        "protocol": protocol.model_dump_json(),
        # As text, which can hold a reading that is not a number.
        # Bytes have no place in JSON: they stand as hexadecimal digits.
        "devices": json.dumps(devices, sort_keys=True, default=bytes.hex),
        "fingerprint": instrument.fingerprint(),
        "provenance": dict(provenance),
    }


def _plan_measurement(found: Recovered) -> Plan:
    planned, good = found.what["frames"], len(found.journal.frames)
    words, why = counted(found, planned), shortfall(found, planned)
    if good == int(_background(found).sum()):
        return Plan(False, False, f"{words} and none of the subject, so nothing is kept", why)
    if good == planned:
        return Plan(True, True, words)
    return Plan(True, False, f"{words} are kept as an incomplete dataset", why)


def _plan_calibration(found: Recovered) -> Plan:
    planned = found.what["frames"]
    words = counted(found, planned)
    if len(found.journal.frames) == planned:
        return Plan(True, True, words)
    text = f"{words}: a calibration with positions missing is of no use, so nothing is kept"
    return Plan(False, False, text, shortfall(found, planned))


def _write_measurement(found: Recovered, path: Path) -> object:
    frames, background = _frames(found), _background(found)
    conversion = np.array(found.what["conversion"])
    return write_measurement(
        path,
        _setting(found, conversion),
        # Without patches a frame is of one period.
        frames if frames.ndim == 4 else frames[:, None],
        background,
        labels=_labels(found.what),
        provenance=found.what["provenance"],
        extras=_extras(found),
    )


def _write_calibration(found: Recovered, path: Path) -> object:
    protocol = CalibrationProtocol.model_validate_json(found.what["protocol"])
    background = _background(found)
    # The positions' frames first, in the order of the grid, then those of the empty bore.
    order = np.concatenate([np.flatnonzero(~background), np.flatnonzero(background)])
    spectra = np.moveaxis(_spectra(found, order), 0, -1)[None]
    grid = protocol.positions()
    return write_calibration(
        path,
        _setting(found, None),
        spectra,
        grid,
        frame_permutation=order.astype(np.int64) + 1,
        delta_sample_size=protocol.delta_sample,
        snr=_snr(spectra, grid.voxels),
        labels=_labels(found.what),
        provenance=found.what["provenance"],
        extras=_extras(found),
    )


MEASUREMENT = Finisher(_plan_measurement, _write_measurement)
CALIBRATION = Finisher(_plan_calibration, _write_calibration)


def _background(found: Recovered) -> NDArray[np.bool_]:
    return np.array([record.note["background"] for record in found.journal.frames], dtype=bool)


def _scratch(found: Recovered, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array in a file of the recording, which goes with it."""
    return np.memmap(found.folder / "scratch", dtype, "w+", shape=shape)


def _frames(found: Recovered) -> NDArray[Any]:
    """The good frames, shape (N, C, V) or (N, J, C, V), mapped into memory."""
    shape = (len(found.journal.frames), *found.journal.header["shape"])
    dtype = np.dtype(found.journal.header["dtype"])
    if not found.damaged:
        return np.memmap(found.files[0], dtype, "r", shape=shape)
    good = _scratch(found, shape, dtype)
    for place, frame in enumerate(found.frames()):
        good[place] = frame
    return good


def _spectra(found: Recovered, order: NDArray[np.intp]) -> NDArray[np.complex64]:
    """Unnormalised Fourier coefficients of the frames' volts, shape (N, C, K), in the order given."""
    frames = _frames(found)
    conversion = np.array(found.what["conversion"])
    shape = (len(frames), frames.shape[1], frames.shape[2] // 2 + 1)
    spectra = _scratch(found, shape, np.dtype(np.complex64))
    for place, number in enumerate(order):
        volts = frames[number].astype(np.float64) * conversion[:, 0, None] + conversion[:, 1, None]
        spectra[place] = np.fft.rfft(volts, axis=-1)
    return spectra


def _snr(spectra: NDArray[np.complex64], positions: int) -> NDArray[np.float64] | None:
    """Mean signal over the background's standard deviation, shape (J, C, K); None without two backgrounds.

    After Franke et al., IEEE Trans. Med. Imaging 35, 1993 (2016).
    """
    periods, channels, frequencies, frames = spectra.shape
    if frames - positions < 2:
        return None
    snr = np.zeros((periods, channels, frequencies))
    step = max(1, BLOCK // (16 * frames))
    for channel in range(channels):
        for first in range(0, frequencies, step):
            part = spectra[:, channel, first : first + step].astype(np.complex128)
            background = part[..., positions:]
            level = background.mean(axis=-1, keepdims=True)
            noise = background.std(axis=-1, ddof=1)
            strength = np.abs(part[..., :positions] - level).mean(axis=-1)
            there = np.divide(strength, noise, out=np.zeros_like(strength), where=noise > 0)
            snr[:, channel, first : first + step] = there
    return snr


def _setting(found: Recovered, conversion: NDArray[np.float64] | None) -> Setting:
    what = found.what
    values = what["setting"]
    start = datetime.fromisoformat(what["start"])
    seconds = found.journal.frames[-1].note["end"] / values["base_frequency"]
    sequences = ("dividers", "drive_field", "gradient")
    given: dict[str, Any] = {
        key: tuple(value) if key in sequences else value for key, value in values.items()
    }
    if "offset_fields" in given:
        given["offset_fields"] = np.array(given["offset_fields"])
    return Setting(
        **given,
        time=start + timedelta(seconds=seconds),
        start_time=start,
        conversion=conversion,
    )


def _labels(what: Mapping[str, Any]) -> Labels:
    tracer = what["tracer"]
    if tracer is not None:
        tracer = Tracer(**{**tracer, "volume": math.nan if tracer["volume"] is None else tracer["volume"]})
    return Labels(**what["labels"], tracer=tracer)


def _extras(found: Recovered) -> dict[str, Any]:
    what, good = found.what, len(found.journal.frames)
    counters = (found.journal.end or {}).get("counters", {})
    complete = good == what["frames"]
    extras: dict[str, Any] = {
        "instrumentFingerprint": what["fingerprint"],
        "protocol": what["protocol"],
        "devices": what["devices"],
        # A run ends at the first sample that is lost or clipped, and its frame is not recorded.
        "lostSamples": np.int64(0),
        "overwrittenSamples": np.int64(0),
        "complete": np.int64(complete),
        "committed": np.int64(good + len(found.damaged)),
        "refused": np.int64(counters.get("refused", 0)),
        "bufferFrames": np.int64(what["buffer_frames"]),
    }
    if (environment := recorded_in(found.folder)) is not None:
        extras["environment"] = json.dumps(environment)
    if not complete:
        extras["planned"] = np.int64(what["frames"])
        extras["reason"] = shortfall(found, what["frames"])
    controls = [
        {"frame": number, "steps": steps}
        for number, record in enumerate(found.journal.frames)
        for steps in record.note.get("control", ())
    ]
    if controls:
        extras["fieldControl"] = json.dumps(controls)
    # How full the buffer was depends on what else the machine did. A simulated run can be made again to the bit.
    if counters and not (complete and what["setting"]["simulated"]):
        extras["bufferPeak"] = np.int64(counters["buffer_peak"])
    return extras

"""MDF files made with h5py from the specification's tables, without nixel's writer.

Every number that the specification gives a letter is another one, so that no two can be taken for each other.
"""

import h5py
import numpy as np

N, O, E, J, Y, C, D, F, V, K = 5, 3, 2, 2, 4, 3, 2, 3, 24, 13  # noqa: E741 (the specification's letters)
Q, P, S, A = 7, 6, 11, 8


def common():
    """The mandatory groups."""
    return {
        "/time": "2020-02-29T12:34:56.789",
        "/uuid": "3170fdf8-f8e1-4cbf-ac73-41520b41f6ee",
        "/version": "2.1.0",
        "/study/description": "A study",
        "/study/name": "Küken",
        "/study/number": np.int64(3),
        "/study/uuid": "295258fe-b650-4e5f-96db-b83f11089a6c",
        "/experiment/description": "",
        "/experiment/isSimulation": np.int8(0),
        "/experiment/name": "dots",
        "/experiment/number": np.int64(4),
        "/experiment/subject": "phantom",
        "/experiment/uuid": "f96dbc48-1ebd-44c7-b04d-1b45da054693",
        "/scanner/facility": "Lab",
        "/scanner/manufacturer": "us",
        "/scanner/name": "scanner",
        "/scanner/operator": "me",
        "/scanner/topology": "FFP",
        "/acquisition/numAverages": np.int64(10),
        "/acquisition/numFrames": np.int64(N),
        "/acquisition/numPeriodsPerFrame": np.int64(J),
        "/acquisition/startTime": "2020-02-29T12:30:00",
        "/acquisition/drivefield/baseFrequency": np.float64(2.5e6),
        # lcm(2, 3, 4, 6, 8, 12) = 24
        "/acquisition/drivefield/cycle": np.float64(24 / 2.5e6),
        "/acquisition/drivefield/divider": np.array([[2, 3, 4], [6, 8, 12]], np.int64),
        "/acquisition/drivefield/numChannels": np.int64(D),
        "/acquisition/drivefield/phase": np.full((J, D, F), -np.pi),
        "/acquisition/drivefield/strength": np.full((J, D, F), 0.012),
        "/acquisition/drivefield/waveform": np.full((D, F), "sine", dtype=object),
        "/acquisition/receiver/bandwidth": np.float64(1.25e6),
        "/acquisition/receiver/numChannels": np.int64(C),
        "/acquisition/receiver/numSamplingPoints": np.int64(V),
        "/acquisition/receiver/unit": "V",
    }


def optional():
    """What may be left out of the mandatory groups, and the tracers."""
    return {
        "/study/time": "2020-02-28T00:00:00.1",
        "/scanner/boreSize": np.float64(0.12),
        "/tracer/batch": np.array(["b"] * A, dtype=object),
        "/tracer/concentration": np.full(A, 0.1),
        "/tracer/injectionTime": np.array(["2020-02-29T12:34:56.78"] * A, dtype=object),
        "/tracer/name": np.array(["t"] * A, dtype=object),
        "/tracer/solute": np.array(["Fe"] * A, dtype=object),
        "/tracer/vendor": np.array(["v"] * A, dtype=object),
        "/tracer/volume": np.full(A, 1e-5),
        "/acquisition/gradient": np.tile(np.diag([-1.25, -1.25, 2.5]), (J, Y, 1, 1)),
        "/acquisition/offsetField": np.zeros((J, Y, 3)),
        "/acquisition/receiver/dataConversionFactor": np.tile([1e-3, 0.0], (C, 1)),
        "/acquisition/receiver/inductionFactor": np.ones(C),
        "/acquisition/receiver/transferFunction": np.ones((C, K), np.complex128),
        "/_room/_temperature": np.float64(293.0),
        "/scanner/_serial": "0815",
    }


def flags(*true):
    """The measurement's flags, of which these are set."""
    names = (
        *("BackgroundCorrected", "FastFrameAxis", "FourierTransformed", "FramePermutation"),
        *(
            "FrequencySelection",
            "SparsityTransformed",
            "SpectralLeakageCorrected",
            "TransferFunctionCorrected",
        ),
    )
    return {f"/measurement/is{name}": np.int8(name in true) for name in names}


def measurement():
    """Frames in time, N x J x C x W."""
    rng = np.random.default_rng(1)
    return (
        common()
        | optional()
        | flags()
        | {
            "/measurement/data": rng.integers(-99, 99, (N, J, C, V)).astype(np.int16),
            "/measurement/isBackgroundFrame": np.array([1, 0, 0, 0, 1], np.int8),
        }
    )


GRID = {
    "deltaSampleSize": np.array([1e-3, 2e-3, 3e-3]),
    "fieldOfView": np.array([3e-3, 1e-3, 1e-3]),
    "fieldOfViewCenter": np.zeros(3),
    "size": np.array([3, 1, 1], np.int64),
    "order": "xyz",
    "positions": np.zeros((O, 3)),
    "offsetFields": np.zeros((O, 3)),
}


def spectra(kept=K, frames=N):
    """Noise, J x C x K x N."""
    rng = np.random.default_rng(2)
    shape = (J, C, kept, frames)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def calibration():
    """A system matrix, J x C x K x N."""
    done = flags("FastFrameAxis", "FourierTransformed", "FramePermutation")
    return (
        common()
        | optional()
        | done
        | {f"/calibration/{name}": value for name, value in GRID.items()}
        | {
            "/measurement/data": spectra(),
            "/measurement/isBackgroundFrame": np.array([0, 0, 0, 1, 1], np.int8),
            "/measurement/framePermutation": np.array([2, 3, 4, 1, 5], np.int64),
            "/calibration/method": "robot",
            "/calibration/snr": np.ones((J, C, K)),
        }
    )


def selected():
    """A system matrix of four of the frequencies."""
    fields = calibration() | flags(
        "FastFrameAxis", "FourierTransformed", "FramePermutation", "FrequencySelection"
    )
    return fields | {
        "/measurement/data": spectra(4),
        "/measurement/frequencySelection": np.array([2, 3, 5, K], np.int64),
        "/calibration/snr": np.ones((J, C, 4)),
        "/acquisition/receiver/transferFunction": np.ones((C, 4), np.complex128),
    }


def compressed():
    """A system matrix of which two of three coefficients are kept, J x C x K x (B + E)."""
    fields = calibration() | flags(
        "FastFrameAxis", "FourierTransformed", "FramePermutation", "SparsityTransformed"
    )
    return fields | {
        "/measurement/data": spectra(K, 2 + E),
        "/measurement/sparsityTransformation": "DCT-IV",
        "/measurement/subsamplingIndices": np.broadcast_to(np.array([3, 1], np.int32), (J, C, K, 2)).copy(),
    }


def reconstruction():
    """Pictures, Q x P x S."""
    return (
        common()
        | optional()
        | {
            "/reconstruction/data": np.random.default_rng(3).normal(size=(Q, P, S)).astype(np.float32),
            "/reconstruction/fieldOfView": np.array([2e-3, 3e-3, 1e-3]),
            "/reconstruction/fieldOfViewCenter": np.zeros(3),
            "/reconstruction/isOverscanRegion": np.array([0, 0, 1, 0, 0, 1], np.int8),
            "/reconstruction/order": "zxy",
            "/reconstruction/positions": np.zeros((P, 3)),
            "/reconstruction/size": np.array([2, 3, 1], np.int64),
        }
    )


def old():
    """As files of scanners from before version 2.1 are."""
    fields = measurement()
    for name in ("numPeriodsPerFrame",):
        del fields[f"/acquisition/{name}"]
    for name in ("isFastFrameAxis", "isSparsityTransformed"):
        del fields[f"/measurement/{name}"]
    return fields | {"/version": "2.0.0", "/acquisition/drivefield/waveform": "sine"}


def write(path, fields):
    """Write fields to a file as they are."""
    with h5py.File(path, "w") as file:
        for name, value in fields.items():
            if isinstance(value, str) or np.asarray(value).dtype.kind == "O":
                file.create_dataset(name, data=value, dtype=h5py.string_dtype())
            else:
                file[name] = value
    return path

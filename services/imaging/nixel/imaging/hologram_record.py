"""What a record says of a reconstructed hologram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nixel.imaging.hologram_parameters import METHODS
from nixel.imaging.provenance import running_system, software

if TYPE_CHECKING:
    from nixel.imaging.hologram_frames import Prepared, Recorded
    from nixel.imaging.hologram_parameters import HologramParameters
    from nixel.reconstruction.holography import AutofocusResult, BrightestPoint


def hologram_record(
    recorded: Recorded,
    parameters: HologramParameters,
    prepared: Prepared,
    distance: float,
    focus: AutofocusResult | None,
    brightest: BrightestPoint,
) -> dict[str, Any]:
    """Put together what it takes to make the picture again; no times, so that it comes out the same.

    Parameters
    ----------
    recorded, parameters, prepared
        What went in.
    distance, focus, brightest
        What was found.

    Returns
    -------
    dict
        Ready for JSON.
    """
    wave = parameters.equivalent(distance)
    found: dict[str, Any] = {"value": distance, "uncertainty": None, "unit": "m", "source": "given"}
    if focus is not None:
        found |= {
            "uncertainty": focus.uncertainty,
            "uncertainty_noise": focus.noise,
            "uncertainty_model": focus.model,
            "uncertainty_ambiguity": focus.ambiguity,
            "source": "autofocus",
            "searched": [float(focus.distances[0]), float(focus.distances[-1])],
        }
    asked = parameters.distance_range
    return {
        "kind": "hologram reconstruction",
        "version": 1,
        "software": software(),
        "system": running_system(),
        "simulated": any(frame.simulated for _, frame in recorded.named()),
        "method": {
            "correction": _correction(recorded, parameters),
            "propagation": METHODS[parameters.method],
            "autofocus": "least cost of a retrieved sample among maxima of the complex gradient's concentration",
        },
        "inputs": {
            name: {
                "name": frame.name,
                "sha256": frame.sha256,
                "shape": list(frame.counts.shape),
                "dtype": str(frame.counts.dtype),
            }
            for name, frame in recorded.named()
        },
        "parameters": {
            "pixel_size": {"value": parameters.pixel_size, "unit": "m"},
            "wavelength": {"value": parameters.wavelength, "unit": "m", "in": "vacuum"},
            "medium_index": {"value": parameters.medium_index, "unit": "1"},
            "source_distance": {"value": parameters.source_distance or "infinite", "unit": "m"},
            "distance": {"value": parameters.distance or "auto", "unit": "m"},
            "distance_range": {"value": None if asked is None else list(asked), "unit": "m"},
            "steady": parameters.steady,
            "bayer": parameters.bayer,
            "channel": parameters.channel,
            "finer": parameters.finer,
            **_method_parameters(parameters),
        },
        "distance": found,
        "pixel_size": {"value": wave.pixel_size, "unit": "m", "in": "the sample"},
        "magnification": wave.magnification,
        **(
            {}
            if prepared.shifts is None
            else {"shifts": {"value": prepared.shifts.tolist(), "unit": "pixels", "axes": "rows, columns"}}
        ),
        "brightest_point": {
            "x": brightest.x,
            "y": brightest.y,
            "z": brightest.z,
            "unit": "m",
            "axes": "x along the columns, y along the rows, from the first pixel's centre; "
            "z from the recorded plane",
            "intensity": brightest.intensity,
        },
    }


def _correction(recorded: Recorded, parameters: HologramParameters) -> str:
    dark = " - dark" if recorded.dark is not None else ""
    above = f"(hologram{dark})" if dark else "hologram"
    if recorded.background is None:
        each = ", each kind of pixel by its share of the light" if parameters.bayer else ""
        return f"{above}, divided by its mean{each}"
    below = f"(background{dark})" if dark else "background"
    return f"{above} / {below}" + ("" if parameters.steady else ", divided by its mean")


def _method_parameters(parameters: HologramParameters) -> dict[str, Any]:
    """What a record says of the method, besides what every method has."""
    said: dict[str, Any] = {
        "method": parameters.method,
        "unwrap": parameters.unwrap,
        "memory": parameters.memory,
    }
    if parameters.method != "back-propagation":
        said |= {"iterations": parameters.iterations or "default"}
    if parameters.method == "multi-height":
        said |= {
            "heights": {"value": list(parameters.heights), "unit": "m"},
            "start": parameters.start,
        }
    elif parameters.method != "back-propagation":
        said |= {"sample": parameters.sample}
    if parameters.method == "total-variation":
        said |= {"regularisation": parameters.regularisation}
    return said

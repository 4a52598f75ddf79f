"""The hologram job: frames in, field, pictures and record out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.imaging.errors import UserError
from nixel.imaging.provenance import running_system, software
from nixel.reconstruction.holography import (
    AutofocusResult,
    BrightestPoint,
    autofocus,
    back_propagate,
    correct,
    depth_of_field,
    find_brightest,
    reconstruct_multi_height,
    reconstruct_single,
    search_distances,
    unwrap_phase,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nixel.imaging.hologram_files import Frame

    Progress = Callable[[str, int, int], None]

METHODS = {
    "back-propagation": "band-limited angular spectrum; the twin image is not suppressed",
    "projections": "accelerated projections on what a sample can be, which suppress the twin image",
    "total-variation": "FISTA with the total variation of the field, which suppresses the twin image",
    "multi-height": "accelerated projections on the amplitudes of all heights, which leave no twin image",
}
_BRIGHTEST_WITHIN = 8  # depths of field on either side of the distance


@dataclass(frozen=True)
class HologramParameters:
    """How a hologram was recorded, and where to look for its focus.

    Attributes
    ----------
    pixel_size, wavelength
        Metres: in the plane of the hologram, and in vacuum.
    medium_index
        Refractive index between the sample and the recorded plane.
    distance
        From the sample to the recorded plane, metres; None: to be found.
    distance_range
        Nearest and farthest distance to look at, metres; None: what the geometry allows (`search_distances`).
    heights
        Distances of further holograms of the same sample, metres; `distance` must be given then.
    method
        One of `METHODS`: how the twin image is treated.
    sample, regularisation
        As of `reconstruct_single`.
    iterations
        None: the method's default.
    unwrap
        Whether jumps are taken out of the phase.
    memory
        Bytes to work in, or None; not of back-propagation.
    """

    pixel_size: float
    wavelength: float
    medium_index: float
    distance: float | None = None
    distance_range: tuple[float, float] | None = None
    heights: tuple[float, ...] = ()
    method: str = "back-propagation"
    sample: str = "any"
    iterations: int | None = None
    regularisation: float = 0.02
    unwrap: bool = False
    memory: int | None = None


@dataclass(frozen=True)
class HologramResult:
    """A reconstructed hologram.

    Attributes
    ----------
    phase
        (y, x), rad; unwrapped if that was asked for.
    field
        Complex field at the sample, (y, x), in units of the illuminating wave.
    distance
        Metres.
    focus
        How the distance was found; None if it was given.
    brightest
        The brightest point of the back-propagated contrast.
    record
        What `write_result` puts into record.json, without the hashes of the other files.
    """

    field: NDArray[np.complexfloating[Any, Any]]
    phase: NDArray[np.floating[Any]]
    distance: float
    focus: AutofocusResult | None
    brightest: BrightestPoint
    record: dict[str, Any]


def reconstruct_hologram(
    hologram: Frame,
    background: Frame,
    dark: Frame | None,
    parameters: HologramParameters,
    *,
    others: Sequence[Frame] = (),
    workers: int = 1,
    progress: Progress | None = None,
) -> HologramResult:
    """Correct a hologram, find its distance, and compute the field at the sample.

    A function of its arguments: the same frames and parameters give the same result, bit for bit on one
    machine.

    Parameters
    ----------
    hologram, background, dark
        Frames of one shape; None for no dark frame.
    parameters
        See there.
    others
        Frames at `parameters.heights`.
    workers
        Threads, of which the result does not depend.
    progress
        Called with (what is being done, steps done, steps in all).

    Returns
    -------
    HologramResult

    Raises
    ------
    UserError
        If the frames do not fit together, a parameter is out of its range, or nothing comes into focus.
    """
    _check_shapes(hologram, background, dark, *others)
    shape = hologram.counts.shape
    _check_parameters(parameters, shape)
    optics: dict[str, float] = {
        "wavelength": parameters.wavelength,
        "pixel_size": parameters.pixel_size,
        "medium_index": parameters.medium_index,
    }
    notify = progress or (lambda _what, _done, _total: None)
    try:
        contrast = correct(hologram.counts, background.counts, None if dark is None else dark.counts)
        focus = None
        if parameters.distance is None:
            focus = autofocus(
                contrast,
                search_distances(shape, bounds=parameters.distance_range, **optics),
                progress=lambda done, total: notify("finding the distance", done, total),
                **optics,
            )
        distance = focus.distance if focus is not None else parameters.distance
        assert distance is not None
        depth = depth_of_field(shape, distance, **optics)
        near = distance + depth * np.arange(-_BRIGHTEST_WITHIN, _BRIGHTEST_WITHIN + 1)
        brightest = find_brightest(
            contrast,
            # The window reaches to the recorded plane, not behind it.
            np.unique(np.maximum(near, min(depth, distance) / 2)),
            progress=lambda done, total: notify("finding the brightest point", done, total),
            **optics,
        )
        contrasts = [contrast]
        contrasts += [
            correct(other.counts, background.counts, None if dark is None else dark.counts)
            for other in others
        ]
        field = _field(contrasts, distance, parameters, optics, workers, notify)
        phase = np.angle(field)
        if parameters.unwrap:
            phase = unwrap_phase(
                phase,
                workers=workers,
                progress=lambda done, total: notify("unwrapping the phase", done, total),
            )
    except ValueError as error:
        raise UserError(f"{hologram.name}: {error}") from error
    record = _record(hologram, background, dark, others, parameters, distance, focus, brightest)
    return HologramResult(field, phase, distance, focus, brightest, record)


def farthest_distance(shape: tuple[int, int], parameters: HologramParameters) -> float:
    """Distance beyond which the hologram holds no picture: the finest detail is an eighth of its width.

    Parameters
    ----------
    shape
        Rows and columns.
    parameters
        See there.

    Returns
    -------
    float
        Metres.
    """
    width = min(shape) * parameters.pixel_size
    # wavelength z / width is the detail that an aperture as wide as the hologram resolves.
    return width**2 * parameters.medium_index / (8 * parameters.wavelength)


def _field(
    contrasts: list[NDArray[np.floating[Any]]],
    distance: float,
    parameters: HologramParameters,
    optics: dict[str, float],
    workers: int,
    notify: Progress,
) -> NDArray[np.complexfloating[Any, Any]]:
    """Field at the sample, by the method that is asked for."""
    if parameters.method == "back-propagation":
        return back_propagate(contrasts[0], distance, **optics)
    options: dict[str, Any] = {
        **optics,
        "memory": parameters.memory,
        "workers": workers,
        "progress": lambda done, total: notify("reconstructing", done, total),
        **({} if parameters.iterations is None else {"iterations": parameters.iterations}),
    }
    if parameters.method == "multi-height":
        return np.asarray(
            reconstruct_multi_height(np.stack(contrasts), (distance, *parameters.heights), **options)
        )
    return np.asarray(
        reconstruct_single(
            contrasts[0],
            distance,
            method="projections" if parameters.method == "projections" else "total_variation",
            sample=parameters.sample,  # type: ignore[arg-type]
            regularisation=parameters.regularisation,
            **options,
        )
    )


def _check_shapes(hologram: Frame, background: Frame, dark: Frame | None, *others: Frame) -> None:
    rows, columns = hologram.counts.shape
    named = (
        ("background", background),
        ("dark frame", dark),
        *(("frame at another height", other) for other in others),
    )
    for what, frame in named:
        if frame is not None and frame.counts.shape != (rows, columns):
            found = f"{frame.counts.shape[0]} x {frame.counts.shape[1]}"
            raise UserError(
                f"{frame.name}: the {what} is {found} pixels (rows x columns), but the hologram "
                f"{hologram.name} is {rows} x {columns}; record both with the same camera settings, or crop "
                "both alike"
            )


def _check_parameters(parameters: HologramParameters, shape: tuple[int, int]) -> None:
    for name, value in (("pixel size", parameters.pixel_size), ("wavelength", parameters.wavelength)):
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"the {name} must be positive, found {value:g} m")
    if not 1 <= parameters.medium_index <= 5:
        raise UserError(
            f"the medium index must be a refractive index between 1 (vacuum) and 5, found "
            f"{parameters.medium_index:g}; water has 1.33"
        )
    limit = farthest_distance(shape, parameters)
    asked = (parameters.distance,) if parameters.distance is not None else parameters.distance_range or ()
    asked = (*asked, *parameters.heights)
    for distance in asked:
        if not (math.isfinite(distance) and distance > 0):
            raise UserError(
                f"the distance must be positive (from the sample to the recorded plane), found {distance:g} m"
            )
        if distance > limit:
            raise UserError(
                f"the distance {distance:g} m is too far for this hologram: beyond {limit:.3g} m its "
                f"{shape[0]} x {shape[1]} pixels of {parameters.pixel_size:g} m hold no picture; check the "
                "distance, the pixel size and their units"
            )
    if parameters.distance_range is not None and parameters.distance_range[0] >= parameters.distance_range[1]:
        low, high = parameters.distance_range
        raise UserError(f"the distance range must run from near to far, found {low:g} m to {high:g} m")


def _record(
    hologram: Frame,
    background: Frame,
    dark: Frame | None,
    others: Sequence[Frame],
    parameters: HologramParameters,
    distance: float,
    focus: AutofocusResult | None,
    brightest: BrightestPoint,
) -> dict[str, Any]:
    """Put together what it takes to make the picture again; no times, so that it comes out the same."""

    def about(frame: Frame) -> dict[str, Any]:
        return {
            "name": frame.name,
            "sha256": frame.sha256,
            "shape": list(frame.counts.shape),
            "dtype": str(frame.counts.dtype),
        }

    inputs = {"hologram": about(hologram), "background": about(background)}
    if dark is not None:
        inputs["dark"] = about(dark)
    for number, other in enumerate(others, 2):
        inputs[f"hologram {number}"] = about(other)
    found: dict[str, Any] = {"value": distance, "uncertainty": None, "unit": "m", "source": "given"}
    if focus is not None:
        found |= {
            "uncertainty": focus.uncertainty,
            "uncertainty_noise": focus.noise,
            "uncertainty_model": focus.model,
            "source": "autofocus",
            "searched": [float(focus.distances[0]), float(focus.distances[-1])],
        }
    asked = parameters.distance_range
    return {
        "kind": "hologram reconstruction",
        "version": 1,
        "software": software(),
        "system": running_system(),
        "simulated": False,
        "method": {
            "correction": "(hologram - dark) / (background - dark), divided by its mean",
            "propagation": METHODS[parameters.method],
            "autofocus": "concentration of the complex gradient, <|g|^4> / <|g|^2>^2",
            "brightest_point": f"within {_BRIGHTEST_WITHIN} depths of field of the distance",
        },
        "inputs": inputs,
        "parameters": {
            "pixel_size": {"value": parameters.pixel_size, "unit": "m"},
            "wavelength": {"value": parameters.wavelength, "unit": "m", "in": "vacuum"},
            "medium_index": {"value": parameters.medium_index, "unit": "1"},
            "distance": {"value": parameters.distance or "auto", "unit": "m"},
            "distance_range": {"value": None if asked is None else list(asked), "unit": "m"},
            **_method_parameters(parameters),
        },
        "distance": found,
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


def _method_parameters(parameters: HologramParameters) -> dict[str, Any]:
    """What a record says of the method, besides what every method has."""
    said: dict[str, Any] = {"method": parameters.method, "unwrap": parameters.unwrap}
    if parameters.method != "back-propagation":
        said |= {"iterations": parameters.iterations or "default", "memory": parameters.memory}
    if parameters.method == "multi-height":
        said |= {"heights": {"value": list(parameters.heights), "unit": "m"}}
    elif parameters.method != "back-propagation":
        said |= {"sample": parameters.sample}
    if parameters.method == "total-variation":
        said |= {"regularisation": parameters.regularisation}
    return said

"""The hologram job: frames in, field, pictures and record out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.imaging.errors import UserError
from nixel.imaging.hologram_frames import Prepared, Recorded, prepare
from nixel.imaging.hologram_parameters import HologramParameters, check_parameters
from nixel.imaging.hologram_record import hologram_record
from nixel.imaging.hologram_result import HologramResult
from nixel.reconstruction.holography import (
    AutofocusResult,
    BrightestPoint,
    FocusNotFoundError,
    autofocus,
    back_propagate,
    depth_of_field,
    diffraction_reach,
    find_brightest,
    reconstruct_in_tiles,
    reconstruct_multi_height,
    reconstruct_single,
    search_distances,
    tile_for_memory,
    unwrap_phase,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Progress = Callable[[str, int, int], None]
    Window = tuple[slice, slice]

_BRIGHTEST_WITHIN = 8  # depths of field on either side of the distance
_AGAIN_WITHIN = 12  # depths of field in which the focus is looked for a second time, with a point source
# What finding the focus, and going back, take for each pixel of a frame.
_BYTES_TO_FOCUS, _BYTES_TO_GO_BACK = 700, 72


def reconstruct_hologram(
    recorded: Recorded,
    parameters: HologramParameters,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> HologramResult:
    """Correct a hologram, find its distance, and compute the field at the sample.

    A function of its arguments: the same frames and parameters give the same result, bit for bit on one
    machine.

    Parameters
    ----------
    recorded
        Frames of one shape.
    parameters
        See there.
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
    recorded.check()
    shape = recorded.hologram.counts.shape
    check_parameters(parameters, (shape[0], shape[1]))
    notify = progress or (lambda _what, _done, _total: None)
    try:
        prepared = prepare(recorded, parameters, workers, notify)
        contrast = prepared.contrasts[0]
        window = _window(contrast, parameters.memory)
        focus = None
        if parameters.distance is None:
            focus = _focus(np.ascontiguousarray(contrast[window]), parameters, notify)
        distance = focus.distance if focus is not None else parameters.distance
        assert distance is not None
        brightest = _brightest(contrast, window, distance, parameters, notify)
        field = _field(prepared, distance, parameters, workers, notify)
        phase = np.angle(field)
        if parameters.unwrap:
            phase = unwrap_phase(
                phase,
                workers=workers,
                progress=lambda done, total: notify("unwrapping the phase", done, total),
            )
    except FocusNotFoundError as error:
        hint = ""
        if contrast[window].shape != contrast.shape:
            rows, columns = contrast[window].shape
            hint = f"; the memory allowed to look at {rows} x {columns} pixels only: allow more, or say the distance"
        raise UserError(f"{recorded.hologram.name}: {error}{hint}") from error
    except ValueError as error:
        raise UserError(f"{recorded.hologram.name}: {error}") from error
    record = hologram_record(recorded, parameters, prepared, distance, focus, brightest)
    record["method"]["brightest_point"] = f"within {_BRIGHTEST_WITHIN} depths of field of the distance"
    if contrast[window].shape != contrast.shape:
        record["method"]["window"] = {
            "rows": [window[0].start, window[0].stop],
            "columns": [window[1].start, window[1].stop],
            "why": "distance and brightest point are found in as much of the frame as the memory allows, where it "
            "has the most contrast",
        }
    pixel_size = parameters.equivalent(distance).pixel_size
    return HologramResult(field, phase, pixel_size, distance, focus, brightest, record)


def _optics(parameters: HologramParameters, pixel_size: float) -> dict[str, float]:
    return {
        "wavelength": parameters.wavelength,
        "pixel_size": pixel_size,
        "medium_index": parameters.medium_index,
    }


def _window(contrast: NDArray[Any], memory: int | None) -> Window:
    """As much of a frame as the memory allows to find its focus in: of such squares, that with the most contrast."""
    rows, columns = contrast.shape
    side = max(rows, columns) if memory is None else math.isqrt(memory // _BYTES_TO_FOCUS)
    height, width = min(side, rows), min(side, columns)
    if (height, width) == (rows, columns):
        return slice(0, rows), slice(0, columns)
    corners = [
        (top, left)
        for top in (*range(0, rows - height, max(height // 2, 1)), rows - height)
        for left in (*range(0, columns - width, max(width // 2, 1)), columns - width)
    ]
    top, left = max(
        corners, key=lambda at: float(contrast[at[0] : at[0] + height, at[1] : at[1] + width].var())
    )
    return slice(top, top + height), slice(left, left + width)


def _focus(contrast: NDArray[Any], parameters: HologramParameters, notify: Progress) -> AutofocusResult:
    """Find the distance from the sample to the camera.

    A point source magnifies by what the distance itself decides. At the camera's own scale its hologram is that of a
    plane wave from the stretched distance, in Fresnel's approximation; what that gives tells the scale at which the
    distance is then found more closely.
    """
    shape = (contrast.shape[0], contrast.shape[1])
    optics = _optics(parameters, parameters.pitch)
    bounds = parameters.distance_range
    if bounds is not None:
        bounds = (parameters.stretched(bounds[0]), parameters.stretched(bounds[1]))
    found = autofocus(
        contrast,
        search_distances(shape, bounds=bounds, **optics),
        memory=parameters.memory,
        progress=lambda done, total: notify("finding the distance", done, total),
        **optics,
    )
    if parameters.source_distance is None:
        return found
    distances = np.array([parameters.unstretched(each) for each in found.distances.tolist()])
    near = parameters.equivalent(parameters.unstretched(found.distance))
    optics = _optics(parameters, near.pixel_size)
    around = _AGAIN_WITHIN * depth_of_field(shape, near.distance, **optics)
    low = max(near.distance - around, near.distance / 4)
    again = autofocus(
        contrast,
        search_distances(shape, bounds=(low, near.distance + around), **optics),
        memory=parameters.memory,
        progress=lambda done, total: notify("finding the distance at the sample's scale", done, total),
        **optics,
    )
    # At this scale a step of the plane wave's distance is a step of the true one: the uncertainties stay.
    distance = parameters.unstretched(again.distance * near.magnification**2)
    return replace(again, distance=distance, distances=distances, criterion=found.criterion)


def _brightest(
    contrast: NDArray[Any],
    window: Window,
    distance: float,
    parameters: HologramParameters,
    notify: Progress,
) -> BrightestPoint:
    wave = parameters.equivalent(distance)
    optics = _optics(parameters, wave.pixel_size)
    part = np.ascontiguousarray(contrast[window])
    depth = depth_of_field((part.shape[0], part.shape[1]), wave.distance, **optics)
    near = wave.distance + depth * np.arange(-_BRIGHTEST_WITHIN, _BRIGHTEST_WITHIN + 1)
    found = find_brightest(
        part,
        # The search reaches to the recorded plane, not behind it.
        np.unique(np.maximum(near, min(depth, wave.distance) / 2)),
        progress=lambda done, total: notify("finding the brightest point", done, total),
        **optics,
    )
    return BrightestPoint(
        z=parameters.unstretched(found.z * wave.magnification**2),
        y=found.y + window[0].start * wave.pixel_size,
        x=found.x + window[1].start * wave.pixel_size,
        intensity=found.intensity,
    )


def _field(
    prepared: Prepared,
    distance: float,
    parameters: HologramParameters,
    workers: int,
    notify: Progress,
) -> NDArray[np.complexfloating[Any, Any]]:
    """Field at the sample, by the method that is asked for."""
    wave = parameters.equivalent(distance)
    optics = _optics(parameters, wave.pixel_size)
    contrast = prepared.contrasts[0]

    def report(done: int, total: int) -> None:
        notify("reconstructing", done, total)

    if parameters.method == "back-propagation":
        if parameters.memory is None or contrast.size * _BYTES_TO_GO_BACK <= parameters.memory:
            return back_propagate(contrast, wave.distance, **optics)
        overlap = math.ceil(diffraction_reach(wave.distance, **optics) / wave.pixel_size)
        shape = (contrast.shape[0], contrast.shape[1])
        return np.asarray(
            reconstruct_in_tiles(
                contrast,
                lambda tile, _window: back_propagate(tile, wave.distance, **optics),
                tile=tile_for_memory(parameters.memory, _BYTES_TO_GO_BACK, shape, 0, overlap),
                overlap=overlap,
                progress=report,
            )
        )
    options: dict[str, Any] = {
        **optics,
        "memory": parameters.memory,
        "workers": workers,
        "progress": report,
        **({} if parameters.iterations is None else {"iterations": parameters.iterations}),
    }
    if parameters.method == "multi-height":
        stack, distances = np.stack(prepared.contrasts), (distance, *parameters.heights)
        return np.asarray(reconstruct_multi_height(stack, distances, start=parameters.start, **options))  # type: ignore[arg-type]
    return np.asarray(
        reconstruct_single(
            contrast,
            wave.distance,
            method="projections" if parameters.method == "projections" else "total_variation",
            sample=parameters.sample,  # type: ignore[arg-type]
            support=prepared.support,
            regularisation=parameters.regularisation,
            **options,
        )
    )

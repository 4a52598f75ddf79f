"""From a camera's frames to the contrast that is reconstructed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.imaging.errors import UserError
from nixel.physics.sensor import Bayer
from nixel.reconstruction.holography import (
    bayer_plane,
    correct,
    equalise_bayer,
    estimate_shifts,
    super_resolve,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from nixel.imaging.hologram_files import Frame
    from nixel.imaging.hologram_parameters import HologramParameters

    Progress = Callable[[str, int, int], None]
    Contrast = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Recorded:
    """Frames of one camera.

    Attributes
    ----------
    hologram
        With the sample.
    background, dark
        Without the sample, and without light; None: not recorded.
    heights
        At the further distances.
    shifted
        At the distance of the hologram, the camera a fraction of a pixel aside.
    support
        Where there may be a sample: other than zero; None: anywhere.
    """

    hologram: Frame
    background: Frame | None = None
    dark: Frame | None = None
    heights: tuple[Frame, ...] = ()
    shifted: tuple[Frame, ...] = ()
    support: Frame | None = None

    def named(self) -> Iterator[tuple[str, Frame]]:
        """Each frame with what it is called in a record."""
        yield "hologram", self.hologram
        for name, frame in (("background", self.background), ("dark", self.dark), ("support", self.support)):
            if frame is not None:
                yield name, frame
        for number, frame in enumerate(self.heights, 2):
            yield f"hologram {number}", frame
        for number, frame in enumerate(self.shifted, 2):
            yield f"shifted hologram {number}", frame

    def check(self) -> None:
        """Refuse frames of different shapes.

        Raises
        ------
        UserError
            It names the frame, and both shapes.
        """
        rows, columns = self.hologram.counts.shape
        named = (
            ("background", self.background),
            ("dark frame", self.dark),
            ("support", self.support),
            *(("frame at another height", frame) for frame in self.heights),
            *(("shifted frame", frame) for frame in self.shifted),
        )
        for what, frame in named:
            if frame is not None and frame.counts.shape != (rows, columns):
                found = f"{frame.counts.shape[0]} x {frame.counts.shape[1]}"
                raise UserError(
                    f"{frame.name}: the {what} is {found} pixels (rows x columns), but the hologram "
                    f"{self.hologram.name} is {rows} x {columns}; record both with the same camera settings, or "
                    "crop both alike"
                )


@dataclass(frozen=True)
class Prepared:
    """What is reconstructed.

    Attributes
    ----------
    contrasts
        Of the hologram and of each further height, (y, x).
    shifts
        Pixels along (y, x) of the hologram and of each shifted frame, (frames, 2); None: there are none.
    support
        Boolean, (y, x), or None.
    """

    contrasts: list[Contrast]
    shifts: NDArray[np.float64] | None
    support: NDArray[np.bool_] | None


def prepare(recorded: Recorded, parameters: HologramParameters, workers: int, notify: Progress) -> Prepared:
    """Take the illumination, the camera's dark level and its mosaic out of all frames; make shifted ones a finer one.

    Raises
    ------
    ValueError
        As `correct`, `bayer_plane`, `equalise_bayer`, `estimate_shifts` and `super_resolve`.
    """

    def contrast(frame: Frame) -> Contrast:
        return _contrast(frame, recorded, parameters)

    first, shifts = contrast(recorded.hologram), None
    if recorded.shifted:
        stack = np.stack([first, *map(contrast, recorded.shifted)])
        shifts = estimate_shifts(
            stack, workers=workers, progress=lambda done, total: notify("estimating the shifts", done, total)
        )
        first = super_resolve(
            stack,
            shifts,
            factor=parameters.finer,
            memory=parameters.memory,
            workers=workers,
            progress=lambda done, total: notify("resolving finer pixels", done, total),
        )
    support = None
    if recorded.support is not None:
        there = recorded.support.counts != 0
        if parameters.channel != "all":
            there = there[::2, ::2]
        support = np.ascontiguousarray(there.repeat(parameters.finer, 0).repeat(parameters.finer, 1))
    return Prepared([first, *map(contrast, recorded.heights)], shifts, support)


def _contrast(frame: Frame, recorded: Recorded, parameters: HologramParameters) -> Contrast:
    bayer = None if parameters.bayer is None else Bayer(parameters.bayer)
    background = None if recorded.background is None else recorded.background.counts
    dark = None if recorded.dark is None else recorded.dark.counts
    if bayer is not None and parameters.channel == "all" and background is None:
        light, _ = equalise_bayer(frame.counts, bayer=bayer, dark=0.0 if dark is None else dark)
        return correct(light, np.ones_like(light))
    if bayer is None or parameters.channel == "all":
        return _divided(frame.counts, background, dark, parameters.steady)

    def plane(mosaic: NDArray[Any]) -> NDArray[Any]:
        channel: Any = parameters.channel
        return bayer_plane(mosaic, channel, bayer=bayer, pixel_size=parameters.pixel_size).values

    return _divided(
        plane(frame.counts),
        None if background is None else plane(background),
        None if dark is None else plane(dark),
        parameters.steady,
    )


def _divided(
    counts: NDArray[Any], background: NDArray[Any] | None, dark: NDArray[Any] | None, steady: bool
) -> Contrast:
    if background is not None:
        return correct(counts, background, dark, steady=steady)
    light = counts.astype(np.float32) - (0 if dark is None else dark.astype(np.float32))
    return correct(light, np.ones_like(light))

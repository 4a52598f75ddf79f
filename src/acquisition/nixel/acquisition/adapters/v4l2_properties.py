"""What a V4L2 camera says of itself: every control of its driver, and the exposure and gain in their own units."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol

from nixel.acquisition.cameras.v4l2_controls import SENSORS, Exposure, Planned
from nixel.acquisition.cameras.v4l2_uapi import ControlType
from nixel.acquisition.devices import Property

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nixel.acquisition.cameras.v4l2_node import Control
    from nixel.acquisition.devices import PropertyTable

__all__ = ["add_properties"]


class _Camera(Protocol):
    lost: int
    damaged: int
    exposure: Exposure | None
    gain: Control | None
    rate: float | None
    starts_with_exposure: bool

    def controls(self) -> Iterator[Control]: ...
    def read(self, control: Control) -> int: ...
    def write(self, planned: Planned) -> None: ...


def add_properties(table: PropertyTable, camera: _Camera, driver: str, card: str, sensor: str | None) -> None:
    """Fill the table of an open camera."""
    for name, text, what in (("driver", driver, "of the kernel"), ("card", card, "what the driver calls it")):
        table.add(Property(name, "text", description=what, read_only=True), functools.partial(str, text))
    counts = (
        ("lost", "frames lost since its start, by the camera's own count"),
        ("damaged", "frames that arrived damaged since its start"),
    )
    for name, what in counts:
        table.add(
            Property(name, "integer", description=what, read_only=True),
            functools.partial(getattr, camera, name),
        )
    began = Property(
        "time_of_exposure",
        "boolean",
        description="whether a frame's time is that of its exposure's start; else of the frame's end",
        read_only=True,
    )
    table.add(began, lambda: camera.starts_with_exposure)
    if camera.rate is not None:
        rate = camera.rate
        table.add(
            Property("frame_rate", "number", "Hz", "as the driver set it", read_only=True), lambda: rate
        )
    if camera.exposure is not None:
        _add_exposure(table, camera, camera.exposure)
    if camera.gain is not None and sensor is not None:
        _add_gain(table, camera, camera.gain, SENSORS[sensor])
    for control in camera.controls():
        if control.kind == ControlType.BUTTON or control.flags & ControlType.WRITE_ONLY:
            continue
        prop = Property(
            f"control_{control.name}", "integer", description="the driver's control", read_only=True
        )
        if prop.name not in {each.name for each in table.properties}:
            table.add(prop, functools.partial(camera.read, control))


def _add_exposure(table: PropertyTable, camera: _Camera, exposure: Exposure) -> None:
    limits = (exposure.control.minimum * exposure.unit, exposure.control.maximum * exposure.unit)
    prop = Property("exposure", "number", "s", "of every frame", *limits)
    table.add(
        prop,
        lambda: camera.read(exposure.control) * exposure.unit,
        lambda seconds: camera.write(exposure.plan(seconds)),
    )


def _add_gain(table: PropertyTable, camera: _Camera, control: Control, numerator: int) -> None:
    largest = numerator / (numerator - control.maximum)
    prop = Property("gain", "number", "", "analogue, as a factor", 1.0, largest)
    table.add(
        prop,
        lambda: numerator / (numerator - camera.read(control)),
        lambda factor: camera.write(Planned(control, round(numerator * (1 - 1 / factor)))),
    )

"""Which controls of a V4L2 camera are set to what, so that every frame is taken alike. Nothing here opens a device.

What adapts by itself is switched off: automatic exposure, gain and white balance, and whatever a driver calls lens
shading. Raw frames have passed no such thing on the sensors that we know; a driver may think otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nixel.acquisition.cameras.v4l2_uapi import Cid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nixel.acquisition.cameras.v4l2_node import Control

__all__ = [
    "SENSORS",
    "ControlError",
    "Exposure",
    "Planned",
    "automatics_off",
    "exposure_of",
    "gain_of",
    "named",
]

_OFF = {
    Cid.EXPOSURE_AUTO: 1,  # V4L2_EXPOSURE_MANUAL
    Cid.EXPOSURE_AUTO_PRIORITY: 0,
    Cid.AUTOGAIN: 0,
    Cid.AUTO_WHITE_BALANCE: 0,
    Cid.WIDE_DYNAMIC_RANGE: 0,
    Cid.ISO_SENSITIVITY_AUTO: 0,
}
_EXPOSURE_UNIT = 1e-4  # s, of V4L2_CID_EXPOSURE_ABSOLUTE
# What a sensor's analogue gain control means: gain = numerator / (numerator - code), from its data sheet.
SENSORS: Mapping[str, int] = {"imx219": 256}


class ControlError(ValueError):
    """The camera has no such control, or not that value; `expected` and `found` are for the person who asked."""

    def __init__(self, what: str, expected: str, found: str) -> None:
        super().__init__(f"{what}: expected {expected}, found {found}")
        self.what, self.expected, self.found = what, expected, found


class Planned(NamedTuple):
    """A control and the value that it gets."""

    control: Control
    value: int


@dataclass(frozen=True)
class Exposure:
    """The control of the exposure time, and what one of its units is in s."""

    control: Control
    unit: float

    def plan(self, seconds: float) -> Planned:
        """Return the nearest value.

        Raises
        ------
        ControlError
            It is out of the control's range.
        """
        value = round(seconds / self.unit)
        low, high = self.control.minimum, self.control.maximum
        if not low <= value <= high:
            limits = f"{low * self.unit:.4g} s to {high * self.unit:.4g} s"
            raise ControlError(f"exposure {seconds:g} s", f"{limits} ({self.control.name})", f"{seconds:g} s")
        return Planned(self.control, value)


def automatics_off(controls: Iterable[Control]) -> list[Planned]:
    """Plan to switch off what adapts by itself, and to leave the digital gain at one."""
    planned = []
    for control in controls:
        if not control.writable:
            continue
        if control.id in _OFF:
            planned.append(Planned(control, _OFF[control.id]))
        elif "lens_shading" in control.name:
            planned.append(Planned(control, 0))
        elif control.id == Cid.DIGITAL_GAIN:
            # The kernel's documentation: no gain is typically the default.
            planned.append(Planned(control, control.default))
    return planned


def exposure_of(
    controls: Iterable[Control], read: Callable[[Control], int], columns: int, line_time: float | None
) -> Exposure | None:
    """Find the control of the exposure time; `None` where there is none.

    Parameters
    ----------
    controls : iterable of Control
    read : callable
        Asks the driver for a control's value.
    columns : int
        Of the frame, without blanking.
    line_time : float, optional
        Of a row in s, for a driver that does not tell it.

    Raises
    ------
    ControlError
        The control counts rows, and how long one takes is not known.
    """
    by_id = {control.id: control for control in controls}
    if Cid.EXPOSURE_ABSOLUTE in by_id:
        return Exposure(by_id[Cid.EXPOSURE_ABSOLUTE], _EXPOSURE_UNIT)
    if Cid.EXPOSURE not in by_id:
        return None
    if line_time is None:
        if not {Cid.PIXEL_RATE, Cid.HBLANK} <= set(by_id) or read(by_id[Cid.PIXEL_RATE]) <= 0:
            raise ControlError(
                "exposure", "pixel rate and horizontal blanking from the driver", "none; set line_time"
            )
        line_time = (columns + read(by_id[Cid.HBLANK])) / read(by_id[Cid.PIXEL_RATE])
    return Exposure(by_id[Cid.EXPOSURE], line_time)


def gain_of(controls: Iterable[Control]) -> Control | None:
    """Find the control of the analogue gain, else that of the gain; `None` where there is neither."""
    by_id = {control.id: control for control in controls}
    return by_id.get(Cid.ANALOGUE_GAIN) or by_id.get(Cid.GAIN)


def named(controls: Iterable[Control], name: str, value: int) -> Planned:
    """Plan a control by its name.

    Raises
    ------
    ControlError
        There is none of this name that can be set, or not to this value.
    """
    writable = {control.name: control for control in controls if control.writable}
    if name not in writable:
        known = ", ".join(sorted(writable)) or "none"
        raise ControlError(f"control {name}", f"one of its controls ({known})", f"{name!r}")
    control = writable[name]
    if not control.minimum <= value <= control.maximum:
        limits = f"{control.minimum} to {control.maximum}"
        raise ControlError(f"control {name}", limits, str(value))
    return Planned(control, value)

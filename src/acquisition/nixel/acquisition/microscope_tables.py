"""``[microscope]`` and what is below it in an instrument file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from nixel.acquisition.quantities import Metre, Quantity, Second
from nixel.acquisition.tables import Row, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Microscope", "MicroscopeFocus"]

Percent = Annotated[float, Quantity("percent")]


class MicroscopeLimits(Table):
    """``[microscope.limits]``: what no sequence may exceed.

    Parameters
    ----------
    exposure : float
        Of one frame, in s.
    on_time : float
        The longest time at a stretch that the light is on, in s.
    duty : float, optional
        The share of the time that it is on, in percent: in any time T for at most ``duty T + (1 - duty) on_time``.
    travel : mapping of str to (float, float)
        The reach of an axis of the stages in m, where it is less than the stage's own.
    """

    exposure: Second
    on_time: Second
    duty: Percent | None = None
    travel: dict[Literal["x", "y", "z"], Annotated[tuple[Metre, Metre], Row]] = Field(default_factory=dict)


class MicroscopeTimes(Table):
    """``[microscope.times]``: what a step takes beside its exposure, for a sequence's preview; nothing if left out.

    Parameters
    ----------
    move : float, optional
        Of a stage, in s.
    light : float, optional
        From the order until the light is on, in s.
    readout : float, optional
        From the end of an exposure until the frame is there, in s.
    """

    move: Second | None = None
    light: Second | None = None
    readout: Second | None = None


class MicroscopeChannel(Table):
    """``[microscope.channels.NAME]``: what a sequence's channel of this name means here.

    Parameters
    ----------
    light : str, optional
        The device that is on during an exposure; the instrument's only light if left out.
    properties : mapping of str to value
        ``"DEVICE.PROPERTY"`` to what it is set to before: a filter's place, a gain, a Micro-Manager preset. A quantity
        is written with its unit.
    """

    light: str | None = None
    properties: dict[str, str | bool | int | float] = Field(default_factory=dict)


class MicroscopeFocus(Table):
    """``[microscope.focus]``: the stage's axis that sets the distance from the sample to the sensor.

    Parameters
    ----------
    stage : str
        The device.
    axis : str
    offset : float
        The distance at the axis' zero in m, which may lie out of its reach.
    direction : int
        1 if the distance grows with the position, -1 if it shrinks.
    """

    stage: str
    axis: Literal["x", "y", "z"]
    offset: Metre
    direction: Literal[-1, 1] = 1

    def distance(self, position: float) -> float:
        """Return the distance in m at a position of the axis in m, to the nanometre."""
        return round(self.offset + self.direction * position, 9)

    def check(self, devices: Mapping[str, Table], within: tuple[float, float]) -> None:
        """Expect the stage to be there, and its travel to keep the sensor within the microscope's range.

        Parameters
        ----------
        devices : mapping of str to Table
            The instrument's.
        within : (float, float)
            The least and the largest distance, in m.

        Raises
        ------
        ValueError
        """
        device = devices.get(self.stage)
        if device is None:
            raise ValueError(
                f"microscope.focus.stage: found no device {self.stage!r}; expected one of "
                f"{', '.join(sorted(devices))}"
            )
        travel = getattr(device, "travel", None)
        if not isinstance(travel, dict) or self.axis not in travel:
            return  # how far it goes, the device will say
        ends = sorted(self.distance(end) for end in travel[self.axis])
        low, high = within
        if ends[0] < low or ends[1] > high:
            raise ValueError(
                f"devices.{self.stage}.travel.{self.axis}: found one that brings the sensor to {ends[0] * 1e3:g} mm "
                f"to {ends[1] * 1e3:g} mm from the sample, by microscope.focus; expected at most microscope."
                f"distance_range, {low * 1e3:g} mm to {high * 1e3:g} mm"
            )


class Microscope(Table):
    """``[microscope]``: the optics of a microscope, and what its sequences may say."""

    wavelength: Metre
    medium_index: float = Field(ge=1.0, le=4.0)
    pixel_size: Metre
    shape: Annotated[tuple[int, int], Row]
    distance_range: Annotated[tuple[Metre, Metre], Row]
    limits: MicroscopeLimits
    times: MicroscopeTimes = Field(default_factory=MicroscopeTimes)
    focus: MicroscopeFocus | None = None
    channels: dict[str, MicroscopeChannel] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Microscope:
        if not (self.wavelength > 0 and self.pixel_size > 0):
            raise ValueError("wavelength, pixel_size: expected lengths above zero")
        if min(self.shape) < 1:
            raise ValueError(f"shape: found {list(self.shape)}; expected rows and columns above zero")
        if not 0 < self.distance_range[0] < self.distance_range[1]:
            raise ValueError("distance_range: expected two lengths above zero, the shorter first")
        if self.limits.duty is not None and not 0 < self.limits.duty <= 100:
            raise ValueError(
                f"limits.duty: found {self.limits.duty:g} percent; expected more than 0 and at most 100"
            )
        for axis, (low, high) in self.limits.travel.items():
            if not low < high:
                raise ValueError(f"limits.travel.{axis}: expected two places, the lower first")
        return self

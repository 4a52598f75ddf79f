"""What an instrument file says of a camera at a V4L2 device file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from nixel.acquisition.cameras.raw import FORMATS
from nixel.acquisition.quantities import Hertz, Second
from nixel.acquisition.settings import DeviceSettings, Row

if TYPE_CHECKING:
    from nixel.acquisition.settings import InstrumentTables

__all__ = ["V4l2"]


class V4l2(DeviceSettings):
    """A camera at a V4L2 device file. What is left out is left as the driver has it, and recorded."""

    addresses = ("path", "controls")

    adapter: Literal["v4l2"]
    path: str = Field(pattern=r"^/")
    controls: str | None = Field(default=None, pattern=r"^/")
    format: str
    shape: Annotated[tuple[int, int], Row]
    rate: Hertz | None = None
    exposure: Second | None = None
    line_time: Second | None = None
    sensor: Literal["imx219"] | None = None
    gain: float | None = Field(default=None, ge=1.0)
    gain_code: int | None = None
    fixed: dict[str, int] = Field(default_factory=dict)
    buffers: int = Field(default=8, ge=2, le=32)

    @model_validator(mode="after")
    def _consistent(self) -> V4l2:
        if self.format not in FORMATS:
            raise ValueError(f"format: found {self.format!r}; expected one of {', '.join(FORMATS)}")
        if min(self.shape) < 2:
            raise ValueError(f"shape: found {list(self.shape)}; expected rows and columns")
        if self.gain is not None and (self.sensor is None or self.gain_code is not None):
            raise ValueError(
                "gain: a factor needs the sensor, whose data sheet tells the control's value; "
                "without it expected gain_code, and never both"
            )
        for key in ("rate", "exposure", "line_time"):
            value = getattr(self, key)
            if value is not None and not value > 0:
                raise ValueError(f"{key}: found {value:g}; expected more than zero")
        return self

    def check(self, name: str, instrument: InstrumentTables) -> None:
        """Expect an exposure within the instrument's limit."""
        limits = instrument.microscope.limits if instrument.microscope is not None else None
        if limits is not None and self.exposure is not None and self.exposure > limits.exposure:
            raise ValueError(
                f"devices.{name}.exposure: found {self.exposure:g} s; expected at most "
                f"microscope.limits.exposure, {limits.exposure:g} s"
            )

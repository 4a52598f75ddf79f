"""The settings of a reconstruction."""

from pydantic import BaseModel, ConfigDict, Field


class ReconstructionParameters(BaseModel):
    """How a scan becomes a picture; the defaults suit the virtual scanner."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    relative_lambda: float = Field(
        1e-2, ge=0, description="Regularisation, relative to a column's mean energy"
    )
    iterations: int = Field(50, ge=1, le=10_000, description="Sweeps of the Kaczmarz solver")
    snr_threshold: float = Field(3.0, ge=0, description="Smallest signal-to-noise ratio of a frequency")
    lowest_frequency: float = Field(30e3, ge=0, description="In Hz; the drive's own feed-through lies below")
    highest_frequency: float = Field(1.25e6, gt=0, description="In Hz")

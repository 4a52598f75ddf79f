"""What goes over the wire: the shapes of requests and answers."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nixel.imaging.store import RunKind, RunState


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class InstrumentAnswer(_Answer):
    """An instrument as it was configured."""

    id: int
    name: str
    kind: str
    description: str
    fingerprint: str = Field(description="SHA-256 of the configuration, addresses left out")
    simulated: bool
    first_seen: datetime


class Progress(BaseModel):
    """How far a running job is."""

    stage: str = Field(description="What it does now", examples=["measuring"])
    done: int
    total: int


class EventAnswer(_Answer):
    """Something that happened."""

    id: int
    run_id: int | None
    time: datetime
    kind: str
    text: str
    details: dict[str, Any]


class DatasetAnswer(_Answer):
    """A file of measured data."""

    id: int
    run_id: int
    kind: Literal["calibration", "measurement", "images"]
    path: str = Field(description="Within the data folder")
    sha256: str
    size: int = Field(description="Bytes")
    simulated: bool
    provenance: dict[str, Any]
    created_at: datetime


class PictureAnswer(_Answer):
    """A reconstructed picture and everything that made it."""

    id: int
    run_id: int
    dataset_id: int
    calibration_id: int
    path: str = Field(description="Within the data folder")
    sha256: str = Field(description="Of the file")
    pixels_sha256: str = Field(description="Of the numbers alone")
    simulated: bool
    provenance: dict[str, Any]
    created_at: datetime


class RunAnswer(_Answer):
    """A job and where it stands."""

    id: int
    kind: RunKind
    state: RunState
    simulated: bool
    message: str = Field(description="Why it ended as it did; empty when all is well")
    protocol: dict[str, Any]
    reconstruction: dict[str, Any]
    calibration_id: int | None
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    dataset_ids: list[int]
    picture_ids: list[int]
    progress: Progress | None = Field(description="While it runs")


class RunDetail(RunAnswer):
    """A job with all that happened in it."""

    events: list[EventAnswer]


class RunRequest(BaseModel):
    """A job to be done."""

    model_config = ConfigDict(extra="forbid")

    kind: RunKind
    protocol: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of the scan or calibration protocol, defaults where left out; of a sequence, the "
        "useq.MDASequence itself",
    )
    reconstruction: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the reconstruction; defaults where left out"
    )
    calibration_id: int | None = Field(
        default=None,
        description="The dataset to reconstruct a scan with; the instrument's newest calibration if left out",
    )


class PlanRequest(BaseModel):
    """A job that somebody thinks of doing."""

    model_config = ConfigDict(extra="forbid")

    kind: RunKind
    protocol: dict[str, Any] = Field(default_factory=dict, description="As for a run")


class HeatingAnswer(_Answer):
    """How warm a part would become."""

    part: str = Field(description="The one that becomes hottest")
    start: float = Field(description="In degC")
    peak: float = Field(description="In degC, by the estimate")


class PlanAnswer(_Answer):
    """What a job would take."""

    instrument: str
    duration: float = Field(description="In s, by the estimate")
    size: int = Field(description="Of the data, in bytes")
    frames: int
    on_time: float = Field(description="The longest time at a stretch that drive field or light is on, in s")
    duty: float = Field(description="The share of the time that it is on")
    heating: HeatingAnswer | None = Field(description="Null where the instrument file gives no data for it")
    notes: list[str] = Field(description="What the estimate does not count")


class SequenceRequest(BaseModel):
    """The text of a sequence file."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        max_length=255, description="The file's, whose ending says the language: .json, .yaml, .yml or .toml"
    )
    text: str = Field(max_length=2**18)


class SequenceAnswer(_Answer):
    """What a sequence file asks for, and what it would take."""

    kind: RunKind
    protocol: dict[str, Any] = Field(description="As for a run")
    plan: PlanAnswer


class InterlockAnswer(BaseModel):
    """One interlock as the safety daemon sees it."""

    name: str
    kind: str
    healthy: bool
    warning: bool
    value: float | bool | None
    unit: str | None
    age_s: float | None
    message: str
    bypassed: bool = Field(default=False, description="It forbids nothing, whatever it finds")


class BypassAnswer(BaseModel):
    """An interlock that protects nobody for now, because somebody said so."""

    interlock: str
    by: str = Field(description="User name, user and process", examples=["anna (user 1000, process 7)"])
    reason: str
    until: datetime = Field(description="It ends by then; any stop and any fault end it before")


class LeaseAnswer(BaseModel):
    """Who keeps an output on, and for how long without another word."""

    holder: str
    remaining_s: float


class CauseAnswer(BaseModel):
    """Why the fault latched."""

    name: str = Field(description="Of the interlock")
    time: datetime
    message: str


class SafetyAnswer(BaseModel):
    """The safety daemon's state; `reachable` is false, with a message, when it does not answer."""

    reachable: bool
    message: str = ""
    state: str | None = None
    outputs: dict[str, bool] = {}
    interlocks: list[InterlockAnswer] = []
    lease: LeaseAnswer | None = None
    first_cause: CauseAnswer | None = Field(default=None, description="Kept until reset")
    causes: list[CauseAnswer] = []
    bypasses: list[BypassAnswer] = []
    off_reason: str | None = Field(
        default=None, description="Why the outputs were last switched off; null while one is on"
    )
    simulated: bool = False
    ticks: int = 0
    missed_deadlines: int = 0
    what_to_do: str = ""


class StopRequest(BaseModel):
    """Why somebody stops the scanner."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="stopped from the page", max_length=200)


class StatusAnswer(BaseModel):
    """What this service is."""

    version: str
    instrument: InstrumentAnswer
    system: dict[str, Any] = Field(description="The running system: its store path, or what stands in for it")
    software: dict[str, Any]

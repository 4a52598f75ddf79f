"""The tables: instruments, runs, datasets, pictures, events."""

import enum
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Enum, ForeignKey, Index, MetaData, String, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. SQLite keeps no time zone, so UTC goes in and UTC comes out."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert an aware instant to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected an instant with a time zone, found {value.isoformat()}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Attach UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Constraints have names, so that a later migration can address them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
    }


class DatasetKind(enum.StrEnum):
    """What a dataset holds."""

    CALIBRATION = "calibration"
    MEASUREMENT = "measurement"
    IMAGES = "images"


class RunKind(enum.StrEnum):
    """What a run does."""

    CALIBRATION = "calibration"
    SCAN = "scan"
    SEQUENCE = "sequence"

    @property
    def dataset_kind(self) -> DatasetKind:
        """What a run of this kind measures."""
        kinds = {
            RunKind.CALIBRATION: DatasetKind.CALIBRATION,
            RunKind.SCAN: DatasetKind.MEASUREMENT,
            RunKind.SEQUENCE: DatasetKind.IMAGES,
        }
        return kinds[self]


class RunState(enum.StrEnum):
    """Where a run stands. The last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def final(self) -> bool:
        """Whether the run will not change any more."""
        return self not in UNFINISHED


UNFINISHED = (RunState.QUEUED, RunState.RUNNING, RunState.PAUSED)
"""The states of a run that may still change."""


def _text_enum(kind: type[enum.StrEnum]) -> Enum:
    # Kept as text with the members' values: a row stays readable without this program, and a new member
    # needs no migration.
    return Enum(
        kind, native_enum=False, length=16, values_callable=lambda members: [m.value for m in members]
    )


class Instrument(Base):
    """An instrument as it was configured: another configuration is another row."""

    __tablename__ = "instruments"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(20))
    description: Mapped[str]
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    simulated: Mapped[bool]
    first_seen: Mapped[datetime]


class Run(Base):
    """One job: a calibration, a scan with its reconstruction, or a microscope's sequence."""

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instruments.id"))
    kind: Mapped[RunKind] = mapped_column(_text_enum(RunKind))
    state: Mapped[RunState] = mapped_column(_text_enum(RunState), index=True)
    protocol: Mapped[dict[str, Any]]
    reconstruction: Mapped[dict[str, Any]]
    # Which calibration a scan is to be reconstructed with; without one, the newest there is by then.
    calibration_id: Mapped[int | None] = mapped_column(ForeignKey("datasets.id", use_alter=True))
    requested_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    message: Mapped[str] = mapped_column(default="")

    instrument: Mapped[Instrument] = relationship()
    datasets: Mapped[list["Dataset"]] = relationship(
        back_populates="run", order_by="Dataset.id", foreign_keys="Dataset.run_id"
    )
    pictures: Mapped[list["Picture"]] = relationship(back_populates="run", order_by="Picture.id")
    events: Mapped[list["Event"]] = relationship(back_populates="run", order_by="Event.id")


class Dataset(Base):
    """A file of measured or calibration data, or a folder of images. A row exists exactly if the whole of it does."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), index=True)
    kind: Mapped[DatasetKind] = mapped_column(_text_enum(DatasetKind))
    path: Mapped[str] = mapped_column(unique=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size: Mapped[int]
    simulated: Mapped[bool]
    provenance: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]

    run: Mapped[Run] = relationship(back_populates="datasets", foreign_keys=[run_id])


class Picture(Base):
    """A reconstructed picture and everything that made it."""

    __tablename__ = "pictures"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), index=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    calibration_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    path: Mapped[str] = mapped_column(unique=True)
    preview_path: Mapped[str] = mapped_column(unique=True)
    sha256: Mapped[str] = mapped_column(String(64))
    pixels_sha256: Mapped[str] = mapped_column(String(64), index=True)
    simulated: Mapped[bool]
    provenance: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]

    run: Mapped[Run] = relationship(back_populates="pictures")
    dataset: Mapped[Dataset] = relationship(foreign_keys=[dataset_id])
    calibration: Mapped[Dataset] = relationship(foreign_keys=[calibration_id])


class Event(Base):
    """Something that happened, in order; never changed afterwards."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_time", "time"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"), index=True)
    time: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(40))
    text: Mapped[str]
    details: Mapped[dict[str, Any]]

    run: Mapped[Run | None] = relationship(back_populates="events")

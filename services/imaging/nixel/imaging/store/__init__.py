"""What the appliance remembers: one SQLite database and one folder of files beside it."""

from nixel.imaging.store.database import Database
from nixel.imaging.store.folder import DataFolder
from nixel.imaging.store.models import (
    UNFINISHED,
    Base,
    Dataset,
    DatasetKind,
    Event,
    Instrument,
    Picture,
    Run,
    RunKind,
    RunState,
)

__all__ = [
    "UNFINISHED",
    "Base",
    "DataFolder",
    "Database",
    "Dataset",
    "DatasetKind",
    "Event",
    "Instrument",
    "Picture",
    "Run",
    "RunKind",
    "RunState",
]

"""What a job works with."""

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from nixel.acquisition.instrument import Instrument
from nixel.imaging.answers import EventAnswer
from nixel.imaging.device_desk import DeviceDesk
from nixel.imaging.hub import Hub
from nixel.imaging.store import Database, DataFolder, Event
from nixel.safety.client import SafetyClient


@dataclass(frozen=True)
class Context:
    """One instrument with its store, its safety daemon and those who watch."""

    folder: DataFolder
    database: Database
    hub: Hub
    safety: SafetyClient
    instrument: Instrument
    instrument_id: int
    devices: DeviceDesk

    def record(
        self,
        kind: str,
        text: str,
        *,
        run_id: int | None = None,
        session: Session | None = None,
        **details: object,
    ) -> None:
        """Keep an event and tell whoever watches.

        With a `session` the event belongs to its transaction: who sees the one change sees the other.
        """
        event = Event(run_id=run_id, time=datetime.now(UTC), kind=kind, text=text, details=details)
        with nullcontext(session) if session is not None else self.database.session() as transaction:
            transaction.add(event)
            transaction.flush()
            answer = EventAnswer.model_validate(event)
        self.hub.publish("event", answer.model_dump(mode="json"))

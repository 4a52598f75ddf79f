"""The imaging service, put together: store, jobs, the safety daemon's watcher. The HTTP interface stands in front."""

import threading
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import select

from nixel.acquisition.instrument import Instrument as InstrumentConfig
from nixel.imaging.answers import SafetyAnswer
from nixel.imaging.context import Context
from nixel.imaging.device_answers import ChangeAnswer
from nixel.imaging.device_desk import DeviceDesk
from nixel.imaging.hub import Hub
from nixel.imaging.jobs import Jobs
from nixel.imaging.provenance import software
from nixel.imaging.safety_watch import SafetyWatch
from nixel.imaging.store import Database, DataFolder, Instrument
from nixel.safety.client import SafetyClient


class ImagingService:
    """Everything behind the HTTP interface, for one instrument and one data folder.

    Parameters
    ----------
    folder : DataFolder
        Opened by the caller, who closes it after `stop`.
    instrument : nixel.acquisition.instrument.Instrument
        With the addresses at which its devices are reached.
    safety_socket : Path
        Where the safety daemon listens.

    Raises
    ------
    UserError
        If the folder's database cannot be used.
    """

    def __init__(self, folder: DataFolder, instrument: InstrumentConfig, safety_socket: Path) -> None:
        self.version = version("nixel-imaging")
        software()  # before the checkout can change under a running service
        self.folder = folder
        self.database = Database(folder.database)
        self.hub = Hub()
        self.safety = SafetyClient(safety_socket)
        self.last_safety: dict[str, Any] | None = None
        self.instrument_row = self._remember(instrument)
        self.devices = DeviceDesk(instrument, self._device_changed)
        self.context = Context(
            folder, self.database, self.hub, self.safety, instrument, self.instrument_row.id, self.devices
        )
        self.jobs = Jobs(self.context)
        self._watch = SafetyWatch(safety_socket, self._safety_changed)
        self._safety_lock = threading.Lock()

    def _remember(self, instrument: InstrumentConfig) -> Instrument:
        """The row of this very configuration, made when it is new."""
        fingerprint = instrument.fingerprint()
        with self.database.session() as session:
            row = session.scalar(select(Instrument).where(Instrument.fingerprint == fingerprint))
            if row is None:
                row = Instrument(
                    name=instrument.name,
                    kind=instrument.instrument.kind,
                    description=instrument.instrument.description,
                    fingerprint=fingerprint,
                    simulated=instrument.simulated,
                    first_seen=datetime.now(UTC),
                )
                session.add(row)
                session.flush()
            return row

    def start(self) -> None:
        """Take up what an earlier service left, then work."""
        self._watch.start()
        self.devices.start()
        self.jobs.start()

    def stop(self) -> None:
        """Cancel what runs, de-energising first, and end."""
        self._watch.stop()
        self.jobs.stop()
        self.devices.stop()
        self.database.close()

    def _device_changed(self, made: ChangeAnswer) -> None:
        text = f"{made.device}.{made.property} was set to {made.text} (it was {made.before})"
        self.context.record("device", text, device=made.device, property=made.property, value=made.text)

    def _an_exposure(self, before: dict[str, Any], after: dict[str, Any]) -> bool:
        """Whether a microscope's light was switched for a frame: its dataset and the safety daemon note that."""
        lit = {before["state"], after["state"]} == {"ARMED", "ENERGISED"}
        return lit and self.instrument_row.kind == "microscope"

    def _safety_changed(self, status: dict[str, Any]) -> None:
        answer = SafetyAnswer.model_validate(status).model_dump(mode="json")
        with self._safety_lock:
            before, self.last_safety = self.last_safety, answer
        self.hub.publish("safety", answer)
        if (
            before is not None
            and before["state"] != answer["state"]
            and not self._an_exposure(before, answer)
        ):
            text = f"Safety: {before['state'] or 'unreachable'} to {answer['state'] or 'unreachable'}"
            if answer["first_cause"]:
                text += f" ({answer['first_cause']['message']})"
            self.context.record("safety", text, state=answer["state"], causes=answer["causes"])

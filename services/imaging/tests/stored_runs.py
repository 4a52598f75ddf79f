"""A store with one run of the simulated scanner in it, for tests of what becomes of such runs."""

from datetime import UTC, datetime

from nixel.imaging.store import Database, Instrument, Run, RunKind


def enter_scan(folder, state, protocol, fingerprint="f"):
    """Make the store of a data folder and enter a scan that ended so; gives the database and the run's number."""
    database = Database(folder.database)
    now = datetime.now(UTC)
    with database.session() as session:
        instrument = Instrument(
            name="virtual-scanner",
            kind="scanner",
            description="",
            fingerprint=fingerprint,
            simulated=True,
            first_seen=now,
        )
        session.add(instrument)
        session.flush()
        run = Run(
            instrument_id=instrument.id,
            kind=RunKind.SCAN,
            state=state,
            protocol=protocol,
            reconstruction={},
            requested_at=now,
        )
        session.add(run)
        session.flush()
        return database, run.id

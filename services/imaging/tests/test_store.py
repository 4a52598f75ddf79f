"""The data folder and its database: locked, migrated, and clear about what is wrong."""

import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select

from nixel.imaging.errors import UserError
from nixel.imaging.store import Base, Database, DataFolder, Instrument, Run, RunKind, RunState
from nixel.imaging.store.database import alembic_config

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def an_instrument():
    return Instrument(
        name="x", kind="scanner", description="", fingerprint="f" * 64, simulated=True, first_seen=NOW
    )


def test_migrations_make_exactly_the_tables_of_the_models(tmp_path):
    database = Database(tmp_path / "nixel.db")
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"render_as_batch": True})
        assert compare_metadata(context, Base.metadata) == []
    database.close()


def test_migrations_go_back_to_nothing(tmp_path):
    database = Database(tmp_path / "nixel.db")
    with database.engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        left = (
            connection.exec_driver_sql("select name from sqlite_master where type = 'table'").scalars().all()
        )
    assert left == ["alembic_version"]
    database.close()


def test_what_was_committed_is_there_when_opened_again(tmp_path):
    database = Database(tmp_path / "nixel.db")
    with database.session() as session:
        instrument = an_instrument()
        session.add(instrument)
        session.flush()
        session.add(
            Run(
                instrument_id=instrument.id,
                kind=RunKind.SCAN,
                state=RunState.QUEUED,
                protocol={"frames": 3},
                reconstruction={},
                requested_at=NOW.astimezone(timezone(timedelta(hours=5))),
                message="",
            )
        )
    database.close()
    again = Database(tmp_path / "nixel.db")
    with again.session() as session:
        run = session.scalars(select(Run)).one()
        assert (run.kind, run.state, run.protocol) == (RunKind.SCAN, RunState.QUEUED, {"frames": 3})
        assert run.requested_at == NOW
        assert run.requested_at.utcoffset() == timedelta(0)
    again.close()


def test_an_instant_without_a_zone_is_refused(tmp_path):
    database = Database(tmp_path / "nixel.db")
    instrument = an_instrument()
    instrument.first_seen = NOW.replace(tzinfo=None)
    with (
        pytest.raises(Exception, match="expected an instant with a time zone"),
        database.session() as session,
    ):
        session.add(instrument)
    database.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path):
    database = Database(tmp_path / "nixel.db")

    def fail():
        with database.session() as session:
            session.add(an_instrument())
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.session() as session:
        assert session.scalars(select(Instrument)).all() == []
    database.close()


def test_references_are_enforced(tmp_path):
    database = Database(tmp_path / "nixel.db")
    run = Run(
        instrument_id=99,
        kind=RunKind.SCAN,
        state=RunState.QUEUED,
        protocol={},
        reconstruction={},
        requested_at=NOW,
        message="",
    )
    with pytest.raises(Exception, match="FOREIGN KEY"), database.session() as session:
        session.add(run)
    database.close()


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "nixel.db").write_bytes(b"not a database at all, but long enough to be read as one" * 100)
    with pytest.raises(UserError, match=r"nixel\.db: expected the database of a nixel data folder"):
        Database(tmp_path / "nixel.db")


def test_a_newer_schema_is_named(tmp_path):
    Database(tmp_path / "nixel.db").close()
    with sqlite3.connect(tmp_path / "nixel.db") as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    connection.close()
    with pytest.raises(UserError, match="revision 9999: it was written by a newer nixel"):
        Database(tmp_path / "nixel.db")


def test_one_service_at_a_time(tmp_path):
    folder = tmp_path / "data"
    with DataFolder(folder):
        with pytest.raises(
            UserError, match=f"another nixel uses this data folder \\(process {os.getpid()}\\)"
        ):
            DataFolder(folder).open()
        with pytest.raises(UserError, match="another nixel uses"):
            DataFolder(folder).check_free()
    DataFolder(folder).open().close()


def test_the_lock_ends_with_a_killed_process(tmp_path):
    folder = tmp_path / "data"
    code = (
        "import sys, time, pathlib; from nixel.imaging.store import DataFolder;"
        "DataFolder(pathlib.Path(sys.argv[1])).open(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"process {holder.pid}"):
            DataFolder(folder).open()
        holder.kill()
    DataFolder(folder).open().close()


@pytest.mark.parametrize("bad", ["/proc/nixel", "/dev/null/data"])
def test_a_folder_that_cannot_be_written_is_named(bad):
    with pytest.raises(UserError, match="expected a data folder that this user can write to"):
        DataFolder(Path(bad)).open()


def test_checking_changes_nothing(tmp_path):
    DataFolder(tmp_path / "a" / "b").check_free()
    assert list(tmp_path.iterdir()) == []

"""The database: SQLite in WAL mode, migrated to the newest schema when it is opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session, sessionmaker

from nixel.imaging.errors import UserError


def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401 - the DB-API has no types
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # A run that was reported as done survives a power cut.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()


def alembic_config() -> Config:
    """Alembic's configuration: the migrations that are shipped with this package."""
    config = Config()
    config.set_main_option("script_location", str(resources.files("nixel.imaging") / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


class Database:
    """The appliance's one relational store.

    Parameters
    ----------
    path : Path
        The SQLite file; created, or migrated to the newest schema, when missing or older.

    Raises
    ------
    UserError
        If the file is not a database of ours, or was written by a newer nixel.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine: Engine = create_engine(f"sqlite:///{path}")
        event.listen(self.engine, "connect", _configure)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        try:
            self._migrate()
        except DatabaseError as error:
            raise UserError(
                f"{path}: expected the database of a nixel data folder, found a file that SQLite cannot read "
                f"({error.orig}). Name another data folder with --data, or restore this one from a copy."
            ) from error

    def _migrate(self) -> None:
        config = alembic_config()
        with self.engine.begin() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
            if current == ScriptDirectory.from_config(config).get_current_head():
                return
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise UserError(
                    f"{self.path}: expected a schema that this nixel knows, found revision {current}: it was "
                    "written by a newer nixel. Use that version, or another data folder with --data."
                ) from error

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        with self._sessions.begin() as session:
            yield session

    def close(self) -> None:
        """Close every connection; SQLite then folds its log into the file."""
        self.engine.dispose()

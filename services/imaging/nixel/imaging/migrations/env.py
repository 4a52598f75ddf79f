"""Alembic's entry: runs the migrations on the connection it is given."""

from alembic import context

from nixel.imaging.store.models import Base

connection = context.config.attributes["connection"]
# Batch mode: SQLite changes a table by making it anew.
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

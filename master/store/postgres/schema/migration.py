"""Makes the tables of a schema, or brings those of an earlier release to this release's version.

All of it is one transaction, so that a schema is never half of each version.
"""

from __future__ import annotations

import logging
from importlib import resources

from psycopg import sql

from queue_manager.errors import StoreError

from ....changes import QUEUE_RUN, RunRecord
from ...relational.tables import RUNS
from ..link.connection import Connection

log = logging.getLogger("quartermaster.master")

SCHEMA_VERSION = 1

_VERSION = "schema_version"

STEPS: dict[int, str] = {}
"""By version, the statements that bring a schema from there to the next version."""


def prepare(connection: Connection, schema: str, shown: str) -> None:
    """Make or migrate the tables. shown: the store, as an error names it.

    Raises:
        StoreError: a later release has written them.
        psycopg.Error: it is not possible.
    """
    with connection.transaction():
        name = sql.Identifier(schema)
        if not _is_there(connection, schema):  # else the right to make one would be needed
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
        version = check_version(connection, schema, shown)
        if version == SCHEMA_VERSION:
            return
        if version == 0:
            _create(connection)
        for step in range(max(1, version), SCHEMA_VERSION):
            connection.execute(STEPS[step].encode())
        _note(connection)
    if version:
        log.info("the store has schema %d now, it had %d", SCHEMA_VERSION, version)


def check_version(connection: Connection, schema: str, shown: str) -> int:
    """The version of the tables, 0 if there are none. Raises StoreError as `prepare`."""
    version = _version(connection, schema)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{shown} has schema {version}, this release knows {SCHEMA_VERSION}:"
            " use the release that wrote it"
        )
    return version


def _is_there(connection: Connection, schema: str) -> bool:
    found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,))
    return found.fetchone() is not None


def _version(connection: Connection, schema: str) -> int:
    """The version of the tables; 0: there are none."""
    there = connection.execute(
        "SELECT to_regclass(%s || '.meta') IS NOT NULL", (schema,)
    ).fetchone()
    if not there or not there[0]:
        return 0
    row = connection.execute("SELECT number FROM meta WHERE name = %s", (_VERSION,)).fetchone()
    return int(row[0]) if row else 0


def _create(connection: Connection) -> None:
    connection.execute(read_schema().encode())
    insert_queue_run(connection)


def insert_queue_run(connection: Connection) -> None:
    """Make the run that each store has."""
    values = RUNS.row(RunRecord(QUEUE_RUN, "", []))
    marks = ", ".join(["%s"] * len(values))
    connection.execute(f"INSERT INTO runs ({RUNS.columns}) VALUES ({marks})".encode(), values)


def _note(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO meta (name, number) VALUES (%s, %s)"
        " ON CONFLICT (name) DO UPDATE SET number = excluded.number",
        (_VERSION, SCHEMA_VERSION),
    )


def read_schema() -> str:
    """The tables and indexes of a new schema."""
    return resources.files(__package__).joinpath("schema.sql").read_text("utf-8")

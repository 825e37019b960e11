"""The tables of ownership, and the rows of all masters: making, writing and reading them."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from queue_manager.wire.masters import MasterStatus

from ..link.connection import Connection
from .me import SQL, Me


def ensure_tables(connection: Connection, me: Me) -> None:
    """Make the schema and the two tables if they are not there, else forget masters that are gone.

    Raises psycopg.Error.
    """
    if one(connection, "exists", me, None):
        connection.execute(SQL["forget"], me.values(None))
        return
    with connection.transaction():
        connection.execute(SQL["one_at_a_time"], me.values(None))
        name = sql.Identifier(me.address.schema)
        if not one(connection, "has_schema", me, None):  # who has it need not make one
            connection.execute(sql.SQL(SQL["create_schema"]).format(schema=name))
        connection.execute(SQL["create_owner"])
        connection.execute(SQL["create_masters"])


def beat(connection: Connection, me: Me, epoch: int | None) -> int | None:
    """Write that this master lives. epoch: its own, if it is the active one.

    Returns the epoch of the schema's owner; None if there was none yet. Raises psycopg.Error.
    """
    found: int | None = one(connection, "beat", me, epoch)
    return found


def read_roster(connection: Connection, me: Me) -> list[tuple[str, MasterStatus]]:
    """All masters by their instances, the active one first. Raises psycopg.Error."""
    rows = connection.execute(SQL["roster"]).fetchall()
    return [
        (instance, MasterStatus(name, address, active, since, max(lag_s, 0.0), version))
        for instance, name, address, version, active, since, lag_s in rows
    ]


def one(connection: Connection, statement: str, me: Me, epoch: int | None) -> Any:
    """The first value of a statement's first row; None without a row. Raises psycopg.Error."""
    row = connection.execute(SQL[statement], me.values(epoch)).fetchone()
    return row[0] if row else None

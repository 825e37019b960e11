"""The tables of ownership, and the rows of all masters: making, writing and reading them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import sql

from queue_manager.wire.masters import MasterStatus

from ..link.connection import Connection
from .me import SQL, Me

COMPANY_S = 60.0
"""How long a master counts that has been seen: it may have started again since then."""

Row = tuple[str, MasterStatus]
"""A master under its instance."""


class Company:
    """The other masters that were seen alive, also those that have left in order since.

    One that left may be back by now, and nobody who has lost the database would know.
    """

    def __init__(self, me: Me) -> None:
        self._me = me
        self._alive: dict[tuple[str, str], float] = {}

    def note(self, rows: Iterable[Row], now: float) -> None:
        """Take what was read. A row of this master's name is its own, from before its start."""
        for instance, master in rows:
            key, at = (master.name, master.address), now - master.lag_s
            if instance != self._me.instance and key != (self._me.name, self._me.told):
                self._alive[key] = max(at, self._alive.get(key, at))
        self._alive = {key: at for key, at in self._alive.items() if at >= now - COMPANY_S}

    @property
    def names(self) -> list[str]:
        """Who was alive a minute before the last reading, or later."""
        return [name for name, _ in self._alive]


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


def read_roster(connection: Connection, me: Me) -> list[Row]:
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

"""The connection to the file as the shared verbs use it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...changes import RunCounts
from ..relational.columns import Dialect
from ..relational.database import Database, Parts, Row
from ..relational.names import hash_key
from ..relational.statements import Statements
from ..relational.tables import COUNTS
from .keys import Keys
from .schema.rows import insert, look_up

_DIALECT = Dialect(
    hexed="x'{}'",
    greatest="MAX",
    by_index="INDEXED BY {}",
    any_of="IN (SELECT value FROM json_each({}))",
    own={
        # `+` keeps SQLite from an index of dead letters: it would look at all of them for a few.
        "some_dead": "+state = 'dead' AND task IN (SELECT value FROM json_each(:tasks))",
    },
)
STATEMENTS = Statements(__package__, _DIALECT)


class SqliteDatabase(Database):
    """A connection, and the keys of tasks that are in memory besides.

    connection: for what only this engine does.
    """

    tables_of_keys = (("fresh_keys", "id", "LENGTH(hashes)"), ("keys", "hash", "0"))

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.keys = Keys(connection)
        self._execute = connection.execute

    def rows(self, name: str, /, parts: Parts = None, **values: Any) -> Iterator[Row]:
        return self._execute(STATEMENTS.text(name, parts), _bound(values))

    stream = rows

    def look_up(
        self, name: str, keys: Sequence[Row], /, parts: Parts = None, **values: Any
    ) -> Iterator[Row]:
        return look_up(self.connection, STATEMENTS.text(name, parts), keys, _bound(values))

    def run(self, name: str, /, parts: Parts = None, **values: Any) -> None:
        self._execute(STATEMENTS.text(name, parts), _bound(values))

    def changed(self, name: str, /, parts: Parts = None, **values: Any) -> int:
        return self._execute(STATEMENTS.text(name, parts), _bound(values)).rowcount

    def insert(
        self, table: str, columns: Sequence[str], rows: Iterable[Collection[Any]], end: str = ""
    ) -> None:
        insert(self.connection, f"INSERT INTO {table} ({', '.join(columns)})", rows, end)

    def kept(self, name: str) -> Any:
        return self.one("kept", name=name)

    def keep(self, values: Mapping[str, Any]) -> None:
        end = "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        self.insert("meta", ("name", "value"), values.items(), end)

    def counts(self, run: int, row: Row) -> RunCounts:
        return COUNTS.load(row)

    def set_counts(self, counts: Mapping[int, RunCounts]) -> None:
        for run, some in counts.items():
            self.run(
                "set_counts", run=run, **dict(zip(COUNTS.names, COUNTS.row(some), strict=True))
            )

    def taken_keys(self, run: int, keys: Collection[str]) -> set[str]:
        return self.keys.taken(run, keys)

    def drop_keys(self, run: int, keys: Collection[str]) -> None:
        """A key that is fresh stays taken until it is in the tree."""
        for key in keys:
            self.run("drop_key", run=run, hash=hash_key(key))


def _bound(values: dict[str, Any]) -> dict[str, Any]:
    """Values as SQLite takes them: a list is JSON."""
    for name, value in values.items():
        if type(value) is list:
            values[name] = json.dumps(value)
    return values

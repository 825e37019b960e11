"""What the database knows of a take-over, to the microsecond: it notes the time of each commit."""

from __future__ import annotations

import contextlib
import json
from typing import Any, NamedTuple

import psycopg

from master.store.relational.statements import read
from tests.postgres_server import DATABASE

from .ground import SCHEMA, Ground

_OWNER = "SELECT epoch, name, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM owner"
_FIRST = """
SELECT extract(epoch FROM min(pg_xact_commit_timestamp(xmin)))::float8 FROM turns
WHERE epoch = %(epoch)s
"""
_RECORDED = """
SELECT extract(epoch FROM min(at))::float8 FROM (
    SELECT pg_xact_commit_timestamp(xmin) AS at
    FROM (SELECT xmin FROM outcomes ORDER BY seq DESC LIMIT 2000) newest
) of WHERE extract(epoch FROM at) > %(taken)s
"""
_LATE = """
SELECT count(*) FROM turns
WHERE epoch < %(epoch)s AND extract(epoch FROM pg_xact_commit_timestamp(xmin)) > %(taken)s
"""
_LIVE = """
SELECT count(*) FILTER (WHERE m.epoch = o.epoch), count(*) FILTER (WHERE m.epoch IS NULL)
FROM masters m, owner o
WHERE m.seen_at > clock_timestamp() - interval '1.8 s'
"""


class Owner(NamedTuple):
    """The active master, and when it became it (seconds since 1970, as all times here)."""

    epoch: int
    name: str
    taken: float


class Record:
    """Reads the tables of the queue, as the superuser on the server's own host."""

    def __init__(self, ground: Ground) -> None:
        self._db: psycopg.Connection[Any] = ground.server.superuser(DATABASE)
        self._db.execute(f"SET search_path TO {SCHEMA}")

    def owner(self) -> Owner | None:
        """Who is active; None before the first one."""
        try:
            row = self._db.execute(_OWNER).fetchone()
        except psycopg.errors.UndefinedTable:
            return None
        return Owner(*row) if row else None

    def first_commit(self, owner: Owner) -> float | None:
        """When this owner committed first, besides its take-over."""
        found: float | None = self._number(_FIRST, owner)
        return found

    def first_result(self, owner: Owner) -> float | None:
        """When a result was recorded first after the take-over."""
        found: float | None = self._number(_RECORDED, owner)
        return found

    def late_commits(self, owner: Owner) -> int:
        """How many turns an earlier owner committed after the take-over."""
        return int(self._number(_LATE, owner) or 0)

    def both_live(self) -> bool:
        """Whether one master is active, and one stands by."""
        return self._db.execute(_LIVE).fetchone() == (1, 1)

    def refuses(self, epoch: int) -> bool:
        """Whether the database refuses a commit of a master that has this epoch."""
        text = read("master.store.postgres")["insert_turn"]
        for name in ("number", "epoch", "content"):
            text = text.replace(f":{name}", f"%({name})s")
        try:
            with self._db.transaction(force_rollback=True):
                self._db.execute(text, {"number": 2**61, "epoch": epoch, "content": b""})
        except psycopg.errors.DivisionByZero:
            return True
        return False

    def recorded(self, run: int) -> int:
        """How many results there are of a run."""
        query = "SELECT coalesce(sum(stop - start), 0) FROM outcomes WHERE run = %s"
        row = self._db.execute(query, [run]).fetchone()
        return int(row[0]) if row else 0

    def sessions(self) -> str:
        """Who has sessions, for a failure."""
        query = "SELECT application_name, state, wait_event, query FROM pg_stat_activity"
        query += " WHERE usename = 'quartermaster'"
        rows = self._db.execute(query).fetchall()
        with contextlib.suppress(psycopg.errors.UndefinedTable):
            rows += self._db.execute("SELECT * FROM masters").fetchall()
        return json.dumps(rows, default=str, indent=0)

    def _number(self, query: str, owner: Owner) -> Any:
        row = self._db.execute(query, owner._asdict()).fetchone()
        return row[0] if row else None

"""Reads how the tries of one task ended."""

from __future__ import annotations

import sqlite3

from ....tries import TryRecord
from ..schema.tables import TRIES

IS_TRY = "(fate != '' OR error != '')"
"""Whether the row of a tracked task tells of a try. An earlier release wrote no fate."""

LAST = TRIES.columns.replace("number", "MAX(tries, attempts + losses, 1)", 1).replace(
    "fate", "IIF(fate = '', 'failed', fate)", 1
)
"""The columns of a try as the row of its task has them."""


def read_tries(db: sqlite3.Connection, run: int, task: int) -> list[TryRecord]:
    """As `Store.read_tries`."""
    rows = db.execute(
        f"SELECT {LAST} FROM strays WHERE run = ?1 AND task = ?2 AND {IS_TRY}"
        f" UNION ALL SELECT {TRIES.columns} FROM tries WHERE run = ?1 AND task = ?2"
        " ORDER BY 1 DESC",
        (run, task),
    )
    return [TRIES.load(row) for row in rows]

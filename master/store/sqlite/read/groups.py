"""What groups of a run have of their own, and what its quotas have counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from ....changes import GroupRecord, QuotaCounts
from ..schema.rows import look_up
from ..schema.tables import OWN_GROUPS, QUOTAS

_OWN = f"SELECT grp, {OWN_GROUPS.columns} FROM own_groups WHERE run = ?"
_QUOTAS = (
    "WITH wanted (run, name) AS (VALUES {})"
    f" SELECT q.run, q.name, {QUOTAS.select('q')} FROM wanted w"
    " CROSS JOIN quotas q ON q.run = w.run AND q.name = w.name"
)


def own_groups(
    db: sqlite3.Connection, run: int, groups: Collection[str] | None = None, limit: int = -1
) -> dict[str, GroupRecord]:
    """As `Store.own_groups`. limit: how many of all groups at most, -1 if there is no limit."""
    if groups is None:
        rows: Iterator[tuple[Any, ...]] = db.execute(f"{_OWN} LIMIT ?", (run, limit))
    else:  # not as JSON, where a name ends at its first NUL
        rows = look_up(db, f"{_OWN} AND grp IN ({{}})", [(group,) for group in groups], (run,))
    return {group: OWN_GROUPS.load(own) for group, *own in rows}


def read_quotas(
    db: sqlite3.Connection, names: Collection[tuple[int, str]]
) -> dict[tuple[int, str], QuotaCounts]:
    """What these quotas, as (run, name), have counted."""
    counts = dict.fromkeys(names, QuotaCounts())
    for run, name, *row in look_up(db, _QUOTAS, list(names)):
        counts[run, name] = QUOTAS.load(row)
    return counts


def quotas(db: sqlite3.Connection, run: int, limit: int) -> dict[str, QuotaCounts]:
    """As `Store.quotas`."""
    rows = db.execute(
        f"SELECT name, {QUOTAS.columns} FROM quotas WHERE run = ? ORDER BY name LIMIT ?",
        (run, limit),
    )
    return {name: QUOTAS.load(counts) for name, *counts in rows}

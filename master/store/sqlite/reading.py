"""All that a turn asks for, read in a few statements of each kind."""

from __future__ import annotations

import sqlite3

from ...changes import QuotaCounts
from ...reads import ReadAnswer, ReadRequest
from .keys import Keys
from .loading import load_runs, load_runs_of_keys
from .rows import look_up
from .tables import QUOTAS
from .waiting import own_groups, read_blocks

_QUOTAS = (
    "WITH wanted (run, name) AS (VALUES {})"
    f" SELECT q.run, q.name, {QUOTAS.select('q')} FROM wanted w"
    " CROSS JOIN quotas q ON q.run = w.run AND q.name = w.name"
)
_BODIES = "SELECT id, body FROM blocks WHERE id IN ({})"


def read(db: sqlite3.Connection, keys: Keys, request: ReadRequest) -> ReadAnswer:
    """As `Store.read`."""
    return ReadAnswer(
        {run: keys.taken(run, names) for run, names in request.task_keys.items()},
        {run: own_groups(db, run, groups) for run, groups in request.groups.items()},
        _quotas(db, request.quotas),
        read_blocks(db, request.blocks) if request.blocks else {},
        dict(look_up(db, _BODIES, [(block,) for block in request.bodies])),
        {run.record.id: run for run in load_runs(db, request.runs)},
        {run.record.key or "": run for run in load_runs_of_keys(db, request.run_keys)},
    )


def _quotas(
    db: sqlite3.Connection, names: set[tuple[int, str]]
) -> dict[tuple[int, str], QuotaCounts]:
    found = dict.fromkeys(names, QuotaCounts())
    for run, name, *counts in look_up(db, _QUOTAS, list(names)):
        found[run, name] = QUOTAS.load(counts)
    return found

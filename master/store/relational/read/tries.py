"""Reads how the tries of one task ended."""

from __future__ import annotations

from ....tries import TryRecord
from ..database import Database
from ..tables import TRIES


def read_tries(db: Database, run: int, task: int) -> list[TryRecord]:
    """As `Store.read_tries`."""
    return [TRIES.load(row) for row in db.rows("tries_of_task", run=run, task=task)]

"""Finds ended runs by their job, their state, or a text in them.

The texts of an ended run are in a narrow row besides: SQLite passes over many of these in the time
that it takes to read a few arguments in the rows of runs.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from ....changes import LoadedRun, RunRecord
from ....reads import RunPage, RunsSought, lowered, texts_of
from ..schema.rows import insert
from .loading import ENDED, load_runs

_STEP = 250
"""How many runs a statement looks at. It looks at each before it says what it has found."""

_LOOK_BYTES = 8 * 1024 * 1024
"""A page ends when it has looked at so much text. It is a page of 100,000 short texts, too."""

_MOST_BYTES = 4_096
"""Longer texts are in the row of their run alone: they would take their place on disk twice."""

# Arguments are MessagePack, whose texts are there as they are. A run that is found so is looked at
# again, for the bytes between two texts may look like a text.
_IN_ROW = (
    "instr(lower(job), :lower) OR instr(lower(key), :lower)"
    " OR instr(lower(CAST(words AS TEXT)), :lower)"
    " OR instr(lower(CAST(arguments AS TEXT)), :lower)"
)
_STEPS = f"""
SELECT COUNT(*), {{last}}(id), SUM(size), json_group_array(id) FILTER (WHERE is_found) FROM (
  SELECT id, COALESCE(LENGTH(text), LENGTH(words) + LENGTH(arguments)) AS size, id = :number
    OR CASE WHEN text IS NULL THEN {_IN_ROW} ELSE instr(text, :text) END AS is_found
  FROM runs LEFT JOIN texts ON texts.run = id WHERE {{where}} ORDER BY {{order}} LIMIT :look
)
"""


def find_ended(db: sqlite3.Connection, sought: RunsSought) -> RunPage:
    """As `Store.find_ended`."""
    if not sought.text:
        return _first(db, sought)
    where, order = _where(sought)
    query = _STEPS.format(last="MAX" if sought.is_back else "MIN", where=where, order=order)
    values = _values(sought)
    found: list[int] = []
    left, size = sought.look, 0
    while left > 0 and len(found) < sought.limit and size < _LOOK_BYTES:
        values["look"] = min(left, _STEP)
        looked, last, step_size, numbers = db.execute(query, values).fetchone()
        found += sorted(json.loads(numbers), reverse=not sought.is_back)
        if looked:
            values["after"] = last
        if looked < values["look"]:
            break
        left, size = left - looked, size + (step_size or 0)
    if len(found) >= sought.limit:
        found = found[: sought.limit]
        values["after"] = found[-1]
    behind = db.execute(f"SELECT 1 FROM runs WHERE {where} LIMIT 1", values).fetchone()
    return RunPage(_loaded(db, found, sought), values["after"], behind is None)


def _first(db: sqlite3.Connection, sought: RunsSought) -> RunPage:
    """The runs behind a place, whatever their texts are."""
    where, order = _where(sought)
    query = f"SELECT id FROM runs WHERE {where} ORDER BY {order} LIMIT :limit + 1"
    found = [run for (run,) in db.execute(query, _values(sought))]
    runs = found[: sought.limit]
    place = runs[-1] if runs else sought.after
    return RunPage(_loaded(db, runs, sought), place, len(found) <= sought.limit)


def _where(sought: RunsSought) -> tuple[str, str]:
    """Which runs are looked at, and in which order."""
    where = [ENDED]
    if sought.job:
        where.append("job = :job")
    if sought.state:
        where.append("state = :state")
    where.append("id > :after" if sought.is_back else "id < :after")
    return " AND ".join(where), "id" if sought.is_back else "id DESC"


def _values(sought: RunsSought) -> dict[str, Any]:
    is_number = sought.text.isdecimal() and len(sought.text) < 19
    return {
        "number": int(sought.text) if is_number else -1,
        "text": lowered(sought.text),
        "lower": lowered(sought.text).decode(),
        "job": sought.job,
        "state": sought.state,
        "after": sought.after,
        "limit": sought.limit,
    }


def _loaded(db: sqlite3.Connection, found: list[int], sought: RunsSought) -> list[LoadedRun]:
    by_number = {run.record.id: run for run in load_runs(db, found)}
    runs = [by_number[number] for number in found]
    return [run for run in runs if sought.has_text(run.record)]


# --- the texts ---


def sought_in(record: RunRecord) -> bytes | None:
    """The texts of a run, one after the other. None: they are too long to be kept twice."""
    text = b"\0".join(texts_of(record))
    return text if len(text) <= _MOST_BYTES else None


def keep_texts(db: sqlite3.Connection, ended: Iterable[RunRecord]) -> None:
    """Write the texts of ended runs, in the transaction that is open. They never change."""
    found = ((record.id, sought_in(record)) for record in ended)
    rows = ((run, text) for run, text in found if text is not None)
    insert(db, "INSERT OR IGNORE INTO texts (run, text)", rows)


def drop_texts(db: sqlite3.Connection, runs: Iterable[int]) -> None:
    """Delete the texts of runs that are not found any more."""
    for run in runs:
        db.execute("DELETE FROM texts WHERE run = ?", (run,))

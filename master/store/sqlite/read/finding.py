"""Finds ended runs by their job, their state, or a text in them."""

from __future__ import annotations

import sqlite3

from ....changes import LoadedRun
from ....reads import RunPage, RunsSought
from .loading import ENDED, load_runs

# Arguments are MessagePack, whose texts are there as they are. A run that is found so is looked at
# again, for the bytes between two texts may look like a text.
_HAS_TEXT = (
    "id = ?1 OR instr(lower(job), ?2) OR instr(lower(key), ?2)"
    " OR instr(lower(CAST(words AS TEXT)), ?2) OR instr(lower(CAST(arguments AS TEXT)), ?2)"
)


def find_ended(db: sqlite3.Connection, sought: RunsSought) -> RunPage:
    """As `Store.find_ended`."""
    look = sought.look if sought.text else sought.limit
    number = int(sought.text) if sought.text.isdecimal() and len(sought.text) < 19 else -1
    where, order = [ENDED], "id DESC"
    if sought.job:
        where.append("job = ?3")
    if sought.state:
        where.append("state = ?4")
    where.append("id < ?5")
    if sought.is_back:
        where[-1], order = "id > ?5", "id"
    rows = db.execute(
        f"SELECT id, {_HAS_TEXT if sought.text else 'TRUE'} FROM runs WHERE {' AND '.join(where)}"
        f" ORDER BY {order} LIMIT ?6",
        (number, _lower(sought.text), sought.job, sought.state, sought.after, look + 1),
    )
    place, found, looked = sought.after, list[int](), 0
    for run, is_found in rows:
        if looked == look or len(found) == sought.limit:
            return RunPage(_loaded(db, found, sought), place, complete=False)
        place, looked = run, looked + 1
        if is_found:
            found.append(run)
    return RunPage(_loaded(db, found, sought), place, complete=True)


def _lower(text: str) -> str:
    """As `lower` of SQLite: letters of ASCII alone."""
    return text.encode("utf-8", "replace").lower().decode()


def _loaded(db: sqlite3.Connection, found: list[int], sought: RunsSought) -> list[LoadedRun]:
    by_number = {run.record.id: run for run in load_runs(db, found)}
    runs = [by_number[number] for number in found]
    return [run for run in runs if sought.has_text(run.record)]

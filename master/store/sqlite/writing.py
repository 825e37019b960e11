"""A turn's changes as rows: a few statements write the rows of each kind."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

import msgspec

from queue_manager.wire.failures import RetryNote
from queue_manager.wire.limits import RETRY_NOTES

from ...changes import QUEUE_RUN, Changes, Delivered, Revival, RunState, TrackedRecord
from ...scheduled import ScheduleRecord
from ...tries import PLACES
from .counting import write_marks
from .dropping import drop_later, forget
from .failures import counted, forget_groups, leaving
from .history import add_history
from .read.finding import keep_texts
from .read.results import count_results
from .read.tries import IS_TRY, LAST
from .schema.rows import get_meta, insert, one, set_meta, set_metas
from .schema.tables import (
    BLOCKS,
    COUNTS,
    OUTCOMES,
    OWN_GROUPS,
    QUOTAS,
    RUNS,
    SCHEDULES,
    TRACKED,
    TRIES,
)

UNREAD = "unread_results"
"""The name under which is kept how many results of the queue run nobody was ever given."""

_SELECT_BEHIND = "SELECT value FROM meta WHERE name = 'delivered_behind'"

# The conditions of the schema's index, word for word: SQLite uses no index otherwise.
_SELECT_USER = "SELECT 1 FROM runs WHERE version = ? AND uploaded = 1 AND state != 'pruned' LIMIT 1"

# This is no REPLACE, which would delete another run with the same key, and the counts of the row.
_REPLACE_RUN = f"ON CONFLICT (id) DO UPDATE SET {RUNS.assignments('excluded.{}')}"
# Nor is this one: what retries have noted of a task stays with it.
_REPLACE_TRACKED = (
    "ON CONFLICT (run, task) DO UPDATE SET"
    f" {TRACKED.assignments('excluded.{}', without=('run', 'task', 'retries'))}"
)
_REVIVE = (
    "UPDATE strays SET state = 'waiting', attempts = 0, losses = 0, delay_s = 0, due_at = ?1,"
    " seq = 0, failure = 0,"
    " retries = CASE retries WHEN x'90' THEN ?2 ELSE add_note(retries, ?2) END"
    " WHERE run = ?3 AND {}"
)
_REVIVE_ALL = _REVIVE.format("state = 'dead'")
# `+` keeps SQLite from an index of dead letters: it would look at all of them for a few.
_REVIVE_SOME = _REVIVE.format("+state = 'dead' AND task IN (SELECT value FROM json_each(?4))")
_SOME_DEAD = "run = ?1 AND +state = 'dead' AND task IN (SELECT value FROM json_each(?2))"
_KEEP_TRIES = (
    f"INSERT OR REPLACE INTO tries (run, task, place, {TRIES.columns})"
    f" SELECT run, task, MAX(tries, attempts + losses, 1) % {PLACES}, {LAST} FROM strays"
    f" WHERE run = ? AND task IN (SELECT value FROM json_each(?)) AND {IS_TRY}"
)
_NOTES = msgspec.msgpack.Decoder(list[RetryNote])
_GROW_BLOCK = "UPDATE blocks SET count = ?, body = ? WHERE id = ?"
_SET_COUNTS = f"UPDATE runs SET {COUNTS.assignments()} WHERE id = ?"


def write(db: sqlite3.Connection, changes: Changes, numbers: dict[str, int]) -> None:
    """Write what a turn has changed, in the transaction that is open.

    numbers: by name, what is to be kept besides.
    """
    BLOCKS.insert(db, changes.blocks)
    for block in changes.grown.values():
        db.execute(_GROW_BLOCK, (block.count, block.body, block.id))
    OUTCOMES.insert(db, changes.outcomes)
    _revive(db, changes.revived)
    _keep_tries(db, changes.tracked.values())
    TRACKED.insert(db, counted(db, changes.tracked.values()), end=_REPLACE_TRACKED)
    newest_dead = max((record.seq for record in changes.tracked.values()), default=0)
    if newest_dead:  # a retry or a forgotten run takes the number away from there
        set_meta(db, "next_seq", newest_dead + 1)
    _write_code(db, changes.code)
    _write_runs(db, changes)
    _write_workers(db, changes.workers)
    _write_schedules(db, changes.schedules)
    QUOTAS.replace(db, changes.quotas)
    OWN_GROUPS.replace(db, changes.groups)
    add_history(db, changes.history)
    if changes.accepted is not None:
        write_marks(db, changes.accepted)
    new = sum(o.readable for o in changes.outcomes if o.run == QUEUE_RUN)
    if changes.delivered is not None:
        _write_behind(db, changes.delivered)
        numbers = numbers | _delivered(changes.delivered, new)
    elif new:
        numbers = numbers | {UNREAD: get_meta(db, UNREAD) + new}
    set_metas(db, numbers)


def _delivered(delivered: Delivered, new: int) -> dict[str, int]:
    """How far readers have come, as numbers. new: how many results come with the same commit."""
    return {
        "delivered_seq": delivered.seq,
        "delivered_index": delivered.place,
        UNREAD: delivered.left + new,
    }


def _write_behind(db: sqlite3.Connection, delivered: Delivered) -> None:
    """Write which earlier results may not have reached a client, if these have changed."""
    behind = msgspec.msgpack.encode(delivered.behind)
    if behind != one(db, _SELECT_BEHIND):
        db.execute("INSERT OR REPLACE INTO meta VALUES ('delivered_behind', ?)", (behind,))


def read_delivered(db: sqlite3.Connection) -> Delivered:
    """How far readers have come. A file of an older release has no count yet: it is made here."""
    if one(db, "SELECT 1 FROM meta WHERE name = ?", UNREAD) is None:
        before = get_meta(db, "delivered_seq") - 1
        unread = count_results(db, QUEUE_RUN, before) - get_meta(db, "delivered_index")
        set_meta(db, UNREAD, unread)
    behind = one(db, _SELECT_BEHIND) or msgspec.msgpack.encode(())
    return Delivered(
        get_meta(db, "delivered_seq"),
        get_meta(db, "delivered_index"),
        msgspec.msgpack.decode(behind, type=tuple[tuple[int, int], ...]),
        get_meta(db, UNREAD),
    )


def _revive(db: sqlite3.Connection, revived: Mapping[int, Iterable[Revival]]) -> None:
    """Let dead letters wait again. Their evidence stays until the next try."""
    for run, revivals in revived.items():
        for note, tasks in revivals:
            values = (note.at, msgspec.msgpack.encode([note]), run)
            if tasks is None:
                forget_groups(db, [run])
                db.execute(_REVIVE_ALL, values)
            else:
                some = json.dumps(sorted(tasks))
                with leaving(db, _SOME_DEAD, (run, some)):
                    db.execute(_REVIVE_SOME, (*values, some))


def _keep_tries(db: sqlite3.Connection, records: Iterable[TrackedRecord]) -> None:
    """Keep the tries that these records are about to replace. A first try costs nothing."""
    tasks: dict[int, list[int]] = {}
    for record in records:
        if record.has_earlier:
            tasks.setdefault(record.run, []).append(record.task)
    for run, some in tasks.items():
        db.execute(_KEEP_TRIES, (run, json.dumps(some)))


def add_note(notes: bytes, new: bytes) -> bytes:
    """The newest notes of a task, with a new one. It is a function of SQL, too."""
    found = [*_NOTES.decode(notes), *_NOTES.decode(new)]
    return msgspec.msgpack.encode(found[-RETRY_NOTES:])


def _write_code(db: sqlite3.Connection, code: dict[str, dict[str, bytes]]) -> None:
    """Write uploaded code. Code that is there already stays: its version is the hash of it."""
    rows = ((version, msgspec.msgpack.encode(files)) for version, files in code.items())
    insert(db, "INSERT OR IGNORE INTO code (version, files)", rows)


def _drop_code(db: sqlite3.Connection, versions: set[str]) -> None:
    """Delete the uploaded code of these versions that no run has any more."""
    for version in versions:
        if one(db, _SELECT_USER, version) is None:
            db.execute("DELETE FROM code WHERE version = ?", (version,))


def _write_runs(db: sqlite3.Connection, changes: Changes) -> None:
    """Forgotten runs go first: the same turn may give the key of one to a new run."""
    versions = forget(db, changes.forgotten) | changes.code.keys()
    runs = [run for run in changes.runs.values() if run.id not in changes.forgotten]
    for record in runs:
        if record.uploaded:  # it may leave its version: for another one, or as it is pruned
            before = one(db, "SELECT version FROM runs WHERE id = ?", record.id)
            versions.add(before or record.version)
    RUNS.insert(db, runs, end=_REPLACE_RUN)
    keep_texts(db, [run for run in runs if run.state not in (RunState.ACTIVE, RunState.PRUNED)])
    for run, counts in changes.counts.items():
        db.execute(_SET_COUNTS, (*COUNTS.row(counts), run))
    drop_later(db, [run.id for run in runs if run.state is RunState.PRUNED])
    _drop_code(db, versions)


def _write_workers(db: sqlite3.Connection, workers: dict[str, bool]) -> None:
    came = ((worker,) for worker, is_here in workers.items() if is_here)
    insert(db, "INSERT OR IGNORE INTO workers (id)", came)
    for worker in (worker for worker, is_here in workers.items() if not is_here):
        db.execute("DELETE FROM workers WHERE id = ?", (worker,))


def _write_schedules(
    db: sqlite3.Connection, schedules: Mapping[str, ScheduleRecord | None]
) -> None:
    there = [record for record in schedules.values() if record is not None]
    SCHEDULES.insert(db, there, "INSERT OR REPLACE")
    for name in (name for name, record in schedules.items() if record is None):
        db.execute("DELETE FROM schedules WHERE name = ?", (name,))

"""A turn's changes as rows: a few statements write the rows of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from queue_manager.wire.failures import RetryNote
from queue_manager.wire.limits import RETRY_NOTES

from ...changes import QUEUE_RUN, Changes, Delivered, Revival, RunState, TrackedRecord
from ...scheduled import ScheduleRecord
from ...tries import PLACES
from .counting import write_marks
from .database import Database
from .failures import counted, forget_groups, leaving
from .history import add_history
from .read.finding import keep_texts
from .read.results import count_results
from .tables import (
    BLOCKS,
    OUTCOMES,
    OWN_GROUPS,
    QUOTAS,
    RUNS,
    SCHEDULES,
    TRACKED,
    in_place,
)
from .upkeep.dropping import drop_later, forget

UNREAD = "unread_results"
"""The name under which is kept how many results of the queue run nobody was ever given."""

_BEHIND = "delivered_behind"

# This is no REPLACE, which would delete another run with the same key, and the counts of the row.
_REPLACE_RUN = in_place(("id",), RUNS.assignments("excluded.{}"))
# Nor is this one: what retries have noted of a task stays with it.
_TASK = ("run", "task")
_REPLACE_TRACKED = in_place(_TASK, TRACKED.assignments("excluded.{}", without=(*_TASK, "retries")))
_IGNORE = "ON CONFLICT DO NOTHING"
_NOTES = msgspec.msgpack.Decoder(list[RetryNote])


def write(db: Database, changes: Changes, numbers: dict[str, int]) -> None:
    """Write what a turn has changed, in the transaction that is open.

    numbers: by name, what is to be kept besides.
    """
    BLOCKS.insert(db, changes.blocks)
    for block, grown in changes.grown.items():
        db.run("grow_block", block=block, count=grown.count, body=grown.body)
    OUTCOMES.insert(db, changes.outcomes)
    _revive(db, changes.revived)
    _keep_tries(db, changes.tracked.values())
    TRACKED.insert(db, counted(db, changes.tracked.values()), _REPLACE_TRACKED)
    newest_dead = max((record.seq for record in changes.tracked.values()), default=0)
    if newest_dead:  # a retry or a forgotten run takes the number away from there
        db.keep({"next_seq": newest_dead + 1})
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
        numbers = numbers | {UNREAD: db.number(UNREAD) + new}
    if numbers:
        db.keep(numbers)


def _delivered(delivered: Delivered, new: int) -> dict[str, int]:
    """How far readers have come, as numbers. new: how many results come with the same commit."""
    return {
        "delivered_seq": delivered.seq,
        "delivered_index": delivered.place,
        UNREAD: delivered.left + new,
    }


def _write_behind(db: Database, delivered: Delivered) -> None:
    """Write which earlier results may not have reached a client, if these have changed."""
    behind = msgspec.msgpack.encode(delivered.behind)
    if behind != db.kept(_BEHIND):
        db.keep({_BEHIND: behind})


def read_delivered(db: Database) -> Delivered:
    """How far readers have come. A file of an older release has no count yet: it is made here."""
    if db.kept(UNREAD) is None:
        before = db.number("delivered_seq") - 1
        unread = count_results(db, QUEUE_RUN, before) - db.number("delivered_index")
        db.keep({UNREAD: unread})
    behind = db.kept(_BEHIND) or msgspec.msgpack.encode(())
    return Delivered(
        db.number("delivered_seq"),
        db.number("delivered_index"),
        msgspec.msgpack.decode(behind, type=tuple[tuple[int, int], ...]),
        db.number(UNREAD),
    )


def _revive(db: Database, revived: Mapping[int, Iterable[Revival]]) -> None:
    """Let dead letters wait again. Their evidence stays until the next try."""
    for run, revivals in revived.items():
        for note, tasks in revivals:
            values = {"at": note.at, "note": msgspec.msgpack.encode([note]), "run": run}
            if tasks is None:
                forget_groups(db, [run])
                db.run("revive", {"which": "state = 'dead'"}, **values)
            else:
                some = sorted(tasks)
                with leaving(db, "dead_of_tasks", run=run, tasks=some):
                    db.run("revive", {"which": "{some_dead}"}, **values, tasks=some)


def _keep_tries(db: Database, records: Iterable[TrackedRecord]) -> None:
    """Keep the tries that these records are about to replace. A first try costs nothing."""
    tasks: dict[int, list[int]] = {}
    for record in records:
        if record.has_earlier:
            tasks.setdefault(record.run, []).append(record.task)
    for run, some in tasks.items():
        db.run("keep_tries", run=run, tasks=some, places=PLACES)


def add_note(notes: bytes, new: bytes) -> bytes:
    """The newest notes of a task, with a new one. It is a function of SQL, too."""
    found = [*_NOTES.decode(notes), *_NOTES.decode(new)]
    return msgspec.msgpack.encode(found[-RETRY_NOTES:])


def _write_code(db: Database, code: dict[str, dict[str, bytes]]) -> None:
    """Write uploaded code. Code that is there already stays: its version is the hash of it."""
    rows = ((version, msgspec.msgpack.encode(files)) for version, files in code.items())
    db.insert("code", ("version", "files"), rows, _IGNORE)


def _drop_code(db: Database, versions: set[str]) -> None:
    """Delete the uploaded code of these versions that no run has any more."""
    for version in versions:
        if db.one("code_user", version=version) is None:
            db.run("drop_code", version=version)


def _write_runs(db: Database, changes: Changes) -> None:
    """Forgotten runs go first: the same turn may give the key of one to a new run."""
    versions = forget(db, changes.forgotten) | changes.code.keys()
    runs = [run for run in changes.runs.values() if run.id not in changes.forgotten]
    for record in runs:
        if record.uploaded:  # it may leave its version: for another one, or as it is pruned
            before = db.one("version_of_run", run=record.id)
            versions.add(before or record.version)
    RUNS.insert(db, runs, _REPLACE_RUN)
    keep_texts(db, [run for run in runs if run.state not in (RunState.ACTIVE, RunState.PRUNED)])
    db.set_counts(changes.counts)
    drop_later(db, [run.id for run in runs if run.state is RunState.PRUNED])
    _drop_code(db, versions)


def _write_workers(db: Database, workers: dict[str, bool]) -> None:
    came = ((worker,) for worker, is_here in workers.items() if is_here)
    db.insert("workers", ("id",), came, _IGNORE)
    for worker in (worker for worker, is_here in workers.items() if not is_here):
        db.run("drop_worker", worker=worker)


def _write_schedules(db: Database, schedules: Mapping[str, ScheduleRecord | None]) -> None:
    there = [record for record in schedules.values() if record is not None]
    SCHEDULES.insert(db, there, SCHEDULES.in_place)
    for name in (name for name, record in schedules.items() if record is None):
        db.run("drop_schedule", name=name)

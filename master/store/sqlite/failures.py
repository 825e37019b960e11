"""Groups of dead letters: kept in the commits that have letters come or go, and read in pages."""

from __future__ import annotations

import contextlib
import heapq
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from operator import itemgetter
from typing import Any

from queue_manager.job.failures import without_failure
from queue_manager.wire.failures import FailureFilter

from ...changes import TrackedRecord
from ...failures import (
    GROUPS,
    OTHERS,
    End,
    FailureGroup,
    FailurePage,
    GroupsSought,
    Name,
    group_of,
    groups_of,
)
from .schema.rows import one
from .schema.tables import FAILURES

_OF_NAME = "WHERE run = ? AND exception = ? AND place = ?"
_SELECT = f"SELECT {FAILURES.columns} FROM failures"
_MERGED = 64
"""Of so many groups at most letters are read group by group, and merged in their order."""

Rows = Iterator[tuple[Any, ...]]


# --- letters come and go ---


def counted(
    db: sqlite3.Connection, records: Collection[TrackedRecord]
) -> Collection[TrackedRecord]:
    """Count the dead letters among records in their groups; the records with these groups."""
    dead = groups_of(records)
    if not dead:
        return records
    numbers: dict[tuple[int, int], int] = {}
    others: dict[int, list[TrackedRecord]] = {}
    for name, letters in dead.items():
        number = _add(db, name, letters)
        if number is None:
            others.setdefault(name[0], []).extend(letters)
        else:
            numbers.update(dict.fromkeys(((one.run, one.task) for one in letters), number))
    for run, letters in others.items():
        number = _add(db, (run, OTHERS, OTHERS), letters)
        numbers.update(dict.fromkeys(((one.run, one.task) for one in letters), number or 0))
    return [replace(r, failure=numbers.get((r.run, r.task), 0)) for r in records]


def _add(db: sqlite3.Connection, name: Name, letters: list[TrackedRecord]) -> int | None:
    """Add letters to a group; returns its number. None: the run has no room for another group."""
    group = group_of(name, letters)
    row = db.execute(f"{_SELECT} {_OF_NAME}", name).fetchone()
    if row is not None:
        _write(db, FAILURES.load(row).plus(group))
        return int(row[0])
    if name[1:] != (OTHERS, OTHERS):
        of_run = "SELECT COUNT(*) FROM failures WHERE run = ?"
        if one(db, of_run, group.run) >= GROUPS:
            return None
    columns, values = FAILURES.names[1:], FAILURES.row(group)[1:]
    marks = ",".join("?" * len(values))
    new = db.execute(f"INSERT INTO failures ({', '.join(columns)}) VALUES ({marks})", values)
    return new.lastrowid


def _write(db: sqlite3.Connection, group: FailureGroup) -> None:
    query = f"UPDATE failures SET {FAILURES.assignments()} WHERE id = ?"
    db.execute(query, (*FAILURES.row(group), group.id))


@contextlib.contextmanager
def leaving(db: sqlite3.Connection, where: str, values: Collection[object]) -> Iterator[None]:
    """Dead letters leave their groups; meanwhile they become something else, or are deleted.

    where: which rows of tracked tasks these are.
    """
    gone: dict[int, dict[str, int]] = {}
    query = f"SELECT failure, worker, COUNT(*) FROM strays WHERE {where} GROUP BY failure, worker"
    for number, worker, count in db.execute(query, tuple(values)).fetchall():
        gone.setdefault(number, {})[worker] = count
    yield
    for number, workers in gone.items():
        row = db.execute(f"{_SELECT} WHERE id = ?", (number,)).fetchone()
        left = None if row is None else FAILURES.load(row).minus(workers)
        if left is None:
            db.execute("DELETE FROM failures WHERE id = ?", (number,))
        else:
            _write(db, left.between(_end(db, left, ""), _end(db, left, "DESC")))


def _end(db: sqlite3.Connection, group: FailureGroup, order: str) -> End | None:
    """The oldest letter of a group, or the newest one with `DESC`."""
    query = (
        "SELECT seq, task, error, due_at FROM strays INDEXED BY strays_failures"
        f" WHERE run = ? AND state = 'dead' AND failure = ? ORDER BY seq {order} LIMIT 1"
    )
    row = db.execute(query, (group.run, group.id)).fetchone()
    return None if row is None else End(*row)


def forget_groups(db: sqlite3.Connection, runs: Iterable[int]) -> None:
    """Delete the groups of runs. A run has few of them, so they all go at once."""
    for run in runs:
        db.execute("DELETE FROM failures WHERE run = ?", (run,))


# --- they are read ---


def find_groups(db: sqlite3.Connection, sought: GroupsSought) -> FailurePage:
    """As `Store.find_groups`."""
    where, values = ["failures.last_seq < ?"], list[object]([sought.after])
    for column, value in (("failures.run", sought.run), ("job", sought.job or None)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    rows = db.execute(
        f"SELECT {FAILURES.select('failures')}, job FROM failures CROSS JOIN runs"
        f" WHERE {' AND '.join(where)} AND runs.id = failures.run"
        " ORDER BY failures.last_seq DESC LIMIT ?",
        (*values, sought.look + 1),
    )
    groups: list[tuple[FailureGroup, str]] = []
    place, looked = sought.after, 0
    for *row, job in rows:
        if len(groups) == sought.limit or looked == sought.look:
            return FailurePage(groups, place, complete=False)
        group = FAILURES.load(row)
        place, looked = group.last_seq, looked + 1
        if group.may_have(sought.only):
            groups.append((group, job))
    return FailurePage(groups, place, complete=True)


def letters_in_order(
    db: sqlite3.Connection,
    run: int,
    only: FailureFilter,
    columns: str,
    between: tuple[int, int],
    newest_first: bool = False,
) -> tuple[Rows, FailureFilter]:
    """Rows of dead letters in the order of their numbers, and what is to be asked of each row.

    If the filter names an exception or a place, only rows of such groups are read. columns: what is
    read, the number first. between: the numbers of the letters are greater than the first, and at
    most the second.
    """
    order = "DESC" if newest_first else ""
    query = f"SELECT {columns} FROM strays INDEXED BY {{}} WHERE run = ? AND state = 'dead'"
    last = f" AND seq > ? AND seq <= ? ORDER BY seq {order}"
    groups, is_exact = _groups_of(db, run, only)
    if groups is None or len(groups) > _MERGED:
        values = (run, *between)
        return db.execute(query.format("strays_letters") + last, values), only
    of_group = f"{query.format('strays_failures')} AND failure = ?{last}"
    parts = [db.execute(of_group, (run, group, *between)) for group in groups]
    merged = heapq.merge(*parts, key=itemgetter(0), reverse=newest_first)
    return merged, without_failure(only) if is_exact else only


def tasks_of_groups(
    db: sqlite3.Connection, run: int, only: FailureFilter, between: tuple[int, int]
) -> Iterator[int] | None:
    """The tasks of dead letters of the groups that a filter names, in order.

    between: the first task, and the one behind the last. None: the filter names no exception and no
    place, or its letters are of many groups. So each letter is to be looked at.
    """
    groups, _ = _groups_of(db, run, only)
    if groups is None or len(groups) > _MERGED:
        return None
    of_group = (
        "SELECT task FROM strays INDEXED BY strays_of_failure WHERE run = ? AND state = 'dead'"
        " AND failure = ? AND task >= ? AND task < ? ORDER BY task"
    )
    parts = [db.execute(of_group, (run, group, *between)) for group in groups]
    return (task for (task,) in heapq.merge(*parts))


def _groups_of(
    db: sqlite3.Connection, run: int, only: FailureFilter
) -> tuple[list[int] | None, bool]:
    """The groups that may have letters of a filter, and whether these have nothing else.

    None: it names no exception and no place.
    """
    if not only.exception and not only.place:
        return None, False
    where, values = ["run = ?"], list[object]([run])
    name = only.exception.rpartition(".")[2]
    for column, value in (("exception", name), ("place", only.place)):
        if value:
            where.append(f"{column} = ?")
            values.append(value)
    query = f"SELECT id FROM failures WHERE {' AND '.join(where)}"
    found = [number for (number,) in db.execute(query, values)]
    others = one(db, f"SELECT id FROM failures {_OF_NAME}", run, OTHERS, OTHERS)
    is_exact = others is None and name == only.exception
    return found if others is None else [*found, others], is_exact

"""Groups of dead letters: kept in the commits that have letters come or go, and read in pages."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
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
from .database import Database, Row
from .tables import FAILURES

_MERGED = 64
"""Of so many groups at most letters are read group by group, and merged in their order."""


# --- letters come and go ---


def counted(db: Database, records: Collection[TrackedRecord]) -> Collection[TrackedRecord]:
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


def _add(db: Database, name: Name, letters: list[TrackedRecord]) -> int | None:
    """Add letters to a group; returns its number. None: the run has no room for another group."""
    group = group_of(name, letters)
    run, exception, place = name
    row = db.first("failure_by_name", run=run, exception=exception, place=place)
    if row is not None:
        _write(db, FAILURES.load(row).plus(group))
        return int(row[0])
    if name[1:] != (OTHERS, OTHERS) and db.one("count_failures", run=run) >= GROUPS:
        return None
    return int(db.one("add_failure", **_values(group)))


def _write(db: Database, group: FailureGroup) -> None:
    db.run("set_failure", **_values(group))


def _values(group: FailureGroup) -> dict[str, Any]:
    return dict(zip(FAILURES.names, FAILURES.row(group), strict=True))


@contextlib.contextmanager
def leaving(db: Database, which: str, **values: Any) -> Iterator[None]:
    """Dead letters leave their groups; meanwhile they become something else, or are deleted.

    which: the name of the statement that counts them by group and worker, with its values.
    """
    gone: dict[int, dict[str, int]] = {}
    for number, worker, count in db.rows(which, **values):
        gone.setdefault(number, {})[worker] = count
    yield
    for number, workers in gone.items():
        row = db.first("failure_by_id", failure=number)
        left = None if row is None else FAILURES.load(row).minus(workers)
        if left is None:
            db.run("drop_failure", failure=number)
        else:
            _write(db, left.between(_end(db, left, ""), _end(db, left, "DESC")))


def _end(db: Database, group: FailureGroup, order: str) -> End | None:
    """The oldest letter of a group, or the newest one with `DESC`."""
    row = db.first("end_of_failure", {"order": order}, run=group.run, failure=group.id)
    return None if row is None else End(*row)


def forget_groups(db: Database, runs: Iterable[int]) -> None:
    """Delete the groups of runs. A run has few of them, so they all go at once."""
    for run in runs:
        db.run("drop_failures", run=run)


# --- they are read ---


def find_groups(db: Database, sought: GroupsSought) -> FailurePage:
    """As `Store.find_groups`."""
    chosen = {"f.run = :run": sought.run is not None, "job = :job": bool(sought.job)}
    rows = db.rows(
        "failures_behind",
        {"chosen": _all_of(chosen)},
        after=sought.after,
        run=sought.run,
        job=sought.job,
        look=sought.look + 1,
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
    db: Database,
    run: int,
    only: FailureFilter,
    parts: Mapping[str, str],
    between: tuple[int, int],
    look: int,
) -> tuple[Iterator[Row], FailureFilter]:
    """Rows of dead letters in the order of their numbers, and what is to be asked of each row.

    If the filter names an exception or a place, only rows of such groups are read. parts: what is
    read, and the order. between: the numbers of the letters are greater than the first, and at most
    the second. look: who asks stops before it has had so many rows.
    """
    values: dict[str, Any] = {"run": run, "after": between[0], "until": between[1], "look": look}
    groups, is_exact = _groups_of(db, run, only)
    if groups is None or len(groups) > _MERGED:
        return db.stream("letters_in_order", parts, **values), only
    rows = [db.stream("letters_of_failure", parts, **values, failure=group) for group in groups]
    merged = heapq.merge(*rows, key=itemgetter(0), reverse=parts["order"] == "DESC")
    return merged, without_failure(only) if is_exact else only


def tasks_of_groups(
    db: Database, run: int, only: FailureFilter, between: tuple[int, int], look: int
) -> Iterator[int] | None:
    """The tasks of dead letters of the groups that a filter names, in order.

    between: the first task, and the one behind the last. look: who asks stops before it has had so
    many. None: the filter names no exception and no place, or its letters are of many groups. So
    each letter is to be looked at.
    """
    groups, _ = _groups_of(db, run, only)
    if groups is None or len(groups) > _MERGED:
        return None
    values: dict[str, Any] = {"run": run, "start": between[0], "stop": between[1], "look": look}
    rows = [db.rows("tasks_of_failure", **values, failure=group) for group in groups]
    return (task for (task,) in heapq.merge(*rows))


def _groups_of(db: Database, run: int, only: FailureFilter) -> tuple[list[int] | None, bool]:
    """The groups that may have letters of a filter, and whether these have nothing else.

    None: it names no exception and no place.
    """
    if not only.exception and not only.place:
        return None, False
    name = only.exception.rpartition(".")[2]
    named = {"exception = :exception": bool(name), "place = :place": bool(only.place)}
    values: dict[str, Any] = {"exception": name, "place": only.place}
    rows = db.rows("failures_of_names", {"named": _all_of(named)}, run=run, **values)
    found = [number for (number,) in rows]
    others = db.one("failure_by_name", run=run, exception=OTHERS, place=OTHERS)
    is_exact = others is None and name == only.exception
    return found if others is None else [*found, others], is_exact


def _all_of(conditions: Mapping[str, bool]) -> str:
    """The condition of all of these that are asked for."""
    return " AND ".join(["1 = 1", *(text for text, is_asked in conditions.items() if is_asked)])

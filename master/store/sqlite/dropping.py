"""Deletes the rows of removed runs in small steps, and gives the free space of the file back."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable

from ...changes import QUEUE_RUN
from .failures import forget_groups
from .read.finding import drop_texts
from .schema.rows import get_meta, insert, one, set_meta

_PAGE_BYTES = 4_096


def next_number(db: sqlite3.Connection, name: str, table: str, column: str) -> int:
    """A number above every one that was ever given, also to rows that are gone."""
    highest = one(db, f"SELECT MAX({column}) FROM {table}")
    return max(get_meta(db, name), 1, (highest or 0) + 1)


NUMBERS = (
    ("next_run", "runs", "id"),
    ("next_block", "blocks", "id"),
    ("next_seq", "outcomes", "seq"),
)


def forget(db: sqlite3.Connection, runs: Collection[int]) -> set[str]:
    """Delete the runs, and note that their rows are to go. Returns the uploaded code they had."""
    if QUEUE_RUN in runs:
        raise ValueError("the queue run can't be forgotten")
    drop_later(db, runs)
    versions: set[str] = set()
    for run in runs:
        gone = db.execute("DELETE FROM runs WHERE id = ? RETURNING version, uploaded", (run,))
        versions.update(version for version, is_uploaded in gone.fetchall() if is_uploaded)
    return versions


def drop_later(db: sqlite3.Connection, runs: Collection[int]) -> None:
    """Note that the rows of these runs are to go, and which numbers they have used."""
    if runs:
        for name, table, column in NUMBERS:
            set_meta(db, name, next_number(db, name, table, column))
        insert(db, "INSERT OR IGNORE INTO dropping (run)", ((run,) for run in runs))
        forget_groups(db, runs)
        drop_texts(db, runs)


def drop_some(db: sqlite3.Connection, rows: int) -> bool:
    """Delete about so many rows of what is to go, in the transaction that is open."""
    run = one(db, "SELECT MIN(run) FROM dropping")
    if run is None:
        return False
    for table, column, size in (
        ("strays", "task", "LENGTH(evidence) + LENGTH(printed) + LENGTH(raised)"),
        ("tries", "task", "LENGTH(evidence) + LENGTH(printed) + LENGTH(raised)"),
        ("fresh_keys", "id", "LENGTH(hashes)"),
        ("keys", "hash", "0"),
        ("quotas", "name", "0"),
        ("own_groups", "grp", "0"),
        ("history", "at", "0"),
        ("outcomes", "seq", "LENGTH(results)"),
        ("blocks", "first", "LENGTH(body)"),
    ):
        sizes = db.execute(
            f"SELECT {column}, {size} FROM {table} WHERE run = ? ORDER BY {column} LIMIT ?",
            (run, rows),
        )
        last, some = _first(sizes, rows)
        if some:
            # The rows up to there are one range of an index, so one statement deletes them.
            db.execute(f"DELETE FROM {table} WHERE run = ? AND {column} <= ?", (run, last))
            rows -= some
        if rows <= 0:
            return True
    db.execute("DELETE FROM dropping WHERE run = ?", (run,))
    return True


def _first(sizes: Iterable[tuple[object, int]], rows: int) -> tuple[object, int]:
    """Choose the first rows that are about as much work as so many small ones.

    sizes: the key of each row, and how many bytes it has beside its short columns. Returns the key
    of the last of these rows, and how much work they are.
    """
    last: object = None
    work = 0
    for value, size in sizes:
        last = value
        work += 1 + size // _PAGE_BYTES
        if work >= rows:
            break
    return last, work


def shrink(db: sqlite3.Connection, pages: int) -> bool:
    """Give about so many free pages back. The file gets shorter with the last of them."""
    free = one(db, "PRAGMA freelist_count")
    if not free:
        return False
    # It runs as a script: the statement has a step for each page, and `execute` takes one step.
    db.executescript(f"PRAGMA incremental_vacuum({max(1, pages)});")
    if not one(db, "PRAGMA freelist_count"):
        # This makes the file shorter. TRUNCATE would wait for whoever copies the store, and would
        # take from a follower what it has not read yet.
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return True

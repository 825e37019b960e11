"""Deletes the rows of removed runs in small steps."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ....changes import QUEUE_RUN
from ..database import Database, Row
from ..failures import forget_groups
from ..read.finding import drop_texts

_PAGE_BYTES = 4_096


def next_number(db: Database, name: str, table: str, column: str) -> int:
    """A number above every one that was ever given, also to rows that are gone."""
    highest = db.one("highest", {"table": table, "column": column})
    return max(db.number(name), 1, (highest or 0) + 1)


NUMBERS = (
    ("next_run", "runs", "id"),
    ("next_block", "blocks", "id"),
    ("next_seq", "outcomes", "seq"),
)


def forget(db: Database, runs: Collection[int]) -> set[str]:
    """Delete the runs, and note that their rows are to go. Returns the uploaded code they had."""
    if QUEUE_RUN in runs:
        raise ValueError("the queue run can't be forgotten")
    drop_later(db, runs)
    versions: set[str] = set()
    for run in runs:
        gone = list(db.rows("forget_run", run=run))
        versions.update(version for version, is_uploaded in gone if is_uploaded)
    return versions


def drop_later(db: Database, runs: Collection[int]) -> None:
    """Note that the rows of these runs are to go, and which numbers they have used."""
    if runs:
        db.keep({number[0]: next_number(db, *number) for number in NUMBERS})
        db.insert("dropping", ("run",), ((run,) for run in runs), "ON CONFLICT DO NOTHING")
        forget_groups(db, runs)
        drop_texts(db, runs)


def drop_some(db: Database, rows: int) -> bool:
    """Delete about so many rows of what is to go, in the transaction that is open."""
    run = db.one("next_to_drop")
    if run is None:
        return False
    texts = "LENGTH(evidence) + LENGTH(printed) + LENGTH(raised)"
    for table, column, size in (
        ("strays", "task", texts),
        ("tries", "task", texts),
        *db.tables_of_keys,
        ("quotas", "name", "0"),
        ("own_groups", "grp", "0"),
        ("history", "at", "0"),
        ("outcomes", "seq", "LENGTH(results)"),
        ("blocks", "first", "LENGTH(body)"),
    ):
        parts = {"table": table, "column": column, "size": size}
        last, some = _first(db.rows("sizes_to_drop", parts, run=run, rows=rows), rows)
        if some:
            db.run("drop_up_to", {"table": table, "column": column}, run=run, last=last)
            rows -= some
        if rows <= 0:
            return True
    db.run("dropped", run=run)
    return True


def _first(sizes: Iterable[Row], rows: int) -> tuple[object, int]:
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

"""How old the ended tasks of the queue run are, and which of them are deleted.

The queue run itself never ends. A result has no time of its own; marks say which results were
there at which time.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

import msgspec

from ...changes import QUEUE_RUN
from ...reads import PruneStep
from .failures import leaving
from .names import hash_key
from .read.results import READABLE
from .read.waiting import waiting_ranges
from .schema.rows import get_meta, one, set_meta
from .writing import UNREAD


def mark(db: sqlite3.Connection, at: float, seq: int, keep_s: float) -> int:
    """As `Store.mark`, in the transaction that is open. Old marks that say no more are deleted."""
    db.execute("INSERT OR REPLACE INTO marks (at, seq) VALUES (?, ?)", (at, seq))
    old = one(db, "SELECT MAX(at) FROM marks WHERE at <= ?", at - keep_s)
    if old is None:
        return 0
    db.execute("DELETE FROM marks WHERE at < ?", (old,))
    old_seq: int = one(db, "SELECT seq FROM marks WHERE at = ?", old)
    return old_seq


def prune_results(
    db: sqlite3.Connection, seq: int, died_by: float, after: int, limit: int
) -> PruneStep:
    """As `Store.prune_queue`, in the transaction that is open."""
    rows = db.execute(
        f"SELECT seq, block, {READABLE} FROM outcomes"
        " WHERE run = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        (QUEUE_RUN, after, seq, limit),
    ).fetchall()
    loose = {number: count for number, block, count in rows if not block}
    blocks = {block for _, block, _ in rows if block}
    last = rows[-1][0] if rows else after
    return _prune(db, blocks, loose, seq, died_by, (last, len(rows) < limit))


def prune_letters(
    db: sqlite3.Connection, seq: int, died_by: float, after: int, limit: int
) -> PruneStep:
    """As `Store.prune_letters`, in the transaction that is open."""
    blocks = [
        block
        for (block,) in db.execute(
            "SELECT DISTINCT block FROM strays WHERE run = ? AND state = 'dead' AND block > ?"
            " ORDER BY block LIMIT ?",
            (QUEUE_RUN, after, limit),
        )
    ]
    last = blocks[-1] if blocks else after
    return _prune(db, blocks, {}, seq, died_by, (last, len(blocks) < limit))


def _prune(
    db: sqlite3.Connection,
    blocks: Iterable[int],
    results: dict[int, int],
    seq: int,
    died_by: float,
    end: tuple[int, bool],
) -> PruneStep:
    letters: list[int] = []
    for block in blocks:
        if _is_old(db, block, seq, died_by):
            of_block = f"SELECT seq, {READABLE} FROM outcomes WHERE block = ?"
            results.update(db.execute(of_block, (block,)).fetchall())
            dead = "SELECT task FROM strays WHERE block = ? AND state = 'dead'"
            letters += [task for (task,) in db.execute(dead, (block,))]
            with leaving(db, "block = ? AND state = 'dead'", (block,)):
                _delete(db, block)
    if not results and not letters:
        return PruneStep({}, [], *end)
    seqs = json.dumps(list(results))
    db.execute("DELETE FROM outcomes WHERE seq IN (SELECT value FROM json_each(?))", (seqs,))
    db.execute(
        "UPDATE runs SET dead = dead - ?1, pruned = pruned + ?1 WHERE id = ?2",
        (len(letters), QUEUE_RUN),
    )
    set_meta(db, UNREAD, max(0, get_meta(db, UNREAD) - _unread(db, results)))
    return PruneStep(results, letters, *end)


def _is_old(db: sqlite3.Connection, block: int, seq: int, died_by: float) -> bool:
    """Whether all tasks of a block ended long enough ago."""
    count = one(db, "SELECT count FROM blocks WHERE id = ?", block)
    if count is None or waiting_ranges(db, block, count):
        return False
    younger = one(
        db,
        "SELECT EXISTS (SELECT 1 FROM outcomes WHERE block = ?1 AND seq > ?2)"
        " OR EXISTS (SELECT 1 FROM strays WHERE block = ?1"
        "  AND (state = 'waiting' OR (state = 'dead' AND due_at > ?3)))",
        block,
        seq,
        died_by,
    )
    return not younger


def _delete(db: sqlite3.Connection, block: int) -> None:
    """Delete a block without its outcomes. Keys that are not in the tree yet stay taken."""
    first, count, keys = db.execute(
        "SELECT first, count, keys FROM blocks WHERE id = ?", (block,)
    ).fetchone()
    for key in [] if keys is None else msgspec.msgpack.decode(keys, type=list[str]):
        db.execute("DELETE FROM keys WHERE run = ? AND hash = ?", (QUEUE_RUN, hash_key(key)))
    db.execute("DELETE FROM strays WHERE block = ?", (block,))
    tasks = (QUEUE_RUN, first, first + count)
    db.execute("DELETE FROM tries WHERE run = ? AND task >= ? AND task < ?", tasks)
    db.execute("DELETE FROM blocks WHERE id = ?", (block,))


def _unread(db: sqlite3.Connection, results: dict[int, int]) -> int:
    """How many of these results nobody was ever given, as far as the disk knows."""
    next_seq, place = get_meta(db, "delivered_seq"), get_meta(db, "delivered_index")
    behind = sum(count for seq, count in results.items() if seq > next_seq)
    return behind + max(0, results.get(next_seq, place) - place)

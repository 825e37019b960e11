"""How old the ended tasks of the queue run are, and which of them are deleted.

The queue run itself never ends. A result has no time of its own; marks say which results were
there at which time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from ....changes import QUEUE_RUN
from ....reads import PruneStep
from ..database import Database
from ..failures import leaving
from ..read.waiting import waiting_ranges
from ..tables import in_place
from ..writing import UNREAD

MARKS = ("at", "seq")
NEWEST_MARK = in_place(MARKS[:1], "seq = excluded.seq")
"""The end of an INSERT of marks: of two at one time the later one counts."""


def mark(db: Database, at: float, seq: int, keep_s: float) -> int:
    """As `Store.mark`, in the transaction that is open. Old marks that say no more are deleted."""
    db.insert("marks", MARKS, [(at, seq)], NEWEST_MARK)
    old = db.one("old_mark", at=at - keep_s)
    if old is None:
        return 0
    db.run("drop_old_marks", at=old)
    old_seq: int = db.one("seq_of_mark", at=old)
    return old_seq


def prune_results(db: Database, seq: int, died_by: float, after: int, limit: int) -> PruneStep:
    """As `Store.prune_queue`, in the transaction that is open."""
    rows = list(db.rows("old_results", run=QUEUE_RUN, after=after, until=seq, look=limit))
    loose = {number: count for number, block, count in rows if not block}
    blocks = {block for _, block, _ in rows if block}
    last = rows[-1][0] if rows else after
    return _prune(db, blocks, loose, seq, died_by, (last, len(rows) < limit))


def prune_letters(db: Database, seq: int, died_by: float, after: int, limit: int) -> PruneStep:
    """As `Store.prune_letters`, in the transaction that is open."""
    found = db.rows("blocks_with_letters", run=QUEUE_RUN, after=after, look=limit)
    blocks = [block for (block,) in found]
    last = blocks[-1] if blocks else after
    return _prune(db, blocks, {}, seq, died_by, (last, len(blocks) < limit))


def _prune(
    db: Database,
    blocks: Iterable[int],
    results: dict[int, int],
    seq: int,
    died_by: float,
    end: tuple[int, bool],
) -> PruneStep:
    letters: list[int] = []
    for block in blocks:
        if _is_old(db, block, seq, died_by):
            results.update(dict(db.rows("results_of_block", block=block)))
            letters += [task for (task,) in db.rows("letters_of_block", block=block)]
            with leaving(db, "dead_of_block", block=block):
                _delete(db, block)
    if not results and not letters:
        return PruneStep({}, [], *end)
    db.run("drop_outcomes", seqs=list(results))
    _count_pruned(db, len(letters))
    db.keep({UNREAD: max(0, db.number(UNREAD) - _unread(db, results))})
    return PruneStep(results, letters, *end)


def _count_pruned(db: Database, letters: int) -> None:
    row = db.first("counts_of_run", run=QUEUE_RUN)
    assert row is not None
    counts = db.counts(QUEUE_RUN, row)
    pruned = replace(counts, dead=counts.dead - letters, pruned=counts.pruned + letters)
    db.set_counts({QUEUE_RUN: pruned})


def _is_old(db: Database, block: int, seq: int, died_by: float) -> bool:
    """Whether all tasks of a block ended long enough ago."""
    count = db.one("count_of_block", block=block)
    if count is None or waiting_ranges(db, block, count):
        return False
    return not db.one("is_block_younger", block=block, until=seq, died_by=died_by)


def _delete(db: Database, block: int) -> None:
    """Delete a block without its outcomes, and its keys."""
    span = db.first("span_of_block", block=block)
    assert span is not None
    first, count, keys = span
    if keys is not None:
        db.drop_keys(QUEUE_RUN, msgspec.msgpack.decode(keys, type=list[str]))
    db.run("drop_tracked_of_block", block=block)
    db.run("drop_tries_of_block", run=QUEUE_RUN, first=first, behind=first + count)
    db.run("drop_block", block=block)


def _unread(db: Database, results: dict[int, int]) -> int:
    """How many of these results nobody was ever given, as far as the disk knows."""
    next_seq, place = db.number("delivered_seq"), db.number("delivered_index")
    behind = sum(count for seq, count in results.items() if seq > next_seq)
    return behind + max(0, results.get(next_seq, place) - place)

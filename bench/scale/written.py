"""What is in a store before its master starts, written through the store as a master writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from master.changes import QUEUE_RUN, BlockRecord, Changes, OutcomeRecord, RunCounts
from master.store.sqlite.engine import SqliteStore
from queue_manager import codec
from queue_manager.wire.records import BLOCK_TASKS

BLOCKS_PER_COMMIT = 1_000


def fill(data: Path, all_changes: Iterable[Changes]) -> None:
    """Write changes into a new store, a commit each."""
    store = SqliteStore(data)
    try:
        for changes in all_changes:
            store.commit(changes)
    finally:
        store.close()


def prune_minutes(data: Path, before_at: float) -> None:
    """Leave ten minutes alone of the history before a time (UTC epoch, s), as masters do."""
    store = SqliteStore(data)
    try:
        while store.prune_history(before_at, 0.0, 10_000):
            pass
    finally:
        store.close()


def results(blocks: int, first_id: int = 1) -> Iterator[Changes]:
    """Results of the queue run that nobody has read. first_id: number of the first block."""
    body = codec.encode_batch([7] * BLOCK_TASKS)
    for first, stop in slices(0, blocks, BLOCKS_PER_COMMIT):
        places = [(n, first_id + n, 1 + n * BLOCK_TASKS) for n in range(first, stop)]
        tasks = stop * BLOCK_TASKS
        yield Changes(
            blocks=[
                BlockRecord(number, QUEUE_RUN, start, BLOCK_TASKS, body)
                for _, number, start in places
            ],
            outcomes=[
                OutcomeRecord(1 + n, QUEUE_RUN, number, start, 0, BLOCK_TASKS, body)
                for n, number, start in places
            ],
            counts={QUEUE_RUN: RunCounts(tasks=tasks, done=tasks, last_seq=stop)},
        )


def slices(first: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut a range into parts of at most this size: (first, stop) of each."""
    for at in range(first, stop, size):
        yield at, min(at + size, stop)

"""Durable state behind a small set of verbs that hand out records, never rows or SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from queue_manager.records import ResultBlock

from ..changes import Changes, LoadedRun, OutcomeRecord, WaitingBlock


class Store(Protocol):
    """What the master needs of a store. Used from one thread.

    epoch: one more than at the last opening. delivered: up to which result of the queue run,
    as (seq, index in its batch), stock clients have read.
    """

    epoch: int
    delivered: tuple[int, int]
    next_block: int
    next_seq: int

    def load(self) -> list[LoadedRun]:
        """All runs as they stand, the queue run first (made at the first opening)."""

    def commit(self, changes: Changes) -> None:
        """Make changes durable in one transaction; on disk when this returns.

        Raises StoreError, with nothing of them kept, when that is not possible.
        """

    def read_waiting(
        self, run: int, priority: int, after: int, tasks: int
    ) -> tuple[list[WaitingBlock], int]:
        """Blocks behind block `after` that have waiting tasks, until so many tasks are found.

        Returns also the newest block that was looked at, 0 if there was none.
        """

    def read_body(self, block: int) -> bytes:
        """The payloads of a block."""

    def taken_keys(self, run: int, keys: Sequence[str]) -> set[str]:
        """Which of these keys the run has already."""

    def find_run(self, key: str) -> int | None:
        """The run with this key."""

    def read_outcomes(
        self, run: int, after: int, most_bytes: int
    ) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
        """Outcomes behind sequence number `after`, oldest first, about so many bytes of them.

        Returns also the payloads of their blocks, by the number of each block's first task.
        """

    def read_last_outcomes(
        self, run: int, most: int
    ) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
        """The newest outcomes, oldest of them first, and payloads as in `read_outcomes`."""

    def count_results(self, run: int, after: int) -> int:
        """How many results the outcomes behind sequence number `after` hold."""

    def read_results(
        self, run: int, after: int, most_bytes: int
    ) -> tuple[list[ResultBlock], int, bool]:
        """Ended tasks in task order behind block `after`, and where the next page begins.

        The last of the three tells whether there is nothing behind it.
        """

    def close(self) -> None:
        """Give up the store, for another master to open."""

"""New tasks with keys: those whose key the run has already are dropped, payloads unopened."""

from __future__ import annotations

from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.records import BLOCK_TASKS, NewBlock

from .run import Run
from .turn import Turn


class FollowUps:
    """Stages new blocks of a run, from `tasks()` or behind a result."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def stage(
        self, run: Run, blocks: list[NewBlock], now: float, wall: float, *, from_tasks: bool
    ) -> int:
        """Stage what is new of these blocks; returns how many tasks that is."""
        count = 0
        for block in blocks:
            if block.count != codec.batch_length(block.body) or block.count > BLOCK_TASKS:
                raise ProtocolError(f"a block of {block.count} tasks holds another number of them")
            fresh = block if block.keys is None else self._fresh(run, block, block.keys)
            if fresh.count:
                self._turn.broker.submit(run, fresh, now, wall, from_tasks)
                count += fresh.count
        return count

    def _fresh(self, run: Run, block: NewBlock, keys: list[str]) -> NewBlock:
        taken = self._turn.store.taken_keys(run.id, keys)
        for staged in self._turn.broker.changes.blocks:
            if staged.run == run.id and staged.keys is not None:
                taken.update(staged.keys)
        kept = []
        for index, key in enumerate(keys):
            if key not in taken:
                taken.add(key)
                kept.append(index)
        if len(kept) == block.count:
            return block
        body = codec.pick(block.body, kept) if kept else b""
        return NewBlock(
            len(kept),
            body,
            [keys[index] for index in kept],
            block.group,
            block.priority,
            block.delay_s,
        )

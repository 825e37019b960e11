"""New tasks with keys: those whose key the run has already are dropped, payloads unopened."""

from __future__ import annotations

from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.job import LONGEST_S
from queue_manager.records import BLOCK_TASKS, NewBlock

from .broker.run import Run
from .turn import Turn


class FollowUps:
    """Stages new blocks of a run, from `tasks()` or behind a result."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def fresh(self, run: Run, blocks: list[NewBlock]) -> list[NewBlock]:
        """What is new of these blocks; nothing is staged yet.

        Raises:
            ProtocolError: one of them is not what it says.
        """
        for block in blocks:
            check(block)
        taken = self._taken(run, [key for block in blocks for key in block.keys or ()])
        found = []
        for block in blocks:
            if block.keys is not None:
                block = _without_taken(block, block.keys, taken)
            if block.count:
                found.append(block)
        return found

    def stage(
        self, run: Run, fresh: list[NewBlock], now: float, wall: float, *, from_tasks: bool
    ) -> int:
        """Stage what `fresh` gave in the same step; returns how many tasks that is."""
        for block in fresh:
            self._turn.broker.submit(run, block, now, wall, from_tasks)
        return sum(block.count for block in fresh)

    def _taken(self, run: Run, keys: list[str]) -> set[str]:
        """Those on disk, and those staged for it. All at once: they are looked up in order."""
        if not keys:
            return set()
        staged = self._turn.broker.changes.keys.get(run.id, set())
        return self._turn.store.taken_keys(run.id, keys) | staged.intersection(keys)


def _without_taken(block: NewBlock, keys: list[str], taken: set[str]) -> NewBlock:
    """What is left of a block. Its keys are taken from now on, too."""
    new = set(keys)
    if len(new) == block.count and new.isdisjoint(taken):
        taken |= new
        return block
    kept = []
    for index, key in enumerate(keys):
        if key not in taken:
            kept.append(index)
            taken.add(key)
    return NewBlock(
        len(kept),
        codec.pick(block.body, kept) if kept else b"",
        [keys[index] for index in kept],
        block.group,
        block.priority,
        block.delay_s,
    )


def check(block: NewBlock) -> None:
    """Raise ProtocolError unless a block is what it says, and what the store can hold."""
    if block.count != codec.batch_length(block.body) or block.count > BLOCK_TASKS:
        raise ProtocolError(f"a block of {block.count} tasks holds another number of them")
    if block.keys is not None and len(block.keys) != block.count:
        raise ProtocolError(f"a block of {block.count} tasks has {len(block.keys)} keys")
    if not -(2**63) <= block.priority < 2**63:
        raise ProtocolError(f"a priority of {block.priority} is no number of 64 bits")
    if not 0 <= block.delay_s <= LONGEST_S:
        raise ProtocolError(f"a delay of {block.delay_s} s")

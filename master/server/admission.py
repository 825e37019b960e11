"""New tasks: those whose key the run has, or above a quota, are dropped, payloads unopened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.job.contract import LARGEST, LONGEST_S
from queue_manager.wire.limits import KEY_BYTES
from queue_manager.wire.records import BLOCK_TASKS, NewBlock

from ..broker.run import Run
from ..changes import QuotaCounts
from ..turn.turn import Turn


@dataclass(slots=True)
class Fresh:
    """What is new of some blocks.

    quotas: how those that the blocks name stand with them, by name. passed: tasks without a key
    that were dropped.
    """

    blocks: list[NewBlock] = field(default_factory=list)
    quotas: dict[str, QuotaCounts] = field(default_factory=dict)
    passed: int = 0


class FollowUps:
    """Stages new blocks of a run, from `tasks()` or behind a result."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def fresh(self, run: Run, blocks: list[NewBlock]) -> Fresh:
        """What is new of these blocks, which were looked at before; nothing is staged yet."""
        taken = self._taken(run, [key for block in blocks for key in block.keys or ()])
        fresh = Fresh()
        for block in blocks:
            if block.quota is not None:
                block = self._within_quota(run, block, taken, fresh)
            elif block.keys is not None:
                block = _only(block, _new(block.keys, taken, block.count)[0])
            if block.count:
                fresh.blocks.append(block)
        return fresh

    def stage(self, run: Run, fresh: Fresh, now: float, wall: float, *, from_tasks: bool) -> int:
        """Stage what `fresh` gave in the same step; returns how many tasks that is."""
        broker = self._turn.broker
        for block in fresh.blocks:
            broker.submit(run, block, now, wall, from_tasks)
        if fresh.quotas:
            broker.count_quotas(run, fresh.quotas, fresh.passed if from_tasks else 0)
        return sum(block.count for block in fresh.blocks)

    def _within_quota(self, run: Run, block: NewBlock, taken: set[str], fresh: Fresh) -> NewBlock:
        """What is left of a block whose tasks name a quota."""
        quota = block.quota
        assert quota is not None
        counts = fresh.quotas.get(quota.name) or self._counts(run, quota.name)
        room = max(0, quota.most - counts.accepted)
        if block.keys is not None:
            kept, dropped = _new(block.keys, taken, room)
        else:
            kept = list(range(min(block.count, room)))
            dropped = block.count - len(kept)
            fresh.passed += dropped
        if kept or dropped:
            accepted, above = counts.accepted + len(kept), counts.dropped + dropped
            fresh.quotas[quota.name] = QuotaCounts(accepted, above)
        return _only(block, kept)

    def _counts(self, run: Run, name: str) -> QuotaCounts:
        """As staged, else as on disk."""
        staged = self._turn.broker.changes.quotas.get((run.id, name))
        return self._turn.store.quota(run.id, name) if staged is None else staged

    def _taken(self, run: Run, keys: list[str]) -> set[str]:
        """Those on disk, and those staged for it. All at once: they are looked up in order."""
        if not keys:
            return set()
        staged = self._turn.broker.changes.keys.get(run.id, set())
        return self._turn.store.taken_keys(run.id, keys) | staged.intersection(keys)


def _new(keys: list[str], taken: set[str], room: int) -> tuple[list[int], int]:
    """Which keys are new, and how many of them find no room. The others are taken from now on."""
    new = set(keys)
    if len(new) == len(keys) <= room and new.isdisjoint(taken):
        taken |= new
        return list(range(len(keys))), 0
    kept: list[int] = []
    dropped = 0
    for index, key in enumerate(keys):
        if key in taken:
            continue
        if len(kept) < room:
            kept.append(index)
            taken.add(key)
        else:
            dropped += 1
    return kept, dropped


def _only(block: NewBlock, kept: list[int]) -> NewBlock:
    """A block of only these of its tasks, in their order."""
    if len(kept) == block.count:
        return block
    return msgspec.structs.replace(
        block,
        count=len(kept),
        body=codec.pick(block.body, kept) if kept else b"",
        keys=None if block.keys is None else [block.keys[index] for index in kept],
    )


def check_keys(keys: Iterable[str]) -> None:
    """Raise ProtocolError if a key, or a name of a group or quota, has too many bytes."""
    for key in keys:
        if len(key) * 4 > KEY_BYTES and len(key.encode()) > KEY_BYTES:
            raise ProtocolError(f"a key or name takes more than {KEY_BYTES:,} bytes")


def check(block: NewBlock) -> None:
    """Raise ProtocolError unless a block is what it says, and what the store can hold."""
    if block.count != codec.batch_length(block.body) or block.count > BLOCK_TASKS:
        raise ProtocolError(f"a block of {block.count} tasks holds another number of them")
    if block.keys is not None and len(block.keys) != block.count:
        raise ProtocolError(f"a block of {block.count} tasks has {len(block.keys)} keys")
    quota = () if block.quota is None else (block.quota.name,)
    check_keys([*(block.keys or ()), *quota, *([] if block.group is None else [block.group])])
    if not -(2**63) <= block.priority < 2**63:
        raise ProtocolError(f"a priority of {block.priority} is no number of 64 bits")
    if not 0 <= block.delay_s <= LONGEST_S:
        raise ProtocolError(f"a delay of {block.delay_s} s")
    if block.quota is not None and not 0 <= block.quota.most <= LARGEST:
        raise ProtocolError(f"a quota of {block.quota.most} tasks")

"""Admits new tasks: it drops those whose key is taken in the run, and those above a quota.

Payloads stay unopened. Keys and quotas on disk are read in the first step of the turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.job.contract import LARGEST, LONGEST_S
from queue_manager.wire.limits import KEY_BYTES
from queue_manager.wire.records import BLOCK_TASKS, NewBlock

from ...broker.runs.run import Run
from ...changes import QuotaCounts
from ...reads import ReadRequest
from ...turn.turn import Turn


@dataclass(slots=True)
class Admitted:
    """The new tasks of some blocks.

    quotas: the counts of the quotas that the blocks name, with these tasks, by name. passed: how
    many tasks without a key were dropped.
    """

    blocks: list[NewBlock] = field(default_factory=list)
    quotas: dict[str, QuotaCounts] = field(default_factory=dict)
    passed: int = 0


class Admission:
    """Stages new blocks of a run, from `tasks()` or behind a result."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    @staticmethod
    def needs(request: ReadRequest, run: int, blocks: list[NewBlock]) -> None:
        """Ask for what must be known of a run before blocks of it are admitted."""
        for block in blocks:
            request.add_task_keys(run, block.keys or ())
            if block.quota is not None:
                request.quotas.add((run, block.quota.name))

    def admit(self, run: Run, blocks: list[NewBlock]) -> Admitted:
        """The new tasks of these blocks, which `check` has passed. Nothing is staged yet.

        Raises StoreError when what `needs` asks for can't be read.
        """
        taken = self._taken(run, [key for block in blocks for key in block.keys or ()])
        admitted = Admitted()
        for block in blocks:
            if block.quota is not None:
                block = self._within_quota(run, block, taken, admitted)
            elif block.keys is not None:
                block = _only(block, _new(block.keys, taken, block.count)[0])
            if block.count:
                admitted.blocks.append(block)
        return admitted

    def stage(
        self, run: Run, admitted: Admitted, now: float, wall: float, *, from_tasks: bool
    ) -> int:
        """Stage what `admit` returned in the same step. Returns how many tasks that is."""
        broker = self._turn.broker
        for block in admitted.blocks:
            broker.submit(run, block, now, wall, from_tasks)
        if admitted.quotas:
            broker.count_quotas(run, admitted.quotas, admitted.passed if from_tasks else 0)
        return sum(block.count for block in admitted.blocks)

    def _within_quota(
        self, run: Run, block: NewBlock, taken: set[str], admitted: Admitted
    ) -> NewBlock:
        """The tasks of a block that name a quota and are admitted."""
        quota = block.quota
        assert quota is not None
        counts = admitted.quotas.get(quota.name) or self._counts(run, quota.name)
        room = max(0, quota.most - counts.accepted)
        if block.keys is not None:
            kept, dropped = _new(block.keys, taken, room)
        else:
            kept = list(range(min(block.count, room)))
            dropped = block.count - len(kept)
            admitted.passed += dropped
        if kept or dropped:
            accepted, above = counts.accepted + len(kept), counts.dropped + dropped
            admitted.quotas[quota.name] = QuotaCounts(accepted, above)
        return _only(block, kept)

    def _counts(self, run: Run, name: str) -> QuotaCounts:
        """What a quota has counted: as staged, or else as on disk."""
        staged = self._turn.broker.changes.quotas.get((run.id, name))
        return self._turn.known.quota(run.id, name) if staged is None else staged

    def _taken(self, run: Run, keys: list[str]) -> set[str]:
        """The keys that the run has on disk, and those that are staged for it."""
        if not keys:
            return set()
        staged = self._turn.broker.changes.keys.get(run.id, set())
        return self._turn.known.taken_keys(run.id).union(staged.intersection(keys))


def _new(keys: list[str], taken: set[str], room: int) -> tuple[list[int], int]:
    """The places of new keys that find room, and how many find none. The former are taken now."""
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

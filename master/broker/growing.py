"""Small blocks that come one behind the other are made one block, within a turn and over turns.

Follow-ups and puts of standard-library clients come one by one. A row, a lease and an outcome for
each of them would cost many times what the task costs. A block on disk grows as long as it is small
and the newest of its run, and nothing of it was leased. Knows no lanes and no store.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.wire.records import BLOCK_BYTES, BLOCK_TASKS

from ..changes import BlockRecord

SMALL_TASKS = 64
"""A block with more tasks than that is left as it is: little is gained, and it is copied."""

TAIL_BYTES = 2 * 1024
"""A block on disk grows up to this, and up to SMALL_TASKS: each time it is written anew."""


@dataclass(slots=True, eq=False)
class GrowingBlock:
    """A block, and the small ones right behind it that this turn has staged.

    record: the block; without the others until `whole`. known: how many of its tasks are on disk; 0
    if it is new in this turn. place: where a new one is among the blocks of the turn. bodies: the
    payloads of all. count, size_bytes: of all together.
    """

    record: BlockRecord
    place: int = 0
    known: int = 0
    bodies: list[bytes] = field(init=False)
    keys: list[str] | None = field(init=False)
    count: int = field(init=False)
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        record = self.record
        self.bodies, self.count = [record.body], record.count
        self.keys = None if record.keys is None else list(record.keys)
        self.size_bytes = _size_bytes(record)

    def take(self, other: BlockRecord) -> bool:
        """Take another new block of the same run; False: it has to stay by itself."""
        record = self.record
        size_bytes = self.size_bytes + _size_bytes(other)
        if (
            other.count > SMALL_TASKS
            or other.first != record.first + self.count
            or self.count + other.count > (SMALL_TASKS if self.known else BLOCK_TASKS)
            or size_bytes > (TAIL_BYTES if self.known else BLOCK_BYTES)
            or (other.group, other.priority) != (record.group, record.priority)
            or (other.keys is None) != (record.keys is None)
            or not (_is_whole(other.body) and (len(self.bodies) > 1 or _is_whole(record.body)))
        ):
            return False
        self.bodies.append(other.body)
        if self.keys is not None and other.keys is not None:
            self.keys += other.keys
        self.count += other.count
        self.size_bytes = size_bytes
        return True

    @property
    def may_grow_on(self) -> bool:
        """Whether it may grow in a later turn: keys and groups are not worth the trouble."""
        return (
            self.count < SMALL_TASKS
            and self.size_bytes < TAIL_BYTES
            and self.keys is None
            and self.record.group is None
        )

    def whole(self) -> BlockRecord:
        """The block with all that it has taken; its `record` from now on."""
        if self.count != self.record.count:
            body = codec.join(self.bodies)
            self.record = replace(self.record, count=self.count, body=body, keys=self.keys)
            self.bodies = [body]
        return self.record


def _size_bytes(block: BlockRecord) -> int:
    return len(block.body) + sum(map(len, block.keys or ()))


def _is_whole(body: bytes) -> bool:
    """Whether a batch has as many items as it says: a stranger's must not shift its neighbours."""
    try:
        codec.batch_items(body)
    except ProtocolError:
        return False
    return True

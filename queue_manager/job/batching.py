"""Puts payloads together to blocks: those that `tasks()` yields, and follow-ups of results.

A payload that can change is encoded when it is added, so that its owner may change it then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import codec
from ..wire.records import BLOCK_BYTES, BLOCK_TASKS, NewBlock, RunQuota
from .contract import Quota, Task

_SMALL_BYTES = 9
_SMALL_INT = 2**63
_UTF8_BYTES = 4

_Kind = tuple[bool, str | None, int, float, Quota | None]
_PLAIN: _Kind = (False, None, 0, 0.0, None)


class Batching:
    """Collects payloads until a block is full or another kind of task begins.

    Args:
        max_bytes: the most bytes that one payload may have.
        what: how an error calls a payload.
    """

    def __init__(self, max_bytes: int, what: str = "a payload") -> None:
        self._max_bytes, self._what = max_bytes, what
        self._kind = _PLAIN
        self._values: list[Any] = []
        self._keys: list[str] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def add(self, item: Any) -> NewBlock | None:
        """Add a payload or a Task. Returns the block before it, if that is complete now.

        Raises:
            NotPlainDataError: the payload is not plain data.
            TooLargeError: the payload has more than `max_bytes`.
        """
        kind, key = _PLAIN, None
        if type(item) is Task:
            kind = (item.key is not None, item.group, item.priority, item.delay_s, item.quota)
            item, key = item.payload, item.key
        value, size = self._frozen(item)
        if key is not None:
            size += len(key) if key.isascii() else len(key.encode())
        full = (
            len(self._values) >= BLOCK_TASKS
            or self._bytes + size > BLOCK_BYTES
            or (kind is not self._kind and kind != self._kind)
        )
        complete = self.flush() if full else None
        self._kind = kind
        self._values.append(value)
        self._bytes += size
        if key is not None:
            self._keys.append(key)
        return complete

    def flush(self) -> NewBlock | None:
        """Return a block of all payloads since the last one; None if there are none."""
        values, keys = self._values, self._keys
        if not values:
            return None
        keyed, group, priority, delay_s, named = self._kind
        body = codec.encode_batch(values)
        self._values, self._keys, self._bytes = [], [], 0
        quota = None if named is None else RunQuota(named.name, named.most)
        return NewBlock(len(values), body, keys if keyed else None, group, priority, delay_s, quota)

    def _frozen(self, payload: Any) -> tuple[Any, int]:
        kind = type(payload)
        if kind in codec.ATOMS:
            size = _SMALL_BYTES
            if kind is str or kind is bytes:
                size = len(payload)
            elif kind is int and not -_SMALL_INT < payload < _SMALL_INT:
                size += payload.bit_length() // 8
            if size * _UTF8_BYTES > self._max_bytes:
                codec.check_size(codec.encode(payload), self._max_bytes, self._what)
            return payload, size
        value = payload if kind is codec.Encoded else codec.freeze(payload)
        size = len(value.data)
        if size > self._max_bytes:
            codec.check_size(value.data, self._max_bytes, self._what)
        return value, size


def blocks_of(items: Iterable[Any], max_bytes: int, what: str = "a payload") -> list[NewBlock]:
    """Put all items into blocks. Raises as `Batching.add` does."""
    batching = Batching(max_bytes, what)
    blocks = [batching.add(item) for item in items]
    return [block for block in [*blocks, batching.flush()] if block is not None]

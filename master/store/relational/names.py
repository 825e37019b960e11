"""The name of a key of a task: the number of its run, and 128 bits that stand for the key."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Collection, Iterable
from hashlib import blake2b

HASH_BYTES = 16
RUN_BYTES = 8
NAME_BYTES = RUN_BYTES + HASH_BYTES

_NO_KEY = blake2b(digest_size=HASH_BYTES)
_WORDS = NAME_BYTES // 4
_HASH_WORD = RUN_BYTES // 4


def hash_key(key: str) -> bytes:
    """What stands for a key. No two keys will ever have the same."""
    return names_of(0, [key])[0][RUN_BYTES:]


def head_of(run: int) -> bytes:
    """What the names of a run begin with."""
    return run.to_bytes(RUN_BYTES, "big")


def names_of(run: int, keys: Iterable[str]) -> list[bytes]:
    """The names of keys."""
    head, copy = head_of(run), _NO_KEY.copy
    names = []
    for key in keys:
        hashed = copy()  # a new one takes three times as long
        hashed.update(key.encode("utf-8", "surrogatepass"))
        names.append(head + hashed.digest())
    return names


def first_bits(names: Collection[bytes]) -> array[int]:
    """The first 32 bits of each hash."""
    found = array("I")
    found.frombytes(memoryview(b"".join(names)).cast("I")[_HASH_WORD::_WORDS].tobytes())
    if sys.byteorder == "little":
        found.byteswap()
    return found

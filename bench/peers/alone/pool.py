"""`multiprocessing.Pool` with two processes: no network, no disk, the limit of what Python can do.

In bulk: `map` in chunks of 64. One by one: `apply_async`, a task a chunk.
"""

from __future__ import annotations

import multiprocessing
from typing import Any

from bench.peers.work import WORK

CHUNK = 64
TIMEOUT_S = 60.0


class Client:
    def __init__(self) -> None:
        self._pool = multiprocessing.get_context("fork").Pool(2)

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        return [self._pool.apply_async(WORK[work], (payload,)) for payload in payloads]

    def in_bulk(self, work: str, payloads: list[Any]) -> list[Any]:
        if work == "noted":  # a result each, which map has only as a whole
            return self.one_by_one(work, payloads)
        return [self._pool.map_async(WORK[work], payloads, CHUNK)]

    def collect(self, handles: list[Any]) -> list[Any]:
        found = [handle.get(TIMEOUT_S) for handle in handles]
        return found[0] if isinstance(found[0], list) else found

    def peek(self, handle: Any) -> Any:
        return handle.get(0) if handle.ready() else None

    def close(self) -> None:
        self._pool.terminate()

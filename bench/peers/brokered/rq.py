"""RQ: two of its default workers, which fork a process for each job.

`enqueue_many` is its bulk call. A client waits with `latest_result`. No `Retry`, as by default.
"""

from __future__ import annotations

import os
from typing import Any

from redis import Redis
from rq import Queue

from bench.peers.work import WORK

TIMEOUT_S = 60


class Client:
    def __init__(self) -> None:
        self._queue = Queue(connection=Redis.from_url(os.environ["PEER_URL"]))

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        return [self._queue.enqueue(WORK[work], payload) for payload in payloads]

    def in_bulk(self, work: str, payloads: list[Any]) -> list[Any]:
        prepare = self._queue.prepare_data
        jobs = [prepare(WORK[work], (payload,)) for payload in payloads]
        return list(self._queue.enqueue_many(jobs))

    def collect(self, handles: list[Any]) -> list[Any]:
        return [handle.latest_result(timeout=TIMEOUT_S).return_value for handle in handles]

    def peek(self, handle: Any) -> Any:
        result = handle.latest_result()
        return None if result is None else result.return_value

    def close(self) -> None:
        """Nothing runs here."""

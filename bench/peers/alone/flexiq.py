"""FlexiQ on SQLite: two workers, one thread each, on one file; no broker.

`enqueue_many` is its bulk call, `delay` the single one. The scheduler looks every 5 ms and `result`
every 2; both look every 50 ms by default, which makes it five to seven times slower here.
"""

from __future__ import annotations

import os
from typing import Any

from flexiq import Queue

from bench.peers.work import WORK

queue = Queue(
    db_path=os.path.join(os.environ["PEER_FOLDER"], "flexiq.db"),
    workers=1,
    scheduler_poll_interval_ms=5,
)
TASKS = {name: queue.task(name=name)(function) for name, function in WORK.items()}
TIMEOUT_S = 60.0
_POLL_S = 0.002


class Client:
    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        task = TASKS[work]
        return [task.delay(payload) for payload in payloads]

    def in_bulk(self, work: str, payloads: list[Any]) -> list[Any]:
        return list(queue.enqueue_many(work, [(payload,) for payload in payloads]))

    def collect(self, handles: list[Any]) -> list[Any]:
        return [handle.result(TIMEOUT_S, _POLL_S, _POLL_S) for handle in handles]

    def peek(self, handle: Any) -> Any:
        handle.refresh()
        return handle.result(1) if handle.status == "complete" else None

    def close(self) -> None:
        """Nothing runs here."""

"""Celery: two workers of one prefork process, results in the same Redis.

The prefetch multiplier is 64, as its documentation advises for many short tasks, and its default of
4 in the faults. Acknowledged early, which is its default. `group` is its bulk call.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, group

from bench.peers.work import WORK

url = os.environ["PEER_URL"]
app = Celery("bench", broker=url, backend=url)
app.conf.update(
    worker_prefetch_multiplier=4 if os.environ.get("PEER_AT_ONCE") else 64,
    broker_connection_retry_on_startup=True,
)
TASKS = {name: app.task(name=name)(function) for name, function in WORK.items()}
TIMEOUT_S = 60.0


class Client:
    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        task = TASKS[work]
        return [task.delay(payload) for payload in payloads]

    def in_bulk(self, work: str, payloads: list[Any]) -> list[Any]:
        task = TASKS[work]
        return list(group(task.s(payload) for payload in payloads).apply_async().results)

    def collect(self, handles: list[Any]) -> list[Any]:
        return [handle.get(timeout=TIMEOUT_S) for handle in handles]

    def peek(self, handle: Any) -> Any:
        return handle.result if handle.ready() else None

    def close(self) -> None:
        """Nothing runs here."""

"""Huey: two consumers with one process worker each, a blocking read on Redis.

`notify_result` wakes whoever waits for a result, as its documentation says for low latency. `map`
is its only bulk call, and sends one by one: there is no bulk figure. Tasks are not retried.
"""

from __future__ import annotations

import os
from typing import Any

from huey import RedisHuey

from bench.peers.work import WORK

queue = RedisHuey("bench", url=os.environ["PEER_URL"], notify_result=True)
TASKS = {name: queue.task()(function) for name, function in WORK.items()}
TIMEOUT_S = 60.0


class Client:
    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        task = TASKS[work]
        return [task(payload) for payload in payloads]

    def collect(self, handles: list[Any]) -> list[Any]:
        return [handle.get(blocking=True, timeout=TIMEOUT_S) for handle in handles]

    def peek(self, handle: Any) -> Any:
        return handle.get()

    def close(self) -> None:
        """Nothing runs here."""

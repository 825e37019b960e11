"""Dramatiq: two workers of one process and one thread, results in the same Redis.

`group(...).run()` is its bulk call. At its defaults: prefetch, and retries of what raises.
"""

from __future__ import annotations

import os
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from dramatiq.results.errors import ResultMissing

from bench.peers.work import WORK

backend = RedisBackend(url=os.environ["PEER_URL"])
broker = RedisBroker(url=os.environ["PEER_URL"])
broker.add_middleware(Results(backend=backend))
dramatiq.set_broker(broker)
ACTORS = {name: dramatiq.actor(store_results=True)(function) for name, function in WORK.items()}
TIMEOUT_MILLISECONDS = 60_000


class Client:
    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        actor = ACTORS[work]
        return [actor.send(payload) for payload in payloads]

    def in_bulk(self, work: str, payloads: list[Any]) -> list[Any]:
        actor = ACTORS[work]
        return list(dramatiq.group(actor.message(payload) for payload in payloads).run().children)

    def collect(self, handles: list[Any]) -> list[Any]:
        return [handle.get_result(block=True, timeout=TIMEOUT_MILLISECONDS) for handle in handles]

    def peek(self, handle: Any) -> Any:
        try:
            return handle.get_result()
        except ResultMissing:
            return None

    def close(self) -> None:
        """Nothing runs here."""

"""Quartermaster's executor, `connect().executor()`: each call is a submit of its own.

Calls that come while others are on their way to the master's disk travel together, which is what a
program gets that does not wait for each.
"""

from __future__ import annotations

import os
from concurrent.futures import Future
from typing import Any

from bench.peers.work import WORK
from queue_manager import connect

TIMEOUT_S = 60.0


class Client:
    def __init__(self) -> None:
        address = os.environ["PEER_URL"].rpartition("/")[2]
        self._client = connect(address, timeout=TIMEOUT_S)
        self._executor = self._client.executor()

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Future[Any]]:
        return [self._executor.submit(WORK[work], payload) for payload in payloads]

    def collect(self, handles: list[Future[Any]]) -> list[Any]:
        return [handle.result() for handle in handles]

    def peek(self, handle: Future[Any]) -> Any:
        return handle.result(0) if handle.done() else None

    def close(self) -> None:
        self._client.close()

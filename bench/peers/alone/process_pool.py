"""`concurrent.futures.ProcessPoolExecutor` of two processes: no broker, and it keeps nothing."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from bench.peers.work import WORK

WORKERS = 2


class Client:
    def __init__(self) -> None:
        self._executor = ProcessPoolExecutor(WORKERS)

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Future[Any]]:
        return [self._executor.submit(WORK[work], payload) for payload in payloads]

    def collect(self, handles: list[Future[Any]]) -> list[Any]:
        return [handle.result() for handle in handles]

    def close(self) -> None:
        self._executor.shutdown()

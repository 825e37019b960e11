"""Dask's executor, `Client.get_executor()`. `pure=False`, else equal calls are computed once."""

from __future__ import annotations

import os
from concurrent.futures import Future
from typing import Any

from distributed import Client as DaskClient

from bench.peers.work import WORK

TIMEOUT_S = 60.0


class Client:
    def __init__(self) -> None:
        self._client = DaskClient(os.environ["PEER_URL"], timeout=TIMEOUT_S)
        self._executor = self._client.get_executor(pure=False)

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Future[Any]]:
        return [self._executor.submit(WORK[work], payload) for payload in payloads]

    def collect(self, handles: list[Future[Any]]) -> list[Any]:
        return [handle.result() for handle in handles]

    def close(self) -> None:
        self._client.close(timeout=1)

"""Dask: a scheduler and two workers of one thread each, started as its documentation says.

`client.submit` one by one, `client.map` in bulk, `client.gather` for results. `pure=False`, else
equal calls are computed once. A worker has its nanny, as by default.
"""

from __future__ import annotations

import os
from typing import Any

from distributed import Client as DaskClient

from bench.peers.work import WORK

TIMEOUT_S = 60.0


class Client:
    def __init__(self) -> None:
        self._client = DaskClient(os.environ["PEER_URL"], timeout=TIMEOUT_S)

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        submit = self._client.submit
        return [submit(WORK[work], payload, pure=False) for payload in payloads]

    def in_bulk(self, work: str, payloads: list[Any]) -> list[Any]:
        return list(self._client.map(WORK[work], payloads, pure=False))

    def collect(self, handles: list[Any]) -> list[Any]:
        return list(self._client.gather(handles))

    def peek(self, handle: Any) -> Any:
        return handle.result(timeout=1) if handle.status == "finished" else None

    def close(self) -> None:
        self._client.close(timeout=1)

"""Ray: a head with two CPUs on loopback, tasks (`remote`), which retry three times by default.

A task is one CPU, so two run at a time. `ray.get` of a list is its bulk read; it has no bulk
submit. The dashboard is off, and the object store has 200 MB, enough for all payloads here.
"""

from __future__ import annotations

import os
from typing import Any

import ray

from bench.peers.work import WORK

TIMEOUT_S = 60.0


class Client:
    def __init__(self) -> None:
        address = os.environ["PEER_URL"].removeprefix("tcp://")
        ray.init(address=address, log_to_driver=False, logging_level="error")
        self._functions = {name: ray.remote(function) for name, function in WORK.items()}

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        remote = self._functions[work].remote
        return [remote(payload) for payload in payloads]

    def collect(self, handles: list[Any]) -> list[Any]:
        return list(ray.get(handles, timeout=TIMEOUT_S))

    def peek(self, handle: Any) -> Any:
        done, _ = ray.wait([handle], timeout=0)
        return ray.get(handle, timeout=1) if done else None

    def close(self) -> None:
        ray.shutdown()

"""Procrastinate: two workers at ten jobs at a time each, woken by NOTIFY; one in the faults.

Its default is one at a time; its documentation advises more for coroutines. A job does its work in
place, so a worker does one at a time. `defer` one by one, `batch_defer` in bulk. It keeps no
results: see `results`. Done jobs stay in the table, as by default.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from procrastinate import App, PsycopgConnector

from bench.peers.brokered.results import Results, keep
from bench.peers.work import WORK

URL = os.environ["PEER_URL"]
app = App(connector=PsycopgConnector(conninfo=URL))


def _task(name: str, function: Callable[[Any], Any]) -> Any:
    async def task(number: int, payload: Any) -> None:
        await keep(number, function(payload))

    return app.task(name=name)(task)


TASKS = {name: _task(name, function) for name, function in WORK.items()}


class Client:
    def __init__(self) -> None:
        self._results = Results(URL)
        self._app = app.open()

    def one_by_one(self, work: str, payloads: list[Any]) -> list[int]:
        jobs = self._jobs(payloads)
        for job in jobs:
            TASKS[work].defer(**job)
        return [job["number"] for job in jobs]

    def in_bulk(self, work: str, payloads: list[Any]) -> list[int]:
        jobs = self._jobs(payloads)
        TASKS[work].batch_defer(*jobs)
        return [job["number"] for job in jobs]

    def collect(self, handles: list[int]) -> list[Any]:
        return self._results.collect(handles)

    def peek(self, handle: int) -> Any:
        return self._results.peek(handle)

    def close(self) -> None:
        self._app.close()

    def _jobs(self, payloads: list[Any]) -> list[dict[str, Any]]:
        numbered = self._results.numbered(payloads)
        return [{"number": n, "payload": payload} for n, payload in numbered]

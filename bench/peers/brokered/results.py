"""A table of results, for queues in PostgreSQL that keep none: the task inserts, the client reads.

The row is inserted by the worker's own connection before the task counts as done. Tasks of a worker
that end while a row is on its way share the next statement, so concurrency gains what it can. Rows
are numbered for each worker and read from there on, and none is deleted: this table costs the same
whoever holds a snapshot.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

import psycopg

_TABLES = """
CREATE TABLE IF NOT EXISTS bench_workers (id bigserial PRIMARY KEY);
CREATE TABLE IF NOT EXISTS bench_results (
    worker bigint, place bigint, number bigint, result text, PRIMARY KEY (worker, place)
);
"""
_COME = "INSERT INTO bench_workers DEFAULT VALUES RETURNING id"
_WORKERS = "SELECT id FROM bench_workers"
_INSERT = (
    "INSERT INTO bench_results"
    " SELECT %s, %s + place, number, result FROM unnest(%s::bigint[], %s::text[])"
    " WITH ORDINALITY AS row(number, result, place)"
)
_READ = (
    "SELECT place, number, result FROM bench_results WHERE worker = %s AND place > %s"
    " ORDER BY place"
)
_POLL_S = 0.001
TIMEOUT_S = 60.0
_Row = tuple[int, str, asyncio.Future[None]]
"""The number of a task, its result, and what its task waits for."""


class _Keeper:
    """In a worker: one connection, which is made again when it has broken."""

    def __init__(self) -> None:
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._waiting: list[_Row] = []
        self._writing: asyncio.Task[None] | None = None
        self._worker = self._place = 0

    async def keep(self, number: int, result: Any) -> None:
        """Insert a row; ends when that is committed."""
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((number, json.dumps(result), kept))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await kept

    async def _write(self) -> None:
        while self._waiting:
            rows, self._waiting = self._waiting, []
            try:
                await self._insert([row[0] for row in rows], [row[1] for row in rows])
            except psycopg.Error as error:
                for kept in _awaited(rows):
                    kept.set_exception(error)
            else:
                for kept in _awaited(rows):
                    kept.set_result(None)
        self._writing = None

    async def _insert(self, numbers: list[int], results: list[str]) -> None:
        if self._connection is None or self._connection.closed:
            url = os.environ["PEER_URL"]
            self._connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
            came = await (await self._connection.execute(_COME)).fetchone()
            self._worker, self._place = came[0] if came else 0, 0
        await self._connection.execute(_INSERT, (self._worker, self._place, numbers, results))
        self._place += len(numbers)


def _awaited(rows: list[_Row]) -> list[asyncio.Future[None]]:
    """Those whose tasks have not been cancelled meanwhile."""
    return [kept for _, _, kept in rows if not kept.done()]


keep = _Keeper().keep
"""`await keep(number, result)`, in a task of a worker."""


class Results:
    """The client's side."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(_TABLES)
        self._read: dict[int, int] = {}
        self._found: dict[int, Any] = {}
        self._next = 0

    def numbered(self, payloads: list[Any]) -> list[tuple[int, Any]]:
        """Each payload with a number that none had before: the key of its result."""
        first, self._next = self._next, self._next + len(payloads)
        return list(enumerate(payloads, first))

    def collect(self, numbers: list[int]) -> list[Any]:
        """Wait for all. Raises TimeoutError."""
        end = time.monotonic() + TIMEOUT_S
        for number in numbers:
            while number not in self._found:
                if not self._take():
                    time.sleep(_POLL_S)
                if time.monotonic() > end:
                    raise TimeoutError("no result")
        return [self._found.pop(number) for number in numbers]

    def peek(self, number: int) -> Any:
        """The result, or None."""
        if number not in self._found:
            if self._connection.closed or self._connection.broken:
                self._connection = psycopg.connect(self._url, autocommit=True)
            self._take()
        return self._found.get(number)

    def _take(self) -> int:
        """Read what is new, of every worker. Gives how many rows."""
        if count := self._take_known():
            return count
        for (worker,) in self._connection.execute(_WORKERS).fetchall():
            self._read.setdefault(worker, 0)
        return self._take_known()

    def _take_known(self) -> int:
        count = 0
        for worker, place in self._read.items():
            for newest, number, result in self._connection.execute(_READ, (worker, place)):
                self._found[number] = json.loads(result)
                self._read[worker] = newest
                count += 1
        return count

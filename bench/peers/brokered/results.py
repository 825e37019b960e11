"""A table of results, for queues in PostgreSQL that keep none: the task inserts, the client reads.

The row is inserted by the worker's own connection before the task counts as done.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import psycopg

_TABLE = "CREATE TABLE IF NOT EXISTS bench_results (number bigint, result text)"
_INSERT = "INSERT INTO bench_results VALUES (%s, %s)"
_TAKE = "DELETE FROM bench_results RETURNING number, result"
_POLL_S = 0.001
TIMEOUT_S = 60.0
_connections: list[psycopg.AsyncConnection[Any]] = []


async def keep(number: int, result: Any) -> None:
    """In a worker: with one connection, which is made again when it has broken."""
    if not _connections or _connections[0].closed:
        url = os.environ["PEER_URL"]
        _connections[:] = [await psycopg.AsyncConnection.connect(url, autocommit=True)]
    await _connections[0].execute(_INSERT, (number, json.dumps(result)))


class Results:
    """The client's side."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(_TABLE)
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
        rows = self._connection.execute(_TAKE).fetchall()
        for number, result in rows:
            self._found[number] = json.loads(result)
        return len(rows)

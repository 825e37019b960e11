"""Statements that go out in one round trip, and whose answers the loop reads when they come.

It uses libpq's pipeline beneath a psycopg connection. No thread waits for the answers: a thread
that shares the interpreter with a busy loop waits up to 5 ms for it at each step of libpq.
"""

from __future__ import annotations

import asyncio
import itertools
import select
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

from .connection import Connection, cut
from .parameters import Parameter

_BINARY, _TEXT = pq.Format.BINARY, pq.Format.TEXT
_NUMBERS = itertools.count(1)
"""Of the names of statements. A connection may have several pipelines, one after the other."""

CANCEL_S = 0.5
"""How long a server has to give up a statement. One that does not is away."""

_GOOD = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)

Row = tuple[Any, ...]
Result = pq.abc.PGresult


class Call(NamedTuple):
    """A statement with $1, $2 ..., and its parameters."""

    statement: bytes
    parameters: Sequence[Parameter] = ()


class Pipeline:
    """The calls of one connection, one batch at a time.

    The connection is in autocommit. Without a BEGIN among them, all calls of a batch are one
    transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._pg = connection.pgconn
        self._names: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self._batch: _Batch | None = None

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._pg.status != pq.ConnStatus.OK

    def run(self, calls: Sequence[Call]) -> asyncio.Future[list[Result]]:
        """Have calls carried out while the loop goes on. The future has their results.

        The future raises psycopg.Error. If `closed` is true then, the connection is gone, and
        nobody knows whether there was a commit. Else the server has undone the transaction.
        """
        loop = asyncio.get_running_loop()
        batch = self._begin()
        ended: asyncio.Future[list[Result]] = loop.create_future()

        def ready() -> None:
            self._go_on(batch)
            if batch.wants_to_write and not batch.is_done:
                loop.add_writer(batch.socket, ready)
            else:
                loop.remove_writer(batch.socket)
            if batch.is_done:
                loop.remove_reader(batch.socket)
                _settle(ended, batch)

        loop.add_reader(batch.socket, ready)
        self._send(batch, calls)
        ready()
        return ended

    def run_now(self, calls: Sequence[Call], patience_s: float) -> list[Result]:
        """Carry out calls, and wait for their results.

        Raises psycopg.Error. If the answers have not come in time, the server is asked to give up;
        if it does not answer that, the connection is closed.
        """
        batch = self._begin()
        self._send(batch, calls)
        until = time.monotonic() + patience_s
        is_cancelled = False
        poll = select.poll()
        while not batch.is_done:
            self._go_on(batch)
            if batch.is_done:
                break
            poll.register(batch.socket, select.POLLIN | select.POLLOUT * batch.wants_to_write)
            left = until - time.monotonic()
            if left > 0 and poll.poll(1_000 * left):
                continue
            if is_cancelled or not self._cancel():
                self._break(batch, _late(patience_s))
            is_cancelled, until = True, time.monotonic() + CANCEL_S
        if batch.error is not None:
            raise batch.error
        return batch.results

    def _cancel(self) -> bool:
        """Ask the server to give up what it does. False: it does not hear that."""
        try:
            self.connection.cancel_safe(timeout=CANCEL_S)
        except psycopg.Error:
            return False
        return True

    def give_up_in(self, patience_s: float) -> None:
        """Wait for the batch that is on its way no longer than this: then it is a lost one."""
        batch = self._batch

        def give_up() -> None:
            if batch is not None and batch is self._batch:
                cut(self.connection)

        asyncio.get_running_loop().call_later(patience_s, give_up)

    def rows(self, result: Result) -> list[Row]:
        """The rows of a result."""
        transformer = Transformer(self.connection)
        transformer.set_pgresult(result, set_loaders=True, format=_BINARY)
        return transformer.load_rows(0, result.ntuples, tuple)

    # --- a batch ---

    def _begin(self) -> _Batch:
        if self._batch is not None:
            raise RuntimeError("one batch at a time")
        self._batch = _Batch(self._pg.socket if not self.closed else -1)
        if self._batch.socket < 0:
            error = psycopg.OperationalError("the connection is closed")
            self._batch = None
            raise error
        return self._batch

    def _send(self, batch: _Batch, calls: Sequence[Call]) -> None:
        try:
            self._pg.nonblocking = 1
            self._pg.enter_pipeline_mode()
            for call in calls:
                self._send_call(batch, call)
            self._pg.pipeline_sync()
        except Exception as error:
            self._break(batch, error)

    def _send_call(self, batch: _Batch, call: Call) -> None:
        types = tuple(parameter.type for parameter in call.parameters)
        key = call.statement, types
        name = self._names.get(key) or batch.names.get(key)
        if name is None:  # its Parse goes out with the rest: no round trip more
            name = batch.names[key] = b"qm%d" % next(_NUMBERS)
            self._pg.send_prepare(name, call.statement, types)
            batch.prepared.add(batch.sent)
            batch.sent += 1
        values = [parameter.value for parameter in call.parameters]
        formats = [_BINARY if one.type or one.value is None else _TEXT for one in call.parameters]
        self._pg.send_query_prepared(name, values, formats, _BINARY)
        batch.sent += 1

    def _go_on(self, batch: _Batch) -> None:
        """Write and read what can be written and read now."""
        if batch.is_done:
            return
        try:
            batch.wants_to_write = bool(self._pg.flush())
            self._pg.consume_input()
            while not batch.is_done and not self._pg.is_busy():
                result = self._pg.get_result()
                if result is not None:
                    self._take(batch, result)
                elif self.closed:
                    raise psycopg.OperationalError("the connection is lost")
        except Exception as error:
            self._break(batch, error)

    def _take(self, batch: _Batch, result: Result) -> None:
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            self._pg.exit_pipeline_mode()
            if batch.error is None:  # a statement behind an error is not prepared
                self._names |= batch.names
            self._end(batch, batch.error)
            return
        if result.status in _GOOD:
            if batch.came not in batch.prepared:
                batch.results.append(result)
        elif batch.error is None:  # then PIPELINE_ABORTED follows, for each call behind it
            batch.error = psycopg.errors.error_from_result(result, "utf-8")
        batch.came += 1

    def _break(self, batch: _Batch, error: Exception) -> None:
        """End a batch of which nobody knows how far it came.

        What of it has not gone out would go with the next batch. So the connection is closed.
        """
        if not isinstance(error, psycopg.Error):
            error = psycopg.OperationalError(f"a batch broke off: {error!r}")
        self._end(batch, error)
        self.connection.close()

    def _end(self, batch: _Batch, error: psycopg.Error | None) -> None:
        batch.error = batch.error or error
        batch.is_done = True
        self._batch = None


class _Batch:
    """What is known of the calls that are on their way. prepared: which of them prepare others."""

    def __init__(self, socket: int) -> None:
        self.socket = socket
        self.is_done = False
        self.wants_to_write = False
        self.results: list[Result] = []
        self.error: psycopg.Error | None = None
        self.names: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self.prepared: set[int] = set()
        self.sent = self.came = 0


def _settle(ended: asyncio.Future[list[Result]], batch: _Batch) -> None:
    if ended.done():
        return
    if batch.error is None:
        ended.set_result(batch.results)
    else:
        ended.set_exception(batch.error)


def _late(patience_s: float) -> psycopg.Error:
    return psycopg.OperationalError(f"it does not answer within {patience_s:.1f} s")

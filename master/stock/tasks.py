"""The queue of tasks as standard-library clients see it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from queue_manager import codec
from queue_manager.errors import QueueError, StoreError
from queue_manager.log_lines import about_run
from queue_manager.server.connection import Peer
from queue_manager.wire.records import NewBlock
from queue_manager.wire.stock.opcodes import SERVED_ITEM

from ..broker.leases.lease import Lease
from ..broker.runs.run import Run
from ..changes import QUEUE_RUN, Changes
from ..turn.answer import LATER, Later, Reply, StockReply
from ..turn.steps import Publish, Step
from .calls import QueueFace
from .sessions import Joining, StockSession, Waiting

log = logging.getLogger("quartermaster.master")

_LATE_S = 0.05


@dataclass(eq=False)
class TaskQueue(QueueFace):
    """The queue of tasks: `put` adds one to the queue run, `get` leases one."""

    _joining: dict[Peer, Joining] = field(default_factory=dict, init=False)
    _new_joins: list[StockReply] = field(default_factory=list, init=False)

    def after_commit(self, changes: Changes, now: float) -> None:
        """Give what is ready to those who wait; end the joins whose tasks have all ended."""
        for peer, waiting in list(self._waiting.items()):
            if not self._turn.broker.any_ready:
                break
            if not waiting.asked:
                continue
            lease = self._turn.broker.lease(waiting.stock.session, now)
            if lease is None:
                break  # what it may not take, no other stock client may
            self._turn.refill()
            del self._waiting[peer]
            waiting.stop()
            self._guard(peer, partial(self._hand_out, waiting.stock, lease))
        if self._joining:
            self._join_on(changes)
        joins, self._new_joins = self._new_joins, []
        for reply in joins:  # what this turn has changed does not count for them
            self._begin_join(reply)

    def letters_pruned(self, tasks: Sequence[int]) -> None:
        """Dead letters of the queue run are no more: no retry brings them back to a join."""
        for joining in self._joining.values():
            joining.pruned(tasks)

    def ended(self, peer: Peer, reset: bool) -> None:
        self._joining.pop(peer, None)
        super().ended(peer, reset)

    def _put(self, stock: StockSession, item: Any, block: Any = True, timeout: Any = None) -> None:
        body = self._encode(item, "the task")

        def stage(now: float, wall: float) -> None:
            broker = self._turn.broker
            broker.submit(broker.runs[QUEUE_RUN], NewBlock(1, body), now, wall, False)

        reply = StockReply(stock.peer)
        self._turn.post(Step(stage, reply, of=stock.peer, gathers=True, size_bytes=len(body)))

    def _get(self, stock: StockSession, block: Any = True, timeout: Any = None) -> None:
        self._wait(stock, block, timeout)
        if stock.round.taken:
            loop = asyncio.get_running_loop()
            waiting = self._waiting[stock.peer]
            waiting.asked = False
            patience_s = self._rounds.asks(stock, loop.time())
            if patience_s is not None:
                timer = loop.call_later(patience_s + _LATE_S, self._next, waiting)
                waiting.timers.append(timer)
            self._next(waiting)

    def _next(self, waiting: Waiting) -> None:
        stock = waiting.stock

        def stage(now: float, wall: float) -> None:
            self._rounds.next(stock, now, wall)
            self._turn.undo.when_committed(waiting.has_asked)

        reply = AskReply(self, stock.peer)
        self._turn.post(Step(stage, reply, retry_on_store_error=True, of=stock.peer))

    def refuse_get(self, peer: Peer, error: str) -> None:
        """Answer a `get` that still waits for an answer."""
        waiting = self._waiting.pop(peer, None)
        if waiting is not None:
            waiting.stop()
            StockReply(peer).refuse(error)

    def _hand_out(self, stock: StockSession, lease: Lease) -> None:
        ((position, _),) = lease.open
        try:
            body = self._turn.bodies.get(lease.block)
        except StoreError as error:  # it waits again, for whoever asks next
            self._turn.unread([lease], error)
            StockReply(stock.peer).refuse(str(error))
            return
        try:
            (value,) = codec.decode_batch(body, position, position + 1, SERVED_ITEM)
        except QueueError as error:
            run = lease.run
            log.error("run %d: a payload can't be read: %s", run.id, error, extra=about_run(run))
            self._rounds.took(stock, lease)
            stock.peer.fail(ValueError(str(error)))
            return
        if value is None and lease.run.id == QUEUE_RUN:
            self._turn.post(
                Step(
                    partial(self._consume, stock, lease),
                    StockReply(stock.peer),
                    retry_on_store_error=True,
                    of=stock.peer,
                )
            )
            return
        self._rounds.took(stock, lease)
        stock.peer.answer(value)

    def _consume(self, stock: StockSession, lease: Lease, now: float, wall: float) -> None:
        """A stop value is done when it is taken: who takes it leaves, and puts nothing."""
        self._rounds.consume(stock, lease, now)

    def _empty(self, stock: StockSession) -> None:
        runs = self._runs()
        more = any(
            run.waiting or run.delayed or not (run.exhausted or run.pending or run.id == QUEUE_RUN)
            for run in runs
        )
        stock.peer.answer(not more)

    def _qsize(self, stock: StockSession) -> None:
        stock.peer.answer(sum(run.waiting for run in self._runs()))

    def _runs(self) -> list[Run]:
        """The runs whose tasks stock clients may take."""
        broker = self._turn.broker
        return [
            run
            for run in broker.runs.values()
            if run.id == QUEUE_RUN or (run.active and _is_of(broker.stock_job, run))
        ]

    def _task_done(self, stock: StockSession) -> None:
        def stage(now: float, wall: float) -> None:
            self._rounds.task_done(stock, now, wall)

        self._turn.post(Step(stage, StockReply(stock.peer), of=stock.peer))

    def _join(self, stock: StockSession) -> None:
        reply = StockReply(stock.peer)

        def publish() -> Later:
            self._new_joins.append(reply)
            return LATER

        def stage(now: float, wall: float) -> Publish:
            return publish

        self._turn.post(Step(stage, reply, retry_on_store_error=True))

    def _begin_join(self, reply: StockReply) -> None:
        run = self._turn.broker.runs[QUEUE_RUN]
        if not run.unended:
            reply.send(None)
        else:
            self._joining[reply.peer] = Joining(reply, run.tasks, run.unended, run.dead)

    def _join_on(self, changes: Changes) -> None:
        unended = self._turn.broker.runs[QUEUE_RUN].unended
        for peer, joining in list(self._joining.items()):
            if joining.look(changes, unended):
                del self._joining[peer]
                joining.reply.send(None)


class AskReply(Reply):
    """The answer to a `get` while it is staged what the asking means: only a refusal is one.

    Else the client gets its task, by another reply, when there is one.
    """

    def __init__(self, queue: TaskQueue, peer: Peer) -> None:
        self._queue = queue
        self._peer = peer

    def _refuse(self, error: str) -> None:
        self._queue.refuse_get(self._peer, error)


def _is_of(job: str, run: Run) -> bool:
    """Whether it is a run of this job that a client without tags may work for."""
    return bool(job) and run.job == job and not run.uploaded and not run.options.needs

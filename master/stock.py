"""The two queues as clients of the standard library see them, shaped like `queue.Queue`.

A connection holds at most one open lease. Its next put on the result queue settles that lease only
if exactly one task was taken since the put before: a script that catches an exception and skips a
task must not have every later result recorded on the wrong one.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from queue_manager import codec
from queue_manager.errors import QueueError
from queue_manager.names import QUEUE_METHODS
from queue_manager.peer import Peer
from queue_manager.records import NewBlock

from .broker import Lease, Session
from .changes import QUEUE_RUN, Changes
from .delivery import Delivery
from .failures import FailureLog
from .turn import Answer, Step, Turn

log = logging.getLogger("quartermaster.master")

LONGEST_WAIT_S = 100 * 365 * 86_400.0
SKIPPED = "took another task without a result"
LOST_COUNT = "put a result after taking several tasks: nobody can tell which one it is of"


@dataclass(slots=True)
class StockSession:
    """A standard-library connection. taken: tasks since its last put; lease: the open one.

    puts, takes: how often it did either, so that `status` can name who splits them over
    connections. note: what it did wrong last.
    """

    peer: Peer
    session: Session
    since: float
    taken: int = 0
    lease: Lease | None = None
    takes: int = 0
    puts_without: int = 0
    note: str = ""


@dataclass(slots=True)
class Waiting:
    """A client that waits in `get` or `join`. timer: when its time-out ends."""

    stock: StockSession
    timer: asyncio.TimerHandle | None
    open_tasks: int = 0
    last_task: int = 0

    def stop(self) -> None:
        """It does not wait any more."""
        if self.timer is not None:
            self.timer.cancel()


class StockSessions:
    """The connections of standard-library clients, made when they first call a queue."""

    def __init__(self, turn: Turn, next_id: Callable[[], int]) -> None:
        self._turn = turn
        self._next_id = next_id
        self.all: dict[Peer, StockSession] = {}

    def of(self, peer: Peer) -> StockSession:
        """The session of a connection."""
        stock = self.all.get(peer)
        if stock is None:
            session = Session(self._next_id(), 0, stock=True)
            stock = self.all[peer] = StockSession(peer, session, time.monotonic())
            self._turn.broker.add_session(session)
        return stock

    def drop(self, peer: Peer) -> None:
        """A connection has ended: its lease is offered again at once."""
        stock = self.all.pop(peer, None)
        if stock is not None:
            session = stock.session
            drop = self._turn.broker.drop_session
            self._turn.post(Step(lambda now, wall: drop(session, now, wall), waits=True))


class _Queue:
    """What both queues share: the calls of `queue.Queue`, and their errors."""

    exposed = QUEUE_METHODS

    def __init__(
        self, turn: Turn, sessions: StockSessions, delivery: Delivery, max_bytes: int
    ) -> None:
        self._turn = turn
        self._sessions = sessions
        self._delivery = delivery
        self._max_bytes = max_bytes
        self._waiting: dict[Peer, Waiting] = {}

    def call(
        self, peer: Peer, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """One call of a stock client; bad arguments fail as they do at a local queue."""
        stock = self._sessions.of(peer)
        self._delivery.confirm(peer)  # a client that calls has read the answer to its last call
        try:
            getattr(self, f"_{method}")(stock, *args, **kwargs)
        except QueueError as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            peer.fail(kind(str(error)))
        except (TypeError, ValueError) as error:
            peer.fail(type(error)(str(error)))

    def frame(self, peer: Peer, body: bytes) -> None:
        """Our own messages go to another name."""
        peer.close()

    def ended(self, peer: Peer, reset: bool) -> None:
        """The connection is gone."""
        waiting = self._waiting.pop(peer, None)
        if waiting is not None:
            waiting.stop()
        self._sessions.drop(peer)

    def _encode(self, item: Any, what: str) -> bytes:
        body = codec.encode_batch([item])
        codec.check_size(body, self._max_bytes, what)
        return body

    def _wait(self, stock: StockSession, block: Any, timeout: Any) -> None:
        """Wait for something to get; queue.Empty when the time is over."""
        if timeout is not None and not isinstance(timeout, (int, float)):
            raise TypeError("timeout must be a number of seconds or None")
        if block and timeout is not None and not timeout >= 0:
            raise ValueError("'timeout' must be a non-negative number")
        timer = None
        if not block or timeout is not None:
            # Without blocking the turn that is due still gets its chance: what waits is given.
            loop = asyncio.get_running_loop()
            wait_s = min(timeout, LONGEST_WAIT_S) if block and timeout else 0.0
            timer = loop.call_later(wait_s, self._empty_handed, stock.peer)
        self._waiting[stock.peer] = Waiting(stock, timer)
        self._turn.wake()

    def _empty_handed(self, peer: Peer) -> None:
        if self._waiting.pop(peer, None) is not None:
            peer.fail(queue.Empty())

    def _refuse(self, peer: Peer, error: str) -> None:
        peer.fail(RuntimeError(error))

    def _get_nowait(self, stock: StockSession) -> None:
        self._get(stock, False)

    def _put_nowait(self, stock: StockSession, item: Any) -> None:
        self._put(stock, item, False)

    def _get(self, stock: StockSession, block: Any = True, timeout: Any = None) -> None:
        raise NotImplementedError

    def _put(self, stock: StockSession, item: Any, block: Any = True, timeout: Any = None) -> None:
        raise NotImplementedError

    def _full(self, stock: StockSession) -> None:
        stock.peer.answer(False)


class TaskQueue(_Queue):
    """The queue of tasks: `put` adds one to the queue run, `get` leases one."""

    def __init__(
        self,
        turn: Turn,
        sessions: StockSessions,
        delivery: Delivery,
        max_bytes: int,
        failures: FailureLog,
    ) -> None:
        super().__init__(turn, sessions, delivery, max_bytes)
        self._failures = failures
        self._joining: dict[Peer, Waiting] = {}

    def turned(self, changes: Changes, now: float) -> None:
        """Give what is ready to those who wait; end the joins whose tasks have all ended."""
        for peer, waiting in list(self._waiting.items()):
            if not self._turn.broker.any_ready:
                break
            lease = self._turn.broker.lease(waiting.stock.session, now)
            if lease is None:
                break  # what it may not take, no other stock client may
            self._turn.refill()
            del self._waiting[peer]
            waiting.stop()
            self._hand_out(waiting.stock, lease)
        if self._joining:
            self._join_on(changes)

    def ended(self, peer: Peer, reset: bool) -> None:
        self._joining.pop(peer, None)
        super().ended(peer, reset)

    def _put(self, stock: StockSession, item: Any, block: Any = True, timeout: Any = None) -> None:
        body = self._encode(item, "the task")

        def stage(now: float, wall: float) -> Answer:
            broker = self._turn.broker
            broker.submit(broker.runs[QUEUE_RUN], NewBlock(1, body), now, wall, False)
            return partial(stock.peer.answer, None)

        self._turn.post(Step(stage, partial(self._refuse, stock.peer)))

    def _get(self, stock: StockSession, block: Any = True, timeout: Any = None) -> None:
        if stock.lease is not None:
            self._turn.post(Step(partial(self._fail_open, stock), waits=True))
        self._wait(stock, block, timeout)

    def _fail_open(self, stock: StockSession, now: float, wall: float) -> None:
        lease = stock.lease
        if lease is None:
            return
        ((position, _),) = lease.open
        self._turn.broker.change(stock, lease=None, note=SKIPPED)
        self._turn.broker.fail(stock.session, lease.number, position, SKIPPED, now, wall)
        note = partial(self._failures.note, lease, position, f"{stock.peer.name} {SKIPPED}")
        self._turn.broker.when_committed(note)

    def _hand_out(self, stock: StockSession, lease: Lease) -> None:
        ((position, _),) = lease.open
        stock.lease = lease
        stock.taken += 1
        stock.takes += 1
        body = self._turn.bodies.get(lease.block)
        try:
            (value,) = codec.decode_batch(body, position, position + 1)
        except QueueError as error:
            log.error("run %d: a payload can't be read: %s", lease.run.id, error)
            stock.peer.fail(ValueError(str(error)))
            return
        stock.peer.answer(value)

    def _empty(self, stock: StockSession) -> None:
        runs = self._turn.stock_runs()
        more = any(
            run.waiting or run.delayed or not (run.exhausted or run.id == QUEUE_RUN) for run in runs
        )
        stock.peer.answer(not more)

    def _qsize(self, stock: StockSession) -> None:
        stock.peer.answer(sum(run.waiting for run in self._turn.stock_runs()))

    def _task_done(self, stock: StockSession) -> None:
        def stage(now: float, wall: float) -> Answer:
            settle(self._turn, stock, codec.encode_batch([None]), now)
            return partial(stock.peer.answer, None)

        self._turn.post(Step(stage, partial(self._refuse, stock.peer)))

    def _join(self, stock: StockSession) -> None:
        def stage(now: float, wall: float) -> Answer:
            return partial(self._begin_join, stock)

        self._turn.post(Step(stage, waits=True))

    def _begin_join(self, stock: StockSession) -> None:
        run = self._turn.broker.runs[QUEUE_RUN]
        open_tasks = run.tasks - run.done - run.dead
        if open_tasks == 0:
            stock.peer.answer(None)
        else:
            self._joining[stock.peer] = Waiting(stock, None, open_tasks, run.tasks)

    def _join_on(self, changes: Changes) -> None:
        """Each task ends once: count down those that were open when the join began."""
        ends = [
            (o.first + o.start, o.first + o.stop)
            for o in changes.outcomes
            if o.run == QUEUE_RUN and o.block
        ]
        ends += [
            (s.task, s.task + 1)
            for s in changes.strays.values()
            if s.run == QUEUE_RUN and s.state == "dead"
        ]
        for peer, waiting in list(self._joining.items()):
            for start, stop in ends:
                waiting.open_tasks -= max(0, min(stop, waiting.last_task + 1) - start)
            if waiting.open_tasks <= 0:
                del self._joining[peer]
                peer.answer(None)


class ResultQueue(_Queue):
    """The queue of results: `put` settles the open lease, `get` reads the queue run's results."""

    def turned(self, changes: Changes, now: float) -> None:
        """Give new results to those who wait."""
        for outcome in changes.outcomes:
            if outcome.run == QUEUE_RUN:
                self._delivery.arrived(outcome.stop - outcome.start)
        for peer, waiting in list(self._waiting.items()):
            item = self._delivery.take(peer)
            if item is None:
                break
            del self._waiting[peer]
            waiting.stop()
            peer.answer(item.value)

    def ended(self, peer: Peer, reset: bool) -> None:
        if not reset:
            self._delivery.confirm(peer)
        elif self._delivery.give_back(peer):
            self._turn.wake()
        super().ended(peer, reset)

    def _put(self, stock: StockSession, item: Any, block: Any = True, timeout: Any = None) -> None:
        results = self._encode(item, "the result")

        def stage(now: float, wall: float) -> Answer:
            self._put_result(stock, results, now)
            return partial(stock.peer.answer, None)

        self._turn.post(Step(stage, partial(self._refuse, stock.peer)))

    def _put_result(self, stock: StockSession, results: bytes, now: float) -> None:
        broker, lease, taken = self._turn.broker, stock.lease, stock.taken
        if lease is None:
            broker.change(stock, puts_without=stock.puts_without + 1)
            broker.deliver(results)
        elif taken == 1:
            settle(self._turn, stock, results, now)
        else:
            ((position, _),) = lease.open
            broker.change(stock, lease=None, note=LOST_COUNT)
            broker.release(stock.session, lease.number, position, position + 1, "")
            log.warning("%s %s; its task is offered again", stock.peer.name, LOST_COUNT)
        broker.change(stock, taken=0)

    def _get(self, stock: StockSession, block: Any = True, timeout: Any = None) -> None:
        self._wait(stock, block, timeout)

    def _empty(self, stock: StockSession) -> None:
        stock.peer.answer(self._delivery.available == 0)

    def _qsize(self, stock: StockSession) -> None:
        stock.peer.answer(self._delivery.available)

    def _task_done(self, stock: StockSession) -> None:
        stock.peer.answer(None)  # reading a result has settled it

    _join = _task_done


def settle(turn: Turn, stock: StockSession, results: bytes, now: float) -> None:
    """Record a result for the open lease of a connection, if it has one."""
    lease = stock.lease
    turn.broker.change(stock, lease=None, taken=0)
    if lease is not None:
        ((position, stop),) = lease.open
        turn.broker.done(stock.session, lease.number, position, stop, results, now - lease.since)

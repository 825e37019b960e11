"""A master without sockets: fake peers, a store that can refuse, and a loop whose time jumps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from master.broker import Broker
from master.changes import Changes
from master.delivery import Delivery
from master.failures import FailureLog
from master.follow import FollowUps
from master.runs import Runs
from master.stock import ResultQueue, StockSessions, TaskQueue
from master.store.sqlite import SqliteStore
from master.turn import Turn
from master.workers import Workers
from queue_manager import codec
from queue_manager.errors import StoreError
from queue_manager.peer import Peer
from queue_manager.records import (
    Exchange,
    Hello,
    Lease,
    Leases,
    NewBlock,
    Outcome,
    Reply,
    RunOptions,
    decode_reply,
)


def block(count: int, first: int = 1, **fields: Any) -> NewBlock:
    """A block of tasks whose payloads are the numbers from `first` on."""
    return NewBlock(count, codec.encode_batch(list(range(first, first + count))), **fields)


class RefusingStore(SqliteStore):
    """A real store whose commits fail while `full` is set."""

    full = False
    commits = 0

    def commit(self, changes: Changes) -> None:
        if self.full:
            raise StoreError("can't write: disk full")
        super().commit(changes)
        self.commits += 1


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait for its timers: its time jumps to the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        look = selector.select

        def select(timeout: float | None) -> Any:
            events = look(0)
            if not events and timeout is None:
                raise AssertionError("the test waits for something that never comes")
            if not events and timeout:
                self.now += timeout
            return events

        selector.select = select

    def time(self) -> float:
        return self.now


@dataclass(eq=False)
class FakePeer:
    """A connection that remembers what was sent over it."""

    name: str = "peer"
    session: Any = None
    closed: bool = False
    answers: list[Any] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    sent: list[Reply] = field(default_factory=list)

    def answer(self, value: Any) -> None:
        self.answers.append(value)

    def fail(self, error: Exception) -> None:
        self.errors.append(error)

    def send_frame(self, body: bytes) -> None:
        self.sent.append(decode_reply(body))

    def close(self) -> None:
        self.closed = True

    abort = close

    @property
    def peer(self) -> Peer:
        """Typed as what it stands for."""
        return cast(Peer, self)

    @property
    def leases(self) -> list[Lease]:
        """All leases that were sent to it."""
        return [lease for m in self.sent if isinstance(m, Leases) for lease in m.leases]


class World:
    """Broker, store, turn and rooms as the service puts them together, without a server."""

    def __init__(self, folder: Path, loop: JumpingLoop, job: str) -> None:
        self.loop = loop
        self.folder = folder
        self.store = RefusingStore(folder)
        self.broker = Broker(self.store.epoch, job, random.Random(7))
        for loaded in self.store.load():
            run = self.broker.restore(loaded, loop.time(), loop.time())
            if run.id == 0:
                run.job = job
        self.broker.next_block, self.broker.next_seq = self.store.next_block, self.store.next_seq
        self.broker.committed()
        self.turn = turn = Turn(self.broker, self.store)
        self._ids = iter(range(1, 10_000))
        failures, follow_ups = FailureLog(), FollowUps(turn)
        self.workers = Workers(turn, follow_ups, failures)
        self.runs = Runs(turn, follow_ups)
        self.stock = StockSessions(turn, lambda: next(self._ids))
        self.delivery = Delivery(turn)
        self.tasks = TaskQueue(turn, self.stock, self.delivery, 1_000, failures)
        self.results = ResultQueue(turn, self.stock, self.delivery, 1_000)
        turn.followers += [self.tasks, self.workers, self.results, self.runs]

    async def turns(self, count: int = 3) -> None:
        """Let the turns that are due happen."""
        for _ in range(2 * count):
            await asyncio.sleep(0)

    async def later(self, wait_s: float) -> None:
        """Let virtual time pass, and what is due in it happen."""
        await asyncio.sleep(wait_s)
        await self.turns()

    async def start_run(
        self, job: str = "job", key: str | None = None, options: RunOptions | None = None
    ) -> Any:
        """A new run, on disk."""
        started: list[Any] = []
        self.runs.start(
            job,
            [],
            key,
            options or RunOptions(),
            lambda run, created: started.append(run),
            lambda error: started.append(error),
        )
        await self.turns()
        return started[0]

    def worker(self, slots: int = 1) -> tuple[FakePeer, Any]:
        """A worker that has said hello."""
        peer = FakePeer("worker")
        session = self.workers.open(peer.peer, next(self._ids), Hello("worker", "host", 1, slots))
        return peer, session

    def report(self, worker: Any, *outcomes: Outcome, want: int = 0, seq: int = 1) -> None:
        """One exchange of a worker."""
        self.workers.message(worker, Exchange(seq, list(outcomes), want))

    def close(self) -> None:
        """As a kill -9 would: nothing is saved that was not."""
        self.store.close()


Scenario = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[JumpingLoop]:
    """A loop whose time is the time of all modules of the master."""
    made = JumpingLoop()
    clock = SimpleNamespace(monotonic=made.time, time=made.time)
    for module in ("turn", "workers", "stock.sessions"):
        monkeypatch.setattr(f"master.{module}.time", clock)
    yield made
    made.close()


@pytest.fixture
def play(loop: JumpingLoop, tmp_path: Path) -> Callable[..., None]:
    """Play scenes one after the other, each in a new master on the same store."""

    def play_all(*scenes: Scenario, job: str = "") -> None:
        for scene in scenes:
            world = World(tmp_path / "data", loop, job)
            try:
                loop.run_until_complete(scene(world))
            finally:
                world.close()
            for task in asyncio.all_tasks(loop):
                task.cancel()

    return play_all

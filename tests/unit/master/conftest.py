"""A master without sockets and disk: fake peers, and a loop whose time jumps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest
from msgspec.structs import replace

from master.broker import Broker
from master.observe.failures import FailureLog
from master.server.pages import Pages
from master.server.runs.admission import Admission
from master.server.runs.feeders import Feeders
from master.server.runs.runs import Runs
from master.server.runs.submits import Submits
from master.server.workers.outcomes import Outcomes
from master.server.workers.workers import Workers
from master.stock import ResultQueue, Rounds, StockSessions, TaskQueue
from master.stock.delivery import Delivery
from master.turn.answer import PeerReply, Reply
from master.turn.turn import Turn
from queue_manager.server.connection import Peer
from queue_manager.wire.messages import (
    Collect,
    Collected,
    Exchange,
    Finished,
    Hello,
    Leases,
    OpenRun,
    Revoked,
    StartRun,
    SubmitTasks,
    TasksEnded,
    Welcome,
    decode_reply,
)
from queue_manager.wire.messages import Reply as Sent
from queue_manager.wire.records import FRAME_BYTES, HeldLease, Lease, Outcome, RunOptions
from tests.memory_store import MemoryStore, all_runs

from .desk import block

__all__ = ["FakePeer", "JumpingLoop", "OnRefusal", "World", "block", "reply_to"]


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait for its timers: its time jumps to the next one.

    clock_ahead: by how much somebody has set the machine's clock.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.clock_ahead = 0.0
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

    def clock(self) -> float:
        """What `time.time` says."""
        return 1_000_000.0 + self.now + self.clock_ahead


@dataclass(eq=False)
class FakePeer:
    """A connection that remembers what was sent over it."""

    name: str = "peer"
    where: str = "10.0.0.7:4321"
    session: Any = None
    closed: bool = False
    gone: bool = False
    owed: int = 0
    unread_bytes: int = 0
    part_bytes: int = 0
    on_read: Callable[[], None] = lambda: None
    answers: list[Any] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)

    def answer(self, value: Any) -> None:
        self.answers.append(value)

    def fail(self, error: Exception) -> None:
        self.errors.append(error)

    def send_frame(self, body: bytes) -> None:
        self.sent.append(decode_reply(body))

    def owe(self) -> None:
        self.owed += 1

    def settled(self) -> None:
        self.owed -= 1

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

    def of(self, kind: type[Any]) -> list[Any]:
        """The messages of a kind that were sent to it."""
        return [message for message in self.sent if isinstance(message, kind)]

    @property
    def welcomed(self) -> list[HeldLease] | None:
        """What it was told to go on with; None when it was not welcomed."""
        found = self.of(Welcome)
        return found[-1].held if found else None

    @property
    def revoked(self) -> list[int]:
        """The leases that it was told to stop."""
        return [number for m in self.of(Revoked) for number in m.leases]


def reply_to(peer: FakePeer, message: Any) -> PeerReply:
    """The reply to a message of a session of ours."""
    return PeerReply(peer.peer, getattr(message, "seq", 0))


class OnRefusal(Reply):
    """The reply to a step that nobody asked for. act: what a refusal does."""

    def __init__(self, act: Callable[[str], object]) -> None:
        self._act = act

    def _refuse(self, error: str) -> None:
        self._act(error)


class World:
    """Broker, store, turn and rooms as the service puts them together, without a server."""

    def __init__(
        self, store: MemoryStore, loop: JumpingLoop, job: str, ack: Literal["put", "next"] = "put"
    ) -> None:
        self.loop = loop
        self.store = store
        self.broker = Broker(self.store.epoch, job, random.Random(7))
        self.store.cap_delays(loop.clock())
        for loaded in all_runs(self.store):
            run = self.broker.restore(loaded, loop.time(), loop.clock())
            if run.id == 0:
                run.job = job
        self.broker.next_run = self.store.next_run
        self.broker.next_block, self.broker.next_seq = self.store.next_block, self.store.next_seq
        self.broker.committed()
        self.turn = turn = Turn(self.broker, self.store)
        self._ids = iter(range(1, 10_000))
        failures, admission = FailureLog(), Admission(turn)
        self.outcomes = Outcomes(turn, admission, failures)
        self.workers = Workers(turn, self.outcomes, Welcome("test", FRAME_BYTES // 2, store=1))
        self.feeders = Feeders()
        self.runs, self.pages = Runs(turn, self.feeders), Pages(turn, self.feeders)
        self.submits = Submits(turn, admission, self.feeders)
        self.stock = StockSessions(turn, lambda: next(self._ids))
        self.delivery = Delivery(turn)
        rounds = Rounds(turn, self.stock, failures, ack)
        self.tasks = TaskQueue(turn, self.stock, self.delivery, 1_000, rounds)
        self.results = ResultQueue(turn, self.stock, self.delivery, 1_000, rounds)
        turn.followers += [self.tasks, self.workers, self.results, self.pages]
        turn.followers += [self.submits, self.feeders, self.runs]
        turn.wake()

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
        options = options or RunOptions()
        ask = StartRun(0, job, [], key, options.feeder)
        ask = replace(ask, lasting=options.lasting, inputs_only=options.inputs_only)
        run, _ = await self.runs.start(ask, options)
        await self.turns()
        return run

    def ask(self, peer: FakePeer, message: Any) -> None:
        """A runner says something; it is told at once what is refused at once."""
        handlers: dict[type, Callable[[PeerReply, Any], None]] = {
            OpenRun: self.runs.open,
            SubmitTasks: self.submits.submit,
            TasksEnded: self.submits.tasks_ended,
            Collect: self.pages.collect,
            Collected: self.pages.collected,
            Finished: self.pages.finished,
        }
        handlers[type(message)](reply_to(peer, message), message)

    def worker(
        self,
        slots: int = 1,
        name: str = "",
        held: Sequence[HeldLease] = (),
        tags: Sequence[str] = (),
    ) -> tuple[FakePeer, Any]:
        """A worker that has said hello. name: the id of its process."""
        peer = FakePeer("worker")
        hello = Hello("worker", "host", 1, slots, "9.9", name, list(held), list(tags))
        return peer, self.workers.open(peer.peer, next(self._ids), hello)

    def report(
        self, worker: Any, *outcomes: Outcome, want: int = 0, seq: int = 1, **fields: int
    ) -> None:
        """One exchange of a worker; it got all that was sent and has free slots, by default."""
        fields = {"free": 9, "got": worker.sent} | fields
        self.workers.message(worker, Exchange(seq, list(outcomes), want, **fields))


CLOCKED = (
    "turn.turn",
    "turn.driver",
    "turn.stage",
    "turn.read_ahead",
    "turn.run_lookup",
    "server.runs.unlasting",
    "server.workers.workers",
    "server.workers.grants",
    "stock.sessions",
)
"""The modules that ask what time it is."""

Scenario = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[JumpingLoop]:
    """A loop whose time is the time of all modules of the master."""
    made = JumpingLoop()
    clock = SimpleNamespace(monotonic=made.time, time=made.clock)
    for module in CLOCKED:
        monkeypatch.setattr(f"master.{module}.time", clock)
    yield made
    made.close()


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks of one turn stay blocks by themselves."""
    monkeypatch.setattr("master.broker.growing.SMALL_TASKS", 0)


@pytest.fixture
def play(loop: JumpingLoop) -> Callable[..., None]:
    """Play scenes one after the other, each in a new master on the same store.

    Between them is a kill -9: nothing is saved that was not.
    """

    def play_all(*scenes: Scenario, job: str = "", ack: Literal["put", "next"] = "put") -> None:
        store = MemoryStore()
        for scene in scenes:
            loop.run_until_complete(_play(scene, store, loop, job, ack))
            store = store.reopen()
            for task in asyncio.all_tasks(loop):
                task.cancel()

    return play_all


async def _play(
    scene: Scenario, store: MemoryStore, loop: JumpingLoop, job: str, ack: Literal["put", "next"]
) -> None:
    await scene(World(store, loop, job, ack))

"""What `status` tells of sessions: who they are, what they have, and what they run since when."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from master.broker.leases.lease import Session
from master.broker.runs.run import Run
from master.observe.status import StatusBuilder
from master.server.dispatch import OurSession
from master.stock.sessions import StockSession
from master.turn.steps import HeldSteps
from queue_manager.wire.messages import AskSessions, Hello
from queue_manager.wire.records import Running, RunOptions, RunStatus, SessionStatus
from queue_manager.wire.usage import LargestSlot, Usage
from tests.unit.master.desk import Desk

SOON = 0.5


class Sources:
    """A desk's sessions as what a status needs of them."""

    address, started = "here:1", 0.0

    def __init__(self, desk: Desk) -> None:
        self._workers: list[Any] = []
        self._stock: list[Any] = []
        self._others: list[OurSession] = []
        turn: Any = SimpleNamespace(
            broker=desk.broker, store=desk.store, trouble="", held=HeldSteps(), wall=desk.wall
        )
        self._status = StatusBuilder(turn, self)

    def workers(self) -> Any:
        return self._workers

    def stock(self) -> Any:
        return self._stock

    def others(self) -> list[OurSession]:
        return self._others

    def runner(self, run: int) -> None:
        return None

    def fed(self, run: object) -> bool:
        return False

    def job_trouble(self, job: str) -> str:
        return ""

    def worker(self, session: Session, usage: Usage | None = None) -> None:
        made = SimpleNamespace(
            session=session, name="host/6", since=time.monotonic() - 60.0,
            hello=Hello("worker", "host", 6, session.slots, "9.9"),
            peer=SimpleNamespace(where="10.0.0.7:4321"), usage=usage,
        )  # fmt: skip
        self._workers.append(made)

    def client(self, session: Session) -> None:
        peer: Any = SimpleNamespace(name="script (10.0.0.8:1)")
        self._stock.append(StockSession(peer, session, 0.0, note="a note"))

    def run(self, run: Run) -> RunStatus:
        return self._status.run_status(run, 0.0)

    def session(self) -> SessionStatus:
        """The only one."""
        (found,) = self._status.sessions(AskSessions(1)).sessions
        return found


def desk_now(**options: Any) -> Desk:
    """A desk whose time is that of the status."""
    desk = Desk(**options)
    desk.now = time.monotonic()
    desk.broker.wake(desk.now)
    return desk


def running(found: SessionStatus) -> list[tuple[int, int, float]]:
    return [(one.run, one.task, round(one.for_s)) for one in found.running]


def test_a_worker_is_told_with_address_version_and_tags() -> None:
    desk = desk_now()
    sources = Sources(desk)
    sources.worker(desk.session(2, tags=frozenset({"ssd", "gpu"})))
    found = sources.session()
    assert (found.role, found.name, found.slots) == ("worker", "host/6", 2)
    assert (found.address, found.version) == ("10.0.0.7:4321", "9.9")
    assert (found.tags, found.running, found.held) == (["gpu", "ssd"], [], 0)
    assert 60.0 <= found.connected_s < 60.0 + SOON
    assert found.usage is None


def test_what_a_worker_takes_is_told_as_it_has_told_it() -> None:
    desk = desk_now()
    sources = Sources(desk)
    usage = Usage(5, 10, 1.5, 2.0, LargestSlot(3, 1, 2))
    sources.worker(desk.session(2), usage)
    assert sources.session().usage == usage


def test_each_slot_runs_the_first_open_task_of_its_lease_since_the_one_before_ended() -> None:
    desk = desk_now()
    sources = Sources(desk)
    session = desk.session(2)
    sources.worker(session)
    desk.submit(8)
    desk.run.size = 4
    first = desk.lease(session)
    desk.lease(session)
    assert running(sources.session()) == [(1, 1, 0), (1, 5, 0)]
    for lease in session.leases.values():
        lease.begun = lease.since = desk.now - 20.0
    desk.now -= 10.0  # it is reported that late
    desk.broker.wake(desk.now)
    desk.done(first, 0, 2)
    desk.commit()
    found = sources.session()
    assert running(found) == [(1, 3, 10), (1, 5, 20)]
    assert (found.held, round(found.oldest_s)) == (4, 20)


def test_what_waits_behind_the_slots_does_not_run() -> None:
    desk = desk_now()
    sources = Sources(desk)
    session = desk.session(2)
    sources.worker(session)
    for _ in range(5):
        desk.submit(1)
        desk.lease(session)
    assert running(sources.session()) == [(1, 1, 0), (1, 2, 0)]
    desk.done(session.leases[next(iter(session.leases))])
    desk.commit()
    assert running(sources.session()) == [(1, 2, 0), (1, 3, 0)]


def test_the_oldest_lease_is_first_in_whatever_order_they_came() -> None:
    """After a restart of the master the newer one may have been claimed first."""
    desk = desk_now()
    sources = Sources(desk)
    session = desk.session(2)
    sources.worker(session)
    desk.submit(2)
    one, other = desk.lease(session), desk.lease(session)
    session.leases.clear()
    session.leases.update({other.number: other, one.number: one})
    assert running(sources.session()) == [(1, 1, 0), (1, 2, 0)]


def test_a_stock_client_is_told_with_its_note_and_no_slots() -> None:
    desk = desk_now()
    sources = Sources(desk)
    sources.client(desk.session(0, stock=True))
    found = sources.session()
    assert (found.role, found.name, found.note) == ("stock", "script (10.0.0.8:1)", "a note")
    assert (found.slots, found.running, found.address) == (0, [], "")


def test_a_command_is_told_with_address_and_version() -> None:
    sources = Sources(desk_now())
    hello = Hello("client", "host", 7, 0, "9.8")
    sources._others.append(OurSession(hello, time.monotonic() - 3.0, "10.0.0.9:5"))
    found = sources.session()
    assert (found.role, found.name, found.address) == ("client", "host/7", "10.0.0.9:5")
    assert (found.version, round(found.connected_s)) == ("9.8", 3)


def test_a_running_task_is_three_numbers_on_the_wire() -> None:
    import msgspec

    packed = msgspec.msgpack.encode(Running(6, 12, 2.5))
    assert msgspec.msgpack.decode(packed) == [6, 12, 2.5]


def test_the_key_of_a_lasting_run_is_told() -> None:
    """That of a run that goes with its program is of the client's own making."""
    desk = desk_now()
    sources = Sources(desk)
    for lasting, key in ((True, "night"), (False, None)):
        desk.run.key, desk.run.options = "night", RunOptions(lasting=lasting)
        assert sources.run(desk.run).key == key

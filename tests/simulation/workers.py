"""Who is at the other end of a connection: supervisors of workers, and stock clients."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from queue_manager import codec
from queue_manager.wire.messages import Exchange, Hello, Leases, Revoked, Welcome
from queue_manager.wire.records import (
    Done,
    Failed,
    GroupLimit,
    HeldLease,
    NewBlock,
    Outcome,
    Released,
    RunQuota,
)
from queue_manager.wire.records import Lease as LeaseMessage

from .driver import CLOSED, DOWN, Connection, Driver

Ranges = list[tuple[int, int]]


class Person:
    """One end of a connection. connection: None while there is none."""

    name = ""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.connection: Connection | None = None

    @property
    def online(self) -> bool:
        return self.connection is not None

    def connect(self, master: Driver) -> None:
        """Call the master."""
        self.connection = Connection(self)
        master.connect(self.connection)

    def receive(self) -> bool:
        """Read one message; False: there is none."""
        connection = self.connection
        if connection is not None and connection.gone and not connection.to_person:
            self.lose()
        if connection is None or not connection.to_person:
            return False
        message = connection.to_person.popleft()
        if message == DOWN:
            self.lose()
        else:
            self.got_message(message)
        return True

    def got_message(self, message: Any) -> None:
        raise NotImplementedError

    def lose(self) -> None:
        """The connection has ended: what is on its way may still come to the master."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.to_master.append(CLOSED)

    def act(self) -> str:
        """Do something; what that was."""
        raise NotImplementedError

    def staged(
        self, master: Driver, connection: Connection, message: Any, now: float, wall: float
    ) -> Any:
        raise NotImplementedError


class Entry(NamedTuple):
    """An outcome and whose it is."""

    run: int
    block: int
    outcome: Outcome

    @property
    def positions(self) -> set[int]:
        outcome = self.outcome
        if isinstance(outcome, Failed):
            return {outcome.position}
        return set(range(outcome.start, outcome.stop))


@dataclass(slots=True, eq=False)
class Held:
    """A lease and what is left of it. running: what slots work on."""

    message: LeaseMessage
    left: set[int]
    running: set[int] = field(default_factory=set)


def ranges_of(positions: Iterable[int]) -> Ranges:
    """In order, neighbours as one."""
    found: Ranges = []
    for position in sorted(positions):
        if found and found[-1][1] == position:
            found[-1] = (found[-1][0], position + 1)
        else:
            found.append((position, position + 1))
    return found


def batch(count: int) -> bytes:
    """So many payloads."""
    return codec.encode_batch([0] * count)


def some_quota(rng: random.Random) -> RunQuota | None:
    """Seldom one."""
    if rng.random() < 0.7:
        return None
    return RunQuota(rng.choice(("q", "r")), rng.choice((2, 9, 30)))


def positions_of(ranges: Ranges) -> set[int]:
    return {p for start, stop in ranges for p in range(start, stop)}


class Worker(Person):
    """A supervisor. calm: its tasks end well. lies: leases in its hello that it never had."""

    def __init__(
        self, rng: random.Random, name: str, slots: int, key_count: int, tags: Iterable[str] = ()
    ) -> None:
        super().__init__(rng)
        self.tags = sorted(tags)
        self.name, self.slots, self.key_count = name, slots, key_count
        self.calm = False
        self.held: dict[int, Held] = {}
        self.waiting: list[Entry] = []
        self.sent: dict[int, list[Entry]] = {}
        self.lies: set[int] = set()
        self.welcomed = False
        self.draining = False
        self.seq = self.wanted = self.got = 0

    # --- the session ---

    def connect(self, master: Driver) -> None:
        super().connect(master)
        assert self.connection is not None
        # What had no answer is sent again, first and in its order; what goes back is forgotten.
        self.waiting = [e for es in self.sent.values() for e in es] + self.waiting
        self.waiting = [e for e in self.waiting if not isinstance(e.outcome, Released)]
        self.sent.clear()
        self.welcomed = False
        self.wanted = self.got = 0
        self.lies = set()
        claims: dict[tuple[int, int, int], set[int]] = {}
        for held in self.held.values():
            lease = held.message
            claims.setdefault((lease.number, lease.run, lease.block), set()).update(held.left)
        for entry in self.waiting:
            key = (entry.outcome.lease, entry.run, entry.block)
            claims.setdefault(key, set()).update(entry.positions)
        held_leases = [HeldLease(*key, ranges_of(p)) for key, p in claims.items() if p]
        if not self.calm and self.rng.random() < 0.1:
            lies = self._lie(master, {held.number for held in held_leases})
            held_leases += lies
            self.lies = {lie.number for lie in lies}
        self.connection.to_master.append(
            Hello("worker", "host", 1, self.slots, "", self.name, held_leases, self.tags)
        )

    def _lie(self, master: Driver, numbers: set[int]) -> list[HeldLease]:
        """A lease that was never its own: of this epoch, or an old one, as if it came back late."""
        judge, rng = master.judge, self.rng
        if not judge.blocks:
            return []
        tasks = judge.blocks[rng.choice(sorted(judge.blocks))]
        if rng.random() < 0.2:
            number = (judge.epoch << 32) + rng.randint(1, 1_000)
            found = HeldLease(number, tasks[0].run, tasks[0].block, [(0, len(tasks))])
            return [] if number in numbers else [found]
        # Older than all others, and one that comes later is still older.
        judge.lies += 1
        task = rng.choice(tasks)
        position = task.position
        found = HeldLease((1 << 32) - judge.lies, task.run, task.block, [(position, position + 1)])
        return [] if task.tracked else [found]

    def got_message(self, message: Any) -> None:
        if isinstance(message, Welcome):
            self._recognize(message.held)
        elif isinstance(message, Revoked):
            for number in message.leases:
                self.held.pop(number, None)
        elif isinstance(message, Leases):
            self.sent.pop(message.seq, None)
            self.wanted = max(0, self.wanted - len(message.leases))
            self.got += len(message.leases)
            for lease in message.leases:
                self._take(lease)

    def _recognize(self, leases: list[HeldLease]) -> None:
        allowed = {lease.number: positions_of(lease.ranges) for lease in leases}
        for lease in leases:
            if lease.number in self.lies:
                message = LeaseMessage(lease.number, lease.run, "", 0, 0, 0, b"", None, lease.block)
                self.held[lease.number] = Held(message, allowed[lease.number])
        for number, held in list(self.held.items()):
            held.left &= allowed.get(number, set())
            held.running &= held.left
            if not held.left:
                del self.held[number]
        self.waiting = [
            e
            for e in self.waiting
            if not isinstance(e.outcome, Released) or e.outcome.lease in allowed
        ]
        self.welcomed = True

    def _take(self, lease: LeaseMessage) -> None:
        free = self.free
        held = self.held[lease.number] = Held(lease, set(range(lease.start, lease.stop)))
        if not lease.limited:
            return
        if free > 0 and (self.calm or self.rng.random() < 0.9):
            held.running.add(lease.start)
        else:
            self._release(held, held.left, "")

    @property
    def free(self) -> int:
        """Slots without work."""
        queued = sum(len(h.left) for h in self.held.values() if not h.message.limited)
        limited = sum(len(h.left) for h in self.held.values() if h.message.limited)
        return max(0, self.slots - queued - limited)

    @property
    def want(self) -> int:
        if self.draining:
            return 0
        return max(0, 2 * self.slots - len(self.held) - self.wanted)

    def flush(self) -> bool:
        """Report what there is, and ask for more."""
        connection = self.connection
        if connection is None or not self.welcomed:
            return False
        want = self.want
        if not want and not self.waiting:
            return False
        self.seq += 1
        self.wanted += want
        entries, self.waiting = self.waiting, []
        if entries:
            self.sent[self.seq] = entries
        outcomes = [entry.outcome for entry in entries]
        connection.to_master.append(
            Exchange(self.seq, outcomes, want, self.draining, self.free, self.got)
        )
        return True

    # --- work ---

    def act(self) -> str:
        """Start something, end something, or say what there is to say."""
        rng = self.rng
        choice = rng.random()
        if choice < 0.35 and self.flush():
            return "reports"
        if not self.held:
            return "reports" if self.flush() else ""
        held = rng.choice(list(self.held.values()))
        if not held.left:
            return ""
        if not held.running:
            if not self.calm and choice > 0.9:
                return self._give_up(held)
            if sum(bool(h.running) for h in self.held.values()) < self.slots:
                held.running.add(min(held.left))
                return "starts"
            return ""
        return self._end(held)

    def _end(self, held: Held) -> str:
        """What runs, and maybe a few behind it, comes to an end."""
        lease, rng = held.message, self.rng
        start = min(held.running)
        choice = 0.0 if self.calm else rng.random()
        if choice < 0.7:
            stop = start + 1
            while stop in held.left and rng.random() < 0.8:
                stop += 1
            follow = self._follow() if stop == start + 1 and rng.random() < 0.1 else []
            took_s = rng.choice((0.0, 1e-4, 0.01, 10.0)) * (stop - start)
            limits = self._limits() if stop == start + 1 and rng.random() < 0.1 else {}
            self._settle(held, Done(lease.number, start, stop, b"", took_s, follow, limits))
            return "is done"
        if choice < 0.92:
            delay_s = rng.choice((None, None, 0.0, 0.01, 5.0, 3600.0))
            reject = rng.random() < 0.1
            whole = delay_s is not None and rng.random() < 0.4
            failed = Failed(lease.number, start, "", "", reject, delay_s, whole_group=whole)
            self._settle(held, failed)
            return "fails"
        self._release(held, {start}, "")
        return "gives back"

    def _follow(self) -> list[NewBlock]:
        if self.calm:
            return []
        rng = self.rng
        keys = [f"k{rng.randrange(self.key_count)}"] if rng.random() < 0.5 else None
        group, priority = rng.choice((None, "g1")), rng.randint(-1, 2)
        return [NewBlock(1, batch(1), keys, group, priority, quota=some_quota(rng))]

    def _limits(self) -> dict[str, GroupLimit]:
        rng = self.rng
        groups = rng.sample(("g1", "g2", "g3", f"g{rng.randrange(40)}"), rng.choice((1, 1, 3)))
        at_once, every_s = (None, 1, 2, 5), (0.0, 0.5, 5.0, 60.0)
        return {g: GroupLimit(rng.choice(at_once), rng.choice(every_s)) for g in groups}

    def _give_up(self, held: Held) -> str:
        """What has not started goes back, with or without a reason."""
        lacks = "no such job" if self.rng.random() < 0.2 else ""
        self._release(held, held.left - held.running, lacks)
        return "gives back what waits"

    def _settle(self, held: Held, outcome: Outcome) -> None:
        lease = held.message
        entry = Entry(lease.run, lease.block, outcome)
        self.waiting.append(entry)
        held.left -= entry.positions
        held.running -= entry.positions
        if not held.left:
            self.held.pop(lease.number, None)

    def _release(self, held: Held, positions: set[int], lacks: str) -> None:
        for start, stop in ranges_of(positions):
            self._settle(held, Released(held.message.number, start, stop, lacks))


class StockClient(Person):
    """A client of the standard library: one task at a time. calm: it puts what it took."""

    def __init__(self, rng: random.Random, name: str) -> None:
        super().__init__(rng)
        self.name = name
        self.calm = False
        self.asked = self.has = False

    def connect(self, master: Driver) -> None:
        super().connect(master)
        assert self.connection is not None
        master.broker.add_session(master.new_session(self.connection, 0))
        self.asked = self.has = False

    def got_message(self, message: Any) -> None:
        if isinstance(message, Leases) and message.leases:
            self.asked, self.has = False, True

    def act(self) -> str:
        connection = self.connection
        if connection is None or self.asked:
            return ""
        if self.has and (self.calm or self.rng.random() < 0.8):
            self.has = False
            connection.to_master.append("put")
            return "puts a result"
        self.asked, self.has = True, False
        connection.to_master.append("get")
        return "asks for a task"

    def staged(
        self, master: Driver, connection: Connection, message: Any, now: float, wall: float
    ) -> Any:
        """As `stock.TaskQueue` and `stock.settle`."""
        session, lease = connection.session, connection.lease
        assert session is not None
        if lease is not None:
            master.undo.keep(connection)
            connection.lease = None
            ((position, stop),) = lease.open
            if message == "put":
                master.outcome(connection, Done(lease.number, position, stop, b"", 1.0), now, wall)
            else:
                master.outcome(connection, Failed(lease.number, position, ""), now, wall)
        if message == "get":
            return lambda: self._ask(master, connection)
        return None

    def _ask(self, master: Driver, connection: Connection) -> None:
        if not connection.gone and connection.session is not None:
            connection.session.wanted = 1
            master.idle[connection.session.id] = connection
            master.retry_at = master.broker.journal.now

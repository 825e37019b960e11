"""One world: some workers, a master, and all that may happen to them, from one seed."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from master.broker import growing
from master.broker.lanes import absent, groups, window
from master.broker.leases import leasing, quarantine
from master.broker.runs import run
from master.broker.runs.run import Run
from master.changes import QUEUE_RUN
from master.reads import LettersSought
from master.turn import read_ahead
from queue_manager.errors import RefusedError
from queue_manager.ranges import Ranges
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import GroupLimit, NewBlock, RunOptions
from tests import memory_store
from tests.asked import block_states, chosen_letters
from tests.unit.master.store_records import Engine

from . import checks
from .driver import CLOSED, DOWN, STOCK_JOB, Crashed, Driver, Step
from .judge import Judge
from .truth import Pause, TrueRun, check
from .workers import Person, StockClient, Worker, batch, some_quota

JOBS = (STOCK_JOB, "square", "crawl")
HOUR_S = 3600.0
STORY = 40
FULL_CHECK = 16
"""Every so many steps everything is looked at."""


class World:
    """A seed's world. engine: has no store open yet. tell: hears the story."""

    def __init__(
        self, seed: int, engine: Engine, tell: Callable[[str], None] | None = None
    ) -> None:
        self.rng = rng = random.Random(seed)
        self.seed, self._engine, self._tell = seed, engine, tell
        self.now, self.steps = 1_000.0, 0
        self.wall_offset = 1_700_000_000.0
        self.story: deque[tuple[int, float, str, tuple[Any, ...]]] = deque(maxlen=STORY)
        self.window = rng.choice((1, 4, 12, 40, 1_000))
        self.block = rng.choice((1, 3, 8, 30))
        self.lanes = rng.choice((2, 5, 1_000))
        self.judge = Judge(STOCK_JOB)
        self.judge.started(QUEUE_RUN, STOCK_JOB, RunOptions(), None)
        self.judge.committed(self.now)
        self.store: Any = engine.open()
        self.tags = rng.choice(((), (), ("gpu",), ("gpu", "ssd")))
        self.people: list[Person] = [
            Worker(rng, f"w{n}", rng.randint(1, 3), 60, self._some_tags())
            for n in range(rng.randint(1, 4))
        ]
        self.people += [StockClient(rng, f"s{n}") for n in range(rng.choice((0, 0, 1, 2)))]
        self.names = len(self.people)
        self.keys = 0
        self.driver = self._master()
        # Worlds differ in what happens often in them.
        self.weights = [weight * rng.choice((0, 1, 1, 3)) or least for weight, least, _ in ACTS]
        self.acts = [act for *_, act in ACTS]

    def _some_tags(self) -> list[str]:
        return [tag for tag in self.tags if self.rng.random() < 0.6]

    def _master(self) -> Driver:
        wall = self.now + self.wall_offset
        return Driver(self.store, self.judge, self.rng, self.now, wall, self._shrink)

    def _shrink(self, one: Run) -> None:
        one.lane.window.most = self.window
        one.lane.tracked.most = max(1, self.window // 2)

    def tell(self, text: str, *args: object) -> None:
        self.story.append((self.steps, self.now, text, args))
        if self._tell is not None:
            self._tell(line(*self.story[-1]))

    # --- from start to end ---

    def play(self, steps: int) -> None:
        """So many steps, then heal and drain. Raises Violation, or what the broker raises."""
        with self._small():
            self.turn(4)
            for _ in range(steps):
                self.step()
            self.drain()

    def step(self) -> None:
        self.steps += 1
        (act,) = self.rng.choices(self.acts, self.weights)
        act(self)
        checks.after_step(self.driver, self.now)
        if self.steps % FULL_CHECK == 0:
            checks.in_full(self.driver)

    @contextmanager
    def _small(self) -> Iterator[None]:
        """All that is counted in thousands is counted in ones."""
        small = [
            (groups, "WINDOW_TASKS", self.window),
            (groups, "GROUP_TASKS", max(1, self.window // 4)),
            (groups, "_REFILLS", 2),
            (groups, "LANES", self.lanes),
            (absent, "OWN", self.lanes),
            (memory_store, "OWN_GROUPS", 1),
            (groups, "_FEW", 2),
            (read_ahead, "SOUGHT", 4),
            (growing, "BLOCK_TASKS", self.block),
            (growing, "SMALL_TASKS", self.block),
            (window, "BLOCK_TASKS", self.block),
            (leasing, "BLOCK_TASKS", self.block),
            (quarantine, "_LOOKED_AT", 4),
            (run, "BLOCK_TASKS", self.block),
        ]
        before = [(module, name, getattr(module, name)) for module, name, _ in small]
        for module, name, value in small:
            setattr(module, name, value)
        try:
            yield
        finally:
            for module, name, value in before:
                setattr(module, name, value)

    def drain(self) -> None:
        """All that is broken is mended; then every task ends."""
        self.tell("heals")
        self.driver.full = False
        self._set_full(False)
        self.driver.crash = ""
        for person in self.people:
            person.calm = True  # type: ignore[attr-defined]
        able = (p for p in self.people if isinstance(p, Worker) and not p.draining)
        if not any(worker.tags == sorted(self.tags) for worker in able):
            self.people.append(Worker(self.rng, "healer", 3, 60, self.tags))
        quiet = 0
        for _ in range(20_000):
            self.steps += 1
            self._let_end()
            before = self._progress()
            self._go_on()
            checks.after_step(self.driver, self.now)
            if not checks.ended(self.driver):
                break
            quiet = quiet + 1 if before == self._progress() else 0
            if quiet > 3:
                due = self.driver.next_wake
                wait_s = 6.0 if due is None else max(0.01, due - self.now)
                self.pass_time(min(wait_s, HOUR_S))
            check(quiet < 60, "{} never ends", checks.ended(self.driver))
        check(not checks.ended(self.driver), "{} never ends", checks.ended(self.driver))
        checks.in_full(self.driver)
        self.crash("")
        checks.on_disk(self.driver)

    def _let_end(self) -> None:
        """No run gets more tasks, and what can't begin is cancelled."""
        if self.driver.requests or self.driver.again:
            return
        runs = self.judge.runs
        for one in runs.values():
            if not one.active or one.id == QUEUE_RUN:
                continue
            if any(runs[before].state in ("failed", "cancelled") for before in one.waits_for):
                self.ask(lambda now, wall, one=one: self._cancel(one, wall), waits=True)
            elif not one.exhausted and not one.pending:
                self._exhaust(one)

    def _progress(self) -> tuple[int, ...]:
        runs = self.judge.runs.values()
        return tuple(n for r in runs for n in (r.unended, r.held, r.dead, len(r.tasks)))

    def _go_on(self) -> None:
        for person in self.people:
            if not person.online:
                person.connect(self.driver)
            while person.receive():
                pass
            for _ in range(6):
                person.act()
            if isinstance(person, Worker):
                person.flush()
        self.turn(6)

    # --- time and turns ---

    def turn(self, most: int) -> None:
        """A turn of the master, and those that follow it at once."""
        try:
            self.driver.turn(self.now, most)
            for _ in range(50):
                due = self.driver.next_wake
                if due is None or due > self.now:
                    return
                self.driver.turn(self.now)
            check(False, "the master turns without end: {} <= {}", due, self.now)
        except Crashed:
            self.crash(self.driver.crash)

    def pass_time(self, wait_s: float) -> None:
        """Time passes, and timers end in it."""
        until = self.now + wait_s
        for _ in range(500):
            due = self.driver.next_wake
            if due is None or due > until:
                break
            self.now = max(self.now, due)
            self.turn(0)
        else:
            check(False, "too many turns in {} s", wait_s)
        self.now = max(self.now, until)
        self.driver.tick(self.now)
        if self.driver.retry_at is not None and self.driver.retry_at <= self.now:
            self.turn(0)
        self.driver.broker.wake(self.now)

    def time(self) -> None:
        wait_s = self.rng.choice((0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 6.0, 31.0, 61.0, HOUR_S))
        if self.driver.full:
            wait_s = min(wait_s, 2.0)  # it is tried again twice a second
        self.tell("{} s pass", wait_s)
        self.pass_time(wait_s)

    def some_turn(self) -> None:
        self.tell("the master turns")
        self.turn(self.rng.choice((1, 1, 2, 5)))

    # --- faults of the master ---

    def crash(self, when: str) -> None:
        """The master dies, at once or around a commit, and starts again."""
        rng = self.rng
        self.tell("the master dies {} a commit" if when else "the master dies{}", when)
        self.judge.crashed(self.now)
        self.judge.exclusive.clear()
        self.judge.tags.clear()
        for person in self.people:
            connection = person.connection
            if connection is None:
                continue
            for _ in range(rng.randint(0, len(connection.to_person))):
                connection.to_person.pop()
            connection.to_person.append(DOWN)
            connection.to_master = deque()
        self.now += rng.choice((0.0, 0.1, 2.0))
        if rng.random() < 0.1:
            self.wall_offset += rng.choice((-HOUR_S, HOUR_S, -1.0, 1.0))
        self.store = self._engine.crash()
        self._cap_delays()
        self.driver = self._master()
        checks.on_disk(self.driver)
        self.turn(0)

    def _cap_delays(self) -> None:
        """What becomes of delays in the store when the master starts: none gets longer."""
        wall = self.now + self.wall_offset
        for one in self.judge.runs.values():
            if one.options.per_group is not None:
                one.paused_at = self.now
            one.pauses = {group: self._capped(pause, wall) for group, pause in one.pauses.items()}
            for task in one.tasks:
                if task.tracked and task.state == "waiting":
                    task.due_wall = min(task.due_wall, wall + task.delay_s)
                    task.due = self.now + task.due_wall - wall
                    task.ready_at = max(task.due, self.now)

    def _capped(self, pause: Pause, wall: float) -> Pause:
        due_wall = min(pause.due_wall, wall + pause.delay_s)
        return Pause(self.now + due_wall - wall, pause.delay_s, due_wall)

    def plan_crash(self) -> None:
        self.driver.crash = self.rng.choice(("before", "after", "after"))
        self.tell("the master will die {} a commit", self.driver.crash)

    def crash_now(self) -> None:
        self.crash("")

    def disk(self) -> None:
        full = not self.driver.full and self.rng.random() < 0.5
        self.tell("the disk is {}", "full" if full else "not full")
        self._set_full(full)

    def _set_full(self, full: bool) -> None:
        self.driver.full = full

    def drop_rows(self) -> None:
        self.store.drop_some(self.rng.choice((1, 5, 1_000)))

    # --- people ---

    def work(self) -> None:
        person = self.rng.choice(self.people)
        if not person.online:
            if self.rng.random() < 0.3:
                self.tell("{} connects", person.name)
                person.connect(self.driver)
            return
        what = person.act()
        if what:
            self.tell("{} {}", person.name, what)

    def read(self) -> None:
        person = self.rng.choice(self.people)
        for _ in range(self.rng.randint(1, 4)):
            if not person.receive():
                return
        self.tell("{} reads", person.name)

    def cut(self) -> None:
        """A connection ends for one end, later for the other; what is on its way may be lost."""
        person = self.rng.choice(self.people)
        connection = person.connection
        if connection is None:
            return
        lost = self.rng.randint(0, len(connection.to_master))
        for _ in range(lost):
            connection.to_master.pop()
        self.tell("{} loses its connection and {} messages", person.name, lost)
        if self.rng.random() < 0.6:
            connection.late = self.rng.random() < 0.7
            person.lose()
            if isinstance(person, Worker) and self.rng.random() < 0.6:
                person.connect(self.driver)
        else:
            connection.to_master.append(CLOSED)
            connection.to_person.append(DOWN)

    def kill(self) -> None:
        """A process ends; another one takes its place."""
        index = self.rng.randrange(len(self.people))
        person = self.people[index]
        self.tell("{} is killed", person.name)
        person.lose()
        self.names += 1
        if isinstance(person, Worker):
            new: Person = Worker(self.rng, f"w{self.names}", person.slots, 60, self._some_tags())
        else:
            new = StockClient(self.rng, f"s{self.names}")
        self.people[index] = new

    def drain_worker(self) -> None:
        person = self.rng.choice(self.people)
        if isinstance(person, Worker) and sum(isinstance(p, Worker) for p in self.people) > 1:
            self.tell("{} drains", person.name)
            person.draining = True
            for held in list(person.held.values()):
                person._release(held, held.left - held.running, "")

    # --- what clients ask for ---

    def ask(self, stage: Callable[[float, float], Any], waits: bool = False) -> None:
        self.driver.requests.append(Step(stage, waits))

    def start_run(self) -> None:
        if sum(one.active and not one.pending for one in self.judge.runs.values()) > 4:
            return
        rng, job = self.rng, self.rng.choice(JOBS)
        options = self._options(rng.random() < 0.4)
        self.keys += 1
        key = f"run{self.keys}" if rng.random() < 0.3 else None
        after = self._some_predecessors() if rng.random() < 0.4 else ()
        self.tell("a run of {} is started after {}: {}", job, after, options)

        def stage(now: float, wall: float) -> None:
            runs = self.judge.runs
            if any(one not in runs or runs[one].state in ("cancelled", "pruned") for one in after):
                raise RefusedError("it could never begin")
            self.driver.start_run(job, options, key, after, wall)

        self.ask(stage)

    def _some_predecessors(self) -> tuple[int, ...]:
        states = ("active", "active", "done", "failed")
        some = [self._some_run(self.rng.choice(states)) for _ in range(self.rng.randint(1, 3))]
        return tuple({one.id for one in some if one is not None and one.id != QUEUE_RUN})

    def _options(self, limited: bool) -> RunOptions:
        rng = self.rng
        limit = GroupLimit(rng.choice((None, 1, 2)), rng.choice((0.0, 0.5, 5.0)))
        needs = self._some_tags() if rng.random() < 0.5 else []
        attempts, losses = rng.randint(1, 3), rng.randint(1, 4)
        return RunOptions(attempts, losses, None, limit if limited else None, needs)

    def _some_run(self, *states: str) -> TrueRun | None:
        runs = [one for one in self.judge.runs.values() if one.state in states]
        return self.rng.choice(runs) if runs else None

    def submit(self) -> None:
        rng, one = self.rng, self._some_run("active")
        if one is None or one.exhausted or one.unended > 150:
            return
        blocks = [self._block() for _ in range(rng.choice((1, 1, 1, 3)))]
        self.tell("run {} gets {}", one.id, blocks)

        def stage(now: float, wall: float) -> None:
            if self.judge.runs.get(one.id) is not one or not one.active or one.exhausted:
                raise RefusedError("it has ended")
            if one.pending:
                raise RefusedError("it has not begun")
            run = self.driver.broker.runs[one.id]
            admitted = self.driver.admit(run, blocks)
            self.driver.accept(run, blocks, admitted, now, wall)

        self.ask(stage)

    def _block(self) -> NewBlock:
        rng = self.rng
        count = rng.choice((1, 1, 2, self.block, rng.randint(1, self.block)))
        keys = [f"k{rng.randrange(60)}" for _ in range(count)] if rng.random() < 0.2 else None
        group = rng.choice((None, "g1", "g2", "g3", f"g{rng.randrange(40)}"))
        delay_s = rng.choice((0.0, 0.0, 0.0, 0.0, 0.001, 0.5, 5.0, HOUR_S))
        priority = rng.choice((0, 0, 0, -1, 1, 5))
        return NewBlock(count, batch(count), keys, group, priority, delay_s, some_quota(rng))

    def exhaust(self) -> None:
        one = self._some_run("active")
        if one is not None and one.id != QUEUE_RUN and not one.exhausted:
            self.tell("run {} is exhausted", one.id)
            self._exhaust(one)

    def _exhaust(self, one: TrueRun) -> None:
        def stage(now: float, wall: float) -> None:
            if self.judge.runs.get(one.id) is not one or not one.active or one.exhausted:
                raise RefusedError("it has ended")
            if one.pending:
                raise RefusedError("it has not begun")
            self.judge.exhausted(one)
            self.driver.broker.exhaust(self.driver.broker.runs[one.id])

        self.ask(stage, waits=True)

    def new_code(self) -> None:
        one = self._some_run("active")
        if one is None or one.id == QUEUE_RUN:
            return
        new = self._options(one.limited)
        # Who is a quarantined task is said when its delay ends: losses stay as they are.
        options = RunOptions(new.attempts, one.options.losses, None, new.per_group, new.needs)
        self.tell("the code of run {} changes: {}", one.id, options)

        def stage(now: float, wall: float) -> None:
            if self.judge.runs.get(one.id) is not one:
                raise RefusedError("it is no more")
            self.judge.code(one, options)
            self.driver.broker.set_code(self.driver.broker.runs[one.id], "v", options)

        self.ask(stage)

    def cancel(self) -> None:
        one = self._some_run("active", "done")
        if one is not None:
            self.tell("run {} is cancelled", one.id)
            self.ask(lambda now, wall: self._cancel(one, wall))

    def _cancel(self, one: TrueRun, wall: float) -> Any:
        driver = self.driver
        if self.judge.runs.get(one.id) is not one:
            raise RefusedError("it is no more")
        revoked = driver.broker.cancel(driver.broker.runs[one.id], wall)
        numbers = {number for some in revoked.values() for number in some}
        true = self.judge.cancelled(one)
        check(numbers == true, "leases {} end, not {}", numbers, true)
        connections = {c.session: c for c in driver.connections}

        def answer() -> None:
            for session, some in revoked.items():
                driver.revoke(connections.get(session), some)

        return answer

    def cancel_tasks(self) -> None:
        """Some tasks of a run, or all that nobody works on, are cancelled."""
        one = self._some_run("active")
        if one is None or one.id == QUEUE_RUN:
            return
        first = self.rng.randint(1, max(1, len(one.tasks)))
        some = (first, first + self.rng.choice((1, 1, 3, 20)))
        wanted = [(1, 2**62)] if self.rng.random() < 0.3 else [some]
        self.tell("tasks {} of run {} are cancelled", wanted, one.id)
        self.ask(lambda now, wall: self._cancel_tasks(one, wanted))

    def _cancel_tasks(self, one: TrueRun, wanted: Ranges) -> None:
        """As `Cancelling`, which waits until the known workers have said what they hold."""
        driver = self.driver
        if self.judge.runs.get(one.id) is not one or not one.active or driver.expected:
            raise RefusedError("it has ended, or nobody knows what is leased")
        broker, store = driver.broker, driver.store
        found = store.find_blocks(one.id, wanted, 1_000)
        states = block_states(store, {block: (0, count) for block, _, count in found})
        told = broker.cancel_tasks(broker.runs[one.id], states.values(), wanted)
        numbers = {task for a, b in told for task in range(a, b)}
        true = self.judge.withdrawn(one, wanted)
        check(numbers == true, "tasks {} of {} are cancelled, not {}", numbers, one, true)

    def retry(self) -> None:
        one = self._some_run("active", "failed", "done", "cancelled")
        if one is None:
            return
        first = self.rng.randint(1, max(1, len(one.tasks)))
        part = (first, first + self.rng.choice((1, 3, 20))) if self.rng.random() < 0.5 else None
        self.tell("{} of run {} is tried again", part or "all", one.id)

        def stage(now: float, wall: float) -> None:
            driver = self.driver
            if self.judge.runs.get(one.id) is not one:
                raise RefusedError("it is no more")
            refused(one.pending, lambda: driver.broker.retry(driver.broker.runs[one.id], wall))
            tracked = driver.broker.changes.tracked.items()
            staged = {task for (run, task), s in tracked if run == one.id and s.state == "dead"}
            letters = None if part is None else self._letters(one.id, part)
            count = driver.broker.retry(driver.broker.runs[one.id], wall, letters)
            right = self.judge.retried(one, now, wall, staged, part or (1, 2**62))
            check(count == right, "{} letters are tried again, not {}", count, right)

        self.ask(stage)

    def _letters(self, run: int, part: tuple[int, int]) -> list[tuple[int, str | None]]:
        """As `Retrying` finds them: what is on disk before this turn."""
        sought = LettersSought(run, FailureFilter(tasks=(part,)), 0, 2**62, 10**9)
        return chosen_letters(self.driver.store, sought).letters

    def forget(self) -> None:
        one = self._some_run("done", "failed", "cancelled", "pruned")
        if one is None:
            return
        prune = self.rng.random() < 0.5 and one.state != "pruned"
        self.tell("run {} is {}", one.id, "pruned" if prune else "forgotten")

        def stage(now: float, wall: float) -> None:
            broker = self.driver.broker
            if self.judge.runs.get(one.id) is not one:
                raise RefusedError("it is no more")
            act = broker.prune if prune else broker.forget
            refused(self.judge.needed(one), lambda: act(broker.runs[one.id]))
            act(broker.runs[one.id])
            (self.judge.pruned if prune else self.judge.forgotten)(one)

        self.ask(stage)


def refused(is_right: bool, act: Callable[[], object]) -> None:
    """If it is right, the broker must refuse to do this; raises what it raises."""
    if is_right:
        act()
        check(False, "the broker did what it must not")


def line(step: int, now: float, text: str, args: tuple[Any, ...]) -> str:
    """One line of a story."""
    return f"{step:5} {now:12.3f} s  {text.format(*args)}"


ACTS: tuple[tuple[float, float, Callable[[World], None]], ...] = (
    (30, 10, World.work),
    (14, 5, World.read),
    (22, 10, World.some_turn),
    (8, 2, World.time),
    (7, 3, World.submit),
    (2, 1, World.start_run),
    (0.6, 0.1, World.exhaust),
    (1.5, 0, World.cut),
    (0.7, 0, World.kill),
    (0.2, 0, World.drain_worker),
    (0.7, 0, World.plan_crash),
    (0.4, 0, World.crash_now),
    (1.5, 0, World.disk),
    (0.4, 0, World.new_code),
    (0.3, 0, World.cancel),
    (0.5, 0, World.cancel_tasks),
    (0.7, 0, World.retry),
    (0.3, 0, World.forget),
    (0.3, 0, World.drop_rows),
)
"""How often something happens, how often at least, and what."""

"""Ended runs go after a while; rows and pages go in small steps that hold nobody up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from master.changes import Changes, CollectCursor
from master.history import FINE_S
from master.reads import PruneStep
from master.server import pruning
from master.server.pruning import DAY_S, LEAST_S, RETIRE_S, RETRY_S, UNCOLLECTED_S, Pace, Pruning
from master.turn.known import Known
from queue_manager.errors import StoreError
from queue_manager.wire.records import RunOptions


@dataclass(eq=False)
class FakeRun:
    """An ended run."""

    id: int = 1
    job: str = "job"
    state: str = "done"
    ended_at: float | None = 0.0
    collect_cursor: CollectCursor = field(default_factory=lambda: CollectCursor(closed=True))
    last_seq: int = 5
    options: RunOptions = field(default_factory=RunOptions)

    goes_with_client: bool = False
    has_runner: bool = True

    @property
    def active(self) -> bool:
        return self.state == "active"


@dataclass
class FakeStore:
    """Has so many rows and pages to give; each step takes time from the clock."""

    clock: Any
    rows: int = 0
    pages: int = 0
    minutes: int = 0
    history: list[tuple[float, float]] = field(default_factory=list)
    cost_s: float = 0.0
    steps: list[tuple[str, int]] = field(default_factory=list)
    full: str = ""
    old: list[int] = field(default_factory=list)
    prune_queue = prune_letters = staticmethod(lambda *_: PruneStep({}, [], 0, True))

    def mark(self, at: float, seq: int, keep_s: float) -> int:
        return 0

    def prune_history(self, minutes_by: float, all_by: float, rows: int) -> bool:
        self.history.append((minutes_by, all_by))
        return self._take("minutes", rows)

    def old_runs(self, ended_by: float, most: int) -> list[int]:
        return self.old

    def drop_some(self, rows: int) -> bool:
        if self.full:
            raise StoreError(self.full)
        return self._take("rows", rows)

    def shrink(self, pages: int) -> bool:
        return self._take("pages", pages)

    def _take(self, what: str, count: int) -> bool:
        if getattr(self, what) <= 0:
            return False
        self.clock.now += self.cost_s * count
        self.steps.append((what, count))
        setattr(self, what, max(0, getattr(self, what) - count))
        return True


class FakeChains:
    """Runs that others are after."""

    def __init__(self) -> None:
        self.needed: set[int] = set()
        self.pending: dict[int, list[FakeRun]] = {}

    def waiting(self, number: int) -> list[FakeRun]:
        return [run for run in self.pending.get(number, ()) if run.active]

    def __len__(self) -> int:
        return len(self.needed)

    def needing(self, number: int) -> list[int]:
        return [99] if number in self.needed else [run.id for run in self.waiting(number)]


class Rig:
    """Pruning with a turn that carries steps out at once."""

    def __init__(self, keep_days: float, *runs: FakeRun) -> None:
        self.clock = SimpleNamespace(now=100.0)
        self.clock.monotonic = lambda: self.clock.now
        self.store = FakeStore(self.clock)
        self.pruned: list[int] = []
        self.runs: dict[int, Any] = {run.id: run for run in runs}
        self.settled: list[int] = []
        broker = SimpleNamespace(
            runs=self.runs,
            prune=self._prune,
            recall=dict(self.runs).get,
            next_run=0,
            next_seq=1,
            retire=lambda run: self.store.old.append(self.runs.pop(run.id).id),
            finished=lambda run, ended_at, wall: self.settled.append(run.id),
            cancel=lambda run, wall: setattr(run, "state", "cancelled"),
            chains=FakeChains(),
        )
        self.pending: dict[int, list[FakeRun]] = broker.chains.pending
        self.needed: set[int] = broker.chains.needed
        turn: Any = SimpleNamespace(
            broker=broker, store=self.store, trouble="", post=self._post, is_waiting=False
        )
        turn.known = Known()
        self.turn = turn
        self.pruning = Pruning(turn, keep_days, SimpleNamespace(pruned=lambda results: None))

    def _prune(self, run: FakeRun) -> None:
        self.pruned.append(run.id)
        run.state = "pruned"

    def _post(self, step: Any) -> None:
        answer = step.stage(0.0, self.wall)
        if answer is not None:
            answer()

    def tick(self, wall: float = 0.0, now: float = 0.0) -> None:
        """One tick, and what follows from it."""
        self.wall = wall

        async def once() -> None:
            self.pruning.tick(now, wall)
            for _ in range(600):
                await asyncio.sleep(0)

        asyncio.run(once())


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(keep_days: float, *runs: FakeRun) -> Rig:
        made = Rig(keep_days, *runs)
        monkeypatch.setattr(pruning, "time", made.clock)
        return made

    return make


def test_an_ended_run_is_pruned_when_it_is_old_enough(rig: Any) -> None:
    world = rig(30, FakeRun())
    world.tick(wall=30 * DAY_S - 1)
    assert world.pruned == []
    world.tick(wall=30 * DAY_S)
    world.tick(wall=31 * DAY_S)
    assert world.pruned == [1]


def test_active_runs_and_the_queue_run_stay(rig: Any) -> None:
    world = rig(0, FakeRun(0, state="active"), FakeRun(1, state="active", ended_at=None))
    world.tick(wall=1000 * DAY_S)
    assert world.pruned == []


def test_a_run_stays_while_its_runner_is_at_work(rig: Any) -> None:
    """It collects, or is in `finish()`, for longer than runs are kept."""
    world = rig(30, FakeRun(), FakeRun(2, collect_cursor=CollectCursor(0)))
    world.pruning.lives = lambda run: True
    world.tick(wall=1_000 * DAY_S)
    assert (world.pruned, world.store.old) == ([], [])
    world.pruning.lives = lambda run: False
    world.tick(wall=1_000 * DAY_S)
    assert world.pruned == [1, 2]


def test_a_run_that_goes_with_its_client_is_not_pruned_by_time(rig: Any) -> None:
    world = rig(0, FakeRun(collect_cursor=CollectCursor(5), goes_with_client=True))
    world.tick(wall=1_000 * DAY_S)
    assert (world.pruned, world.settled, world.store.old) == ([], [], [])


def test_a_run_of_an_older_master_that_its_client_has_not_read_is_settled(rig: Any) -> None:
    world = rig(30, FakeRun(collect_cursor=CollectCursor(0), has_runner=False))
    world.tick(wall=RETIRE_S)
    assert world.settled == [1]


def test_runs_that_wait_for_one_that_has_failed_do_so_as_long_as_that_is_kept(
    rig: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing else would ever end them, and they would keep it for ever."""
    caplog.set_level("INFO")
    later = FakeRun(2, state="active", ended_at=None)
    world = rig(30, FakeRun(state="failed"), later)
    world.pending[1] = [later]
    world.tick(wall=30 * DAY_S - 1)
    assert (later.state, world.pruned) == ("active", [])
    world.tick(wall=30 * DAY_S)
    assert (later.state, world.pruned) == ("cancelled", [])
    assert "run 2 cancelled: behind run 1 (job), which was failed" in caplog.text
    world.tick(wall=30 * DAY_S)
    assert world.pruned == [1]


def test_keeping_for_no_time_still_lets_whoever_waits_see_the_end(rig: Any) -> None:
    world = rig(0, FakeRun())
    world.tick(wall=LEAST_S - 0.1)
    assert world.pruned == []
    world.tick(wall=LEAST_S)
    assert world.pruned == [1]


def test_what_is_not_collected_stays_twice_as_long_and_a_day_at_least(rig: Any) -> None:
    for keep_days, stays_s in ((30, 60 * DAY_S), (0, UNCOLLECTED_S)):
        world = rig(keep_days, FakeRun(collect_cursor=CollectCursor(4)))
        world.tick(wall=stays_s - 1)
        assert world.pruned == []
        world.tick(wall=stays_s)
        assert world.pruned == [1]


def test_a_cancelled_run_waits_for_no_collector(rig: Any) -> None:
    world = rig(1, FakeRun(state="cancelled", collect_cursor=CollectCursor(0)))
    world.tick(wall=DAY_S)
    assert world.pruned == [1]


def test_a_run_that_goes_on_in_the_same_turn_is_not_pruned(rig: Any) -> None:
    run = FakeRun()
    world = rig(1, run)
    world.turn.post = lambda step: (setattr(run, "state", "active"), world._post(step))
    world.tick(wall=DAY_S)
    assert world.pruned == []


def test_all_rows_and_then_all_pages_go_while_nothing_else_is_to_be_done(rig: Any) -> None:
    world = rig(30)
    world.store.rows, world.store.pages = 2_000, 500
    world.tick()
    assert (world.store.rows, world.store.pages) == (0, 0)
    assert [what for what, _ in world.store.steps] == ["rows"] * 4 + ["pages"] * 3


def test_beside_other_work_it_does_one_step_a_tick(rig: Any) -> None:
    world = rig(30)
    world.store.rows = 2_000
    take = world.store._take

    def and_a_turn(what: str, count: int) -> bool:
        world.pruning.after_commit(Changes(), 0.0)
        return bool(take(what, count))

    world.store._take = and_a_turn
    world.tick()
    assert world.store.rows == 1_500
    world.tick(now=1.0)
    assert world.store.rows == 1_000


def test_steps_get_smaller_when_they_take_long(rig: Any) -> None:
    world = rig(30)
    world.store.rows, world.store.cost_s = 10_000, 0.0001  # 50 ms for 500 rows
    world.tick()
    sizes = [count for _, count in world.store.steps]
    assert sizes[:5] == [500, 250, 125, 62, 31]
    assert max(sizes[5:]) <= 62
    assert world.store.rows > 0, "it took no more than its part of a second"


def test_a_pace_grows_back_when_steps_are_short() -> None:
    pace = Pace(500, 20)
    for _ in range(10):
        pace.took(1.0)
    assert pace.size == 20
    for _ in range(10):
        pace.took(0.0)
    assert pace.size == 500


def test_a_full_disk_is_said_once_and_tried_again_later(
    rig: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world = rig(30)
    world.store.rows, world.store.full = 10, "can't write: disk full"
    for now in (0.0, 1.0, RETRY_S, 2 * RETRY_S):
        world.tick(now=now)
    assert [r.message for r in caplog.records] == [
        "can't write: disk full; what was pruned is deleted when it can"
    ]
    world.store.full = ""
    world.tick(now=2 * RETRY_S + 1)
    assert world.store.rows == 10, "it is not tried at once"
    world.tick(now=3 * RETRY_S)
    assert world.store.rows == 0


def test_nothing_is_pruned_while_the_store_takes_nothing(rig: Any) -> None:
    world = rig(1, FakeRun())
    world.turn.trouble = "can't write: disk full"
    world.tick(wall=DAY_S)
    assert world.pruned == []


def test_a_run_whose_finish_has_not_returned_stays_as_long_also_a_cancelled_one(rig: Any) -> None:
    for state in ("done", "cancelled"):
        run = FakeRun(state=state, collect_cursor=CollectCursor(5), options=RunOptions(finish=True))
        world = rig(30, run)
        world.tick(wall=59 * DAY_S)
        assert world.pruned == []
        run.collect_cursor = CollectCursor(closed=True)
        world.tick(wall=59 * DAY_S)
        assert world.pruned == [1]


def test_an_ended_run_leaves_the_memory_soon(rig: Any) -> None:
    world = rig(30, FakeRun(ended_at=100.0))
    world.tick(wall=100.0 + RETIRE_S - 0.1)
    assert list(world.runs) == [1]
    world.tick(wall=100.0 + RETIRE_S)
    assert (list(world.runs), world.pruned) == ([], [])


def test_a_run_that_somebody_has_something_to_do_for_stays_in_memory(rig: Any) -> None:
    waits = FakeRun(1, collect_cursor=CollectCursor(4))
    finishes = FakeRun(2, collect_cursor=CollectCursor(5), options=RunOptions(finish=True))
    world = rig(30, waits, finishes)
    world.tick(wall=DAY_S)
    assert list(world.runs) == [1, 2]


def test_a_run_that_was_collected_is_said_to_be_so_before_it_leaves_the_memory(rig: Any) -> None:
    world = rig(30, FakeRun(collect_cursor=CollectCursor(5)))
    world.tick(wall=DAY_S)
    assert (world.settled, list(world.runs)) == ([1], [1])


def test_runs_that_are_on_disk_alone_are_pruned(rig: Any) -> None:
    world = rig(30)
    run = FakeRun(7)
    world.turn.broker.recall = {7: run}.get
    world.store.old = [7, 8]
    world.tick(wall=30 * DAY_S)
    assert world.pruned == [7]


def test_a_run_whose_results_another_may_take_stays_and_keeps_no_other_from_going(rig: Any) -> None:
    made = rig(1.0, FakeRun(1), FakeRun(2), FakeRun(3))
    made.needed |= {1, 2}
    made.store.old = [2]
    made.tick(2 * DAY_S)
    assert made.pruned == [3]
    made.needed.clear()
    made.tick(2 * DAY_S)
    assert sorted(made.pruned) == [1, 2, 3]


def test_minutes_go_after_a_day_and_the_rows_of_all_runs_with_the_oldest_runs(rig: Any) -> None:
    world = rig(30)
    world.store.minutes = 1_200
    world.tick(wall=40 * DAY_S, now=60.0)
    assert set(world.store.history) == {(40 * DAY_S - FINE_S, 10 * DAY_S)}
    assert world.store.minutes == 0
    looked = len(world.store.history)
    world.tick(wall=40 * DAY_S + 1.0, now=61.0)
    assert len(world.store.history) == looked, "there is nothing new within a minute"
    world.tick(wall=40 * DAY_S + 60.0, now=120.0)
    assert len(world.store.history) == looked + 1


def test_the_rows_of_all_runs_stay_a_day_at_least(rig: Any) -> None:
    world = rig(0)
    world.tick(wall=40 * DAY_S, now=60.0)
    assert world.store.history == [(40 * DAY_S - FINE_S, 39 * DAY_S)]


def test_no_minutes_go_by_a_clock_that_is_not_believed(rig: Any) -> None:
    world = rig(30)
    world.pruning.clock = SimpleNamespace(may_prune=lambda now: False, oldest=lambda wall: wall)
    world.tick(wall=40 * DAY_S, now=60.0)
    assert world.store.history == []

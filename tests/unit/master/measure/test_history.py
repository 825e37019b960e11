"""The history by the minute: which rows there are, over crashes and full disks, and the answers."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from master.history import ALL_RUNS, FINE_S, MINUTE_S, Standing, begin_of
from master.measure.history import HistoryKeeper
from queue_manager import codec
from queue_manager.errors import RefusedError
from queue_manager.wire.history import AskHistory, History, HistoryPoint
from queue_manager.wire.messages import SubmitTasks
from queue_manager.wire.records import Done, Failed, RunOptions
from tests.unit.master.conftest import FakePeer, World, block, reply_to


class Kept:
    """A master whose clock ticks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keeper = HistoryKeeper(world.turn)
        self.keeper.begin()

    async def minute(self) -> None:
        """The minute that goes on comes to its end."""
        wall = self.world.turn.wall
        await self.world.later(begin_of(wall) + MINUTE_S - wall + 0.5)
        self.keeper.tick(0.0)
        await self.world.turns()

    def ask(self, **fields: Any) -> History:
        peer, ask = FakePeer(), AskHistory(7, **fields)
        self.keeper.show(reply_to(peer, ask), ask)
        (answer,) = peer.of(History)
        assert isinstance(answer, History)
        return answer

    def rows(self, run: int = 1) -> list[Any]:
        """The minutes of a run on disk."""
        return self.world.store.read_history(run, 0.0, 2e9, MINUTE_S)

    async def work(self, done: int = 0, failed: int = 0, took_s: float = 1.0) -> None:
        """A worker comes, does tasks of the run, and goes."""
        world = self.world
        peer, worker = world.worker()
        await world.turns()
        for number in range(done + failed):
            world.report(worker, want=1)
            await world.turns()
            lease = peer.leases[-1]
            place = (lease.number, lease.start)
            result = Done(*place, lease.start + 1, codec.encode_batch([0]), took_s)
            outcome = result if number < done else Failed(*place, "ValueError: bad", took_s=took_s)
            world.report(worker, outcome)
            await world.turns()
        world.workers.closed(worker)
        await world.turns()


async def begin(world: World, tasks: int = 9, **options: Any) -> tuple[Kept, Any]:
    kept = Kept(world)
    run = await world.start_run(options=RunOptions(attempts=1, **options))
    world.ask(FakePeer(), SubmitTasks(1, run.id, [block(tasks)]))
    await world.turns()
    return kept, run


def test_a_minute_is_recorded_when_it_is_over(play: Any) -> None:
    async def scene(world: World) -> None:
        kept, run = await begin(world)
        minute = begin_of(world.turn.wall)
        await kept.work(done=2, failed=1)
        assert kept.rows() == []
        await kept.minute()
        (row,) = kept.rows()
        assert (row.at, row.done, row.dead, row.failed, row.busy_s) == (minute, 2, 1, 1, 3.0)
        assert row.standing == Standing(waiting=run.waiting)
        assert (run.waiting, run.leased) == (6, 0)

    play(scene)


def test_an_idle_run_has_no_row_and_all_runs_have_one_each_minute(play: Any) -> None:
    async def scene(world: World) -> None:
        kept, _ = await begin(world)
        world.worker(slots=3)
        for _ in range(3):
            await kept.minute()
        assert len(kept.rows()) == 1
        everyone = kept.rows(ALL_RUNS)
        assert [row.at - everyone[0].at for row in everyone] == [0, 60, 120]
        assert {row.standing for row in everyone} == {Standing(9, workers=1, slots=3)}

    play(scene)


def test_a_run_that_stands_otherwise_has_a_row_though_nothing_was_done(play: Any) -> None:
    async def scene(world: World) -> None:
        kept, run = await begin(world)
        await kept.minute()
        _, worker = world.worker(slots=2)
        world.report(worker, want=1)
        await world.turns()
        await kept.minute()
        first, second = kept.rows()
        assert (first.standing, second.done) == (Standing(9), 0)
        assert second.standing == Standing(9 - run.leased, run.leased, 0, 1, 2)
        assert run.leased

    play(scene)


def test_a_run_that_ends_is_recorded_with_its_end(play: Any) -> None:
    async def scene(world: World) -> None:
        kept, run = await begin(world, tasks=2)
        run.exhausted = True
        await kept.work(done=2)
        assert run.state == "done"
        (row,) = kept.rows()
        assert (row.done, row.standing) == (2, Standing())
        await kept.minute()
        assert len(kept.rows()) == 1
        assert [row.done for row in kept.rows(ALL_RUNS)] == [2]

    play(scene)


def test_a_cancelled_run_is_recorded_too(play: Any) -> None:
    async def scene(world: World) -> None:
        kept, run = await begin(world)
        await kept.work(done=2)
        await world.turn.carry_out(lambda now, wall: world.broker.cancel(run, wall).clear)
        assert [(row.done, row.standing) for row in kept.rows()] == [(2, Standing())]

    play(scene)


def test_after_a_kill_the_last_minute_is_told_of_the_minute_in_which_it_was(play: Any) -> None:
    minutes = []

    async def before(world: World) -> None:
        kept, _ = await begin(world)
        await kept.work(done=1)
        await kept.minute()
        minutes.append(begin_of(world.turn.wall))
        await kept.work(done=2, failed=1)

    async def after(world: World) -> None:
        await world.later(3_600.0)
        kept = Kept(world)
        await world.turns()
        assert [(row.at, row.done, row.dead) for row in kept.rows()][1:] == [(minutes[0], 2, 1)]
        await kept.minute()
        rows = kept.rows(ALL_RUNS)
        assert [row.done for row in rows] == [1, 2, 0]
        assert [row.at for row in rows[:2]] == [minutes[0] - MINUTE_S, minutes[0]]
        assert rows[2].at > minutes[0] + 3_500.0

    play(before, after)


def test_a_run_that_is_tried_again_goes_on_from_what_was_told(play: Any) -> None:
    async def scene(world: World) -> None:
        kept, run = await begin(world, tasks=2)
        run.exhausted = True
        await kept.work(done=1, failed=1)
        assert (run.state, run.dead) == ("failed", 1)
        await world.turn.carry_out(lambda now, wall: partial(int, world.broker.retry(run, wall)))
        await kept.minute()
        await kept.work(failed=1)
        assert (run.state, run.died) == ("failed", 2)
        assert [(row.done, row.dead, row.failed) for row in kept.rows()] == [(1, 1, 1), (0, 1, 1)]

    play(scene)


def test_a_full_disk_makes_one_row_later_and_nothing_is_counted_twice(play: Any) -> None:
    async def scene(world: World) -> None:
        kept, _ = await begin(world)
        await kept.work(done=3)
        world.store.full = True
        for _ in range(4):
            await kept.minute()
        assert kept.rows() == []
        world.store.full = False
        await world.later(1.0)
        await kept.minute()
        assert [row.done for row in kept.rows()] == [3]
        assert [row.done for row in kept.rows(ALL_RUNS)][:1] == [3]
        assert len(kept.rows(ALL_RUNS)) == 2

    play(scene)


# --- what is answered ---


def test_the_minute_that_goes_on_is_in_the_answer(play: Any) -> None:
    async def scene(world: World) -> None:
        kept, run = await begin(world)
        await kept.work(done=2)
        await kept.minute()
        await kept.work(done=1)
        minute = begin_of(world.turn.wall)
        answer = kept.ask(run=1)
        assert (answer.seq, answer.step_s, answer.now_at) == (7, 60, world.turn.wall)
        first, last = answer.points
        assert (first.done, first.at) == (2, minute - MINUTE_S)
        assert last == HistoryPoint(minute, 1, 0, 0, 1.0, run.waiting, 0, 0, 0, 0)
        assert sum(point.done for point in kept.ask().points) == 3
        (whole,) = kept.ask(run=1, step_s=86_400.0).points
        assert (whole.done, whole.waiting) == (3, run.waiting)
        assert [p.done for p in kept.ask(run=1, until_at=float(minute)).points] == [2]

    play(scene)


@pytest.mark.parametrize(
    ("since_s", "wanted_s", "step_s"),
    [
        (3_600.0, 60.0, 60),
        (86_400.0, 60.0, 60),
        (86_400.0, 90.0, 120),
        (FINE_S + 60.0, 60.0, 600),
        (7 * 86_400.0, 60.0, 600),
        (31 * 86_400.0, 60.0, 1_800),
        (10 * 366 * 86_400.0, 60.0, 3 * 86_400),
        (3_600.0, 100_000.0, 2 * 86_400),
    ],
)
def test_an_answer_has_steps_that_its_rows_have_and_never_too_many(
    play: Any, since_s: float, wanted_s: float, step_s: int
) -> None:
    async def scene(world: World) -> None:
        wall = world.turn.wall
        world.turn._wall_behind += 2e9 - wall
        answer = Kept(world).ask(since_at=2e9 - since_s, step_s=wanted_s)
        assert answer.step_s == step_s
        assert since_s / answer.step_s <= 1_498

    play(scene)


@pytest.mark.parametrize(
    "fields",
    [
        {"since_at": 9e9},
        {"since_at": float("nan")},
        {"since_at": -5.0},
        {"until_at": float("-inf")},
        {"step_s": float("nan")},
        {"step_s": -1.0},
        {"step_s": 1e300},
        {"run": 99},
    ],
)
def test_what_is_no_time_or_no_run_is_refused(play: Any, fields: dict[str, Any]) -> None:
    async def scene(world: World) -> None:
        with pytest.raises(RefusedError, match=r"no time of a history|no run 99"):
            Kept(world).ask(**fields)

    play(scene)

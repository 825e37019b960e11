"""Dead letters of a run are tried again, as if for the first time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from master.server.runs.run_control import RunControl
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import RetryRun, SubmitTasks
from queue_manager.wire.records import Failed, GroupLimit, RunOptions
from tests.unit.master.conftest import FakePeer, World, reply_to
from tests.unit.master.desk import WALL, Desk, block, counts, tasks

from .runs.test_broker_runs import ended


def test_dead_letters_are_tried_again_as_if_for_the_first_time() -> None:
    desk = Desk()
    run = ended(desk, dead=2, done=1)
    assert desk.broker.retry(run, desk.wall) == 2
    session = desk.session()
    assert run.active
    assert counts(run) == {"tasks": 3, "waiting": 2, "done": 1}
    assert desk.restarted().broker.runs[run.id].active
    lease = desk.lease(session)
    assert lease.tracked is not None
    assert (lease.tracked.attempts, lease.tracked.losses) == (0, 0)
    desk.done(lease)
    desk.done(desk.lease(session))
    desk.commit()
    assert (run.state, run.done) == ("done", 3)


def test_a_retry_over_the_wire_finds_dead_letters_of_groups_that_nobody_remembers(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        options = RunOptions(attempts=1, per_group=GroupLimit(at_once=1))
        run = await world.start_run(options=options)
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1, group="a")]))
        peer, worker = world.worker()
        world.report(worker, want=2)
        await world.turns()
        world.report(worker, Failed(peer.leases[0].number, 0, "bad"))
        await world.turns()
        assert not run.groups.lanes
        nobody: Any = SimpleNamespace(
            start=print, recheck=lambda run: asyncio.sleep(0), lives=lambda run: False
        )
        control = RunControl(world.turn, world.workers, nobody, nobody)
        message = RetryRun(2, run.id)
        control.retry(reply_to(FakePeer(), message), message)
        await world.turns(5)
        assert len(peer.leases) == 2

    play(scene)


def test_a_retry_is_there_only_when_it_is_on_disk() -> None:
    desk = Desk()
    run = ended(desk, dead=1)
    desk.broker.retry(run, desk.wall)
    desk.commit()
    assert desk.leases(desk.session()) == [[1]]
    desk = Desk()
    run, session = ended(desk, dead=1), desk.session()
    desk.broker.retry(run, desk.wall)
    assert desk.leases(session) == []
    desk.broker.rolled_back()
    assert (run.state, counts(run)) == ("failed", {"tasks": 1, "dead": 1})
    assert run not in desk.broker.roster.rotation
    assert (run.ended_at, run.tracked) == (WALL, 0)


def test_a_retry_of_an_active_run_leaves_its_other_tracked_tasks_as_they_are() -> None:
    desk = Desk(attempts=2)
    session = desk.session()
    desk.submit(3)
    desk.fail(desk.lease(session), reject=True)
    desk.fail(desk.lease(session), delay_s=60.0)
    held = desk.lease(session)
    desk.fail(held, delay_s=0.0)
    desk.later(0.0)
    held = desk.lease(session)
    assert tasks(held) == [3]
    assert desk.broker.retry(desk.run, desk.wall) == 1
    desk.commit()
    assert counts(desk.run) == {"tasks": 3, "waiting": 1, "leased": 1, "delayed": 1}
    assert desk.leases(session) == [[1]]
    desk.later(60.0)
    assert desk.leases(session) == [[2]]
    assert desk.done(held)


def test_a_dead_letter_of_this_very_turn_is_not_tried_again() -> None:
    """It is not on disk yet, where the others are looked for."""
    desk = Desk(attempts=1)
    session = desk.session()
    desk.submit(2)
    desk.fail(desk.lease(session))
    desk.commit()
    desk.fail(desk.lease(session))
    assert desk.broker.retry(desk.run, desk.wall) == 1
    desk.commit()
    assert counts(desk.run) == {"tasks": 2, "waiting": 1, "dead": 1}
    assert desk.leases(session) == [[1]]
    assert counts(desk.restarted().run)["dead"] == 1


def test_a_retry_without_dead_letters_changes_nothing() -> None:
    desk = Desk()
    run = ended(desk, done=1)
    assert desk.broker.retry(run, desk.wall) == 0
    assert not desk.broker.changes.must_commit
    assert run.state == "done"


def test_dead_letters_of_limited_groups_wait_in_their_groups_again() -> None:
    desk = Desk(attempts=1, per_group=GroupLimit(at_once=1))
    session = desk.session()
    for group in "ab":
        desk.submit(1, group=group)
    for _ in range(2):
        desk.fail(desk.lease(session))
        desk.commit()
    desk.broker.exhaust(desk.run)
    desk.commit()
    assert desk.run.state == "failed"
    assert desk.broker.retry(desk.run, desk.wall) == 2
    desk.commit()
    leases = [desk.lease(session) for _ in range(2)]
    assert [lease.lane.group for lease in leases] == ["a", "b"]


def test_only_the_named_dead_letters_are_tried_again() -> None:
    desk = Desk(attempts=1)
    run = ended(desk, dead=4, done=1)
    assert desk.broker.retry(run, desk.wall, [(2, None), (4, None)], reason="mended") == 2
    assert desk.broker.retry(run, desk.wall, [(4, None), (3, None)]) == 1, "4 is there already"
    assert desk.broker.retry(run, desk.wall, [(2, None)]) == 0
    session = desk.session()
    assert counts(run) == {"tasks": 5, "waiting": 3, "done": 1, "dead": 1}
    desk.commit()
    leases = [desk.lease(session) for _ in range(3)]
    told = {lease.tracked.task: lease.tracked.reason for lease in leases if lease.tracked}
    assert told == {2: "mended", 3: "", 4: "mended"}
    assert desk.restarted().broker.runs[run.id].dead == 1
    for lease in leases:
        desk.done(lease)
    desk.commit()
    assert (run.state, run.done, run.dead) == ("failed", 4, 1)


def test_all_that_are_left_may_be_tried_again_behind_some() -> None:
    desk = Desk(attempts=1)
    run = ended(desk, dead=3)
    assert desk.broker.retry(run, desk.wall, [(2, None)], reason="one") == 1
    assert desk.broker.retry(run, desk.wall, reason="all") == 2
    assert desk.broker.retry(run, desk.wall, [(1, None)]) == 0
    desk.commit()
    session = desk.session()
    leases = [desk.lease(session) for _ in range(3)]
    told = {lease.tracked.task: lease.tracked.reason for lease in leases if lease.tracked}
    assert told == {1: "all", 2: "one", 3: "all"}


def test_a_task_keeps_the_reason_of_its_retry_until_the_next_one() -> None:
    desk = Desk(attempts=2)
    session = desk.session()
    desk.submit(1)
    desk.fail(desk.lease(session), reject=True)
    desk.commit()
    desk.broker.retry(desk.run, desk.wall, reason="mended")
    desk.commit()
    desk.fail(desk.lease(session), delay_s=0.0)
    desk.commit()
    desk = desk.restarted()
    session = desk.session()
    desk.later(0.0)
    lease = desk.lease(session)
    assert lease.tracked is not None
    assert (lease.tracked.attempts, lease.tracked.reason) == (1, "mended")
    desk.fail(lease)
    desk.commit()
    assert desk.broker.retry(desk.run, desk.wall) == 1
    desk.commit()
    again = desk.lease(session).tracked
    assert again is not None
    assert again.reason == ""


def test_parts_of_a_retry_do_not_read_a_lane_anew_that_reads_on_by_itself() -> None:
    """A retry of a million letters comes in hundreds of parts."""
    desk = Desk(attempts=1)
    run = ended(desk, dead=3)
    lane = run.lane.tracked
    desk.broker.retry(run, desk.wall, [(1, None)])
    desk.commit()
    lane.more_on_disk, lane.disk_cursor = True, (desk.wall - 1.0, 0)
    in_memory = dict(lane.in_memory)
    assert in_memory
    desk.broker.retry(run, desk.wall, [(2, None)])
    desk.broker.committed()
    assert lane.in_memory == in_memory
    lane.disk_cursor = (desk.wall, 7)
    desk.broker.retry(run, desk.wall, [(3, None)])
    desk.broker.committed()
    assert (lane.in_memory, lane.disk_cursor) == ({}, None)


@pytest.mark.parametrize("state", ["cancelled", "pruned"])
def test_a_run_of_which_tasks_are_gone_is_not_retried(state: str) -> None:
    desk = Desk()
    run = ended(desk, dead=1, key="k")
    if state == "pruned":
        desk.broker.prune(run)
    else:
        run = desk.run
        desk.broker.cancel(run, WALL)
    desk.commit()
    with pytest.raises(RefusedError, match=state):
        desk.broker.retry(run, WALL)

"""Limits that groups have of their own, and pauses that tasks asked for."""

from __future__ import annotations

from typing import Any

import pytest

from master.broker.lanes.groups import _SPARE
from master.broker.leases.lease import Lease, Session
from master.changes import GroupRecord
from queue_manager.wire.records import Done, Failed, GroupLimit, RunOptions
from tests.unit.master.conftest import World
from tests.unit.master.desk import Desk, held
from tests.unit.master.server.workers.test_workers import ONE, leased

ONE_A_MINUTE = GroupLimit(None, 60.0)


def limited(every_s: float = 0.0, at_once: int | None = None, **groups: int) -> Desk:
    """So many tasks of each group wait."""
    desk = Desk(per_group=GroupLimit(at_once, every_s))
    for group, count in groups.items():
        desk.submit(count, group=group)
    return desk


def set_limits(desk: Desk, **limits: GroupLimit) -> None:
    desk.broker.set_limits(desk.run, limits)
    desk.commit()


def starts(desk: Desk, session: Session) -> list[int]:
    """The tasks that start at once; each is done at once."""
    return desk.drain(session)


def retry(desk: Desk, lease: Lease, delay_s: float) -> None:
    desk.fail(lease, delay_s=delay_s, whole_group=True)
    desk.commit()


# --- limits ---


def test_a_limit_of_its_own_holds_for_one_group_alone() -> None:
    desk = limited(a=4, b=2)
    session = desk.session(9)
    set_limits(desk, a=GroupLimit(2))
    assert sorted(desk.leases(session)) == [[1], [2], [5], [6]]


def test_a_group_is_let_go_as_soon_as_its_limit_says() -> None:
    desk = limited(at_once=1, a=4)
    session = desk.session(9)
    assert desk.leases(session) == [[1]]
    set_limits(desk, a=GroupLimit(3))
    assert desk.leases(session) == [[2], [3]]
    set_limits(desk, a=GroupLimit(1))
    assert desk.leases(session) == []


@pytest.mark.parametrize("every_s", [0.0, 2.0, 9.0])
def test_a_begun_pause_is_as_long_as_the_new_limit_says(every_s: float) -> None:
    desk = limited(5.0, a=2)
    session = desk.session()
    assert starts(desk, session) == [1]
    desk.later(1.0)
    set_limits(desk, a=GroupLimit(None, every_s))
    wait_s = max(0.0, every_s - 1.0)
    if wait_s:
        assert desk.broker.next_due in (desk.now + wait_s, 105.0), "at the old end at the latest"
        desk.later(wait_s - 0.01)
        assert starts(desk, session) == []
        desk.later(0.01)
    assert starts(desk, session) == [2]


def test_a_group_pauses_by_its_own_limit_though_it_had_nothing_to_do_meanwhile() -> None:
    """Also when others started since: their starts are not its own."""
    desk = limited(a=1, b=1)
    session = desk.session()
    set_limits(desk, a=GroupLimit(None, 5.0))
    assert sorted(starts(desk, session)) == [1, 2]
    desk.later(5.0)  # the lane of `a` goes
    desk.submit(1, group="b")
    assert starts(desk, session) == [3]
    desk.submit(2, group="a")
    assert starts(desk, session) == [4], "5 s after task 1"
    desk.later(4.9)
    assert starts(desk, session) == []
    desk.later(0.1)
    assert starts(desk, session) == [5]


def test_a_longer_limit_counts_from_a_start_before_the_group_had_nothing_to_do() -> None:
    desk = limited(a=1)
    session = desk.session()
    set_limits(desk, a=GroupLimit(None, 5.0))
    assert starts(desk, session) == [1]
    desk.later(5.0)  # its lane goes
    set_limits(desk, a=GroupLimit(None, 20.0))
    desk.submit(1, group="a")
    assert starts(desk, session) == []
    desk.later(15.0)
    assert starts(desk, session) == [2]


def test_a_changed_file_changes_the_groups_without_a_limit_of_their_own() -> None:
    desk = limited(a=3, b=3)
    set_limits(desk, a=GroupLimit(2))
    desk.broker.set_code(desk.run, "v", RunOptions(per_group=GroupLimit(1)))
    desk.commit()
    assert sorted(desk.leases(desk.session(9))) == [[1], [2], [4]]


def test_the_same_limit_again_is_not_written() -> None:
    desk = limited(a=1)
    set_limits(desk, a=GroupLimit(2))
    desk.broker.set_limits(desk.run, {"a": GroupLimit(2)})
    assert not desk.broker.changes.groups
    desk.broker.set_limits(desk.run, {"a": GroupLimit(2, 1.0)})
    assert desk.broker.changes.groups == {(1, "a"): GroupRecord(GroupLimit(2, 1.0))}


@pytest.mark.parametrize("before", [None, GroupLimit(2)])
def test_a_limit_whose_commit_fails_was_never_set(before: GroupLimit | None) -> None:
    desk = limited(at_once=1, a=9)
    session = desk.session(9)
    if before is not None:
        set_limits(desk, a=before)
    desk.broker.set_limits(desk.run, {"a": GroupLimit(5)})
    desk.broker.rolled_back()
    assert len(desk.leases(session)) == (1 if before is None else 2)


def test_a_claim_beside_a_limit_whose_commit_fails_leaves_the_old_limit() -> None:
    """The claim has looked at the lane under the new one."""
    first = limited(every_s=60.0, a=3)
    lease = first.lease(first.session(worker="w"))
    desk = first.restarted()
    session = desk.session(9)
    desk.broker.set_limits(desk.run, {"a": GroupLimit(9)})
    assert desk.claim(session, held(lease))
    desk.broker.rolled_back()
    assert desk.leases(session) == [], "each group pauses after a restart"


def test_limits_are_there_after_a_restart_and_each_group_pauses_by_its_own() -> None:
    desk = limited(at_once=1, a=3, b=3)
    set_limits(desk, a=GroupLimit(2, 3.0))
    desk = desk.restarted()
    session = desk.session(9)
    assert desk.leases(session) == [[4]]
    desk.later(3.0)
    assert desk.leases(session) == [[1]]
    desk.later(3.0)
    assert desk.leases(session) == [[2]]


def test_limits_hold_again_when_an_ended_run_is_retried() -> None:
    desk = limited(at_once=1, a=4)
    desk.run.options = RunOptions(attempts=1, per_group=GroupLimit(1))
    set_limits(desk, a=GroupLimit(2))
    session = desk.session(9)
    while leases := [lease for _ in range(2) if (lease := desk.broker.lease(session, desk.now))]:
        for lease in leases:
            desk.fail(lease)
        desk.commit()
    desk.broker.exhaust(desk.run)
    desk.commit()
    assert desk.run.state == "failed"
    assert not desk.run.groups.limits.own, "an ended run keeps nothing in memory"  # type: ignore[union-attr]
    assert desk.broker.retry(desk.run, desk.wall) == 4
    desk.commit()
    assert len(desk.leases(session)) == 2


def test_pauses_that_become_shorter_again_and_again_leave_nothing() -> None:
    desk = limited(60.0, a=2)
    assert starts(desk, desk.session()) == [1]
    for n in range(200):
        set_limits(desk, a=GroupLimit(None, 59.0 - n / 10))
    groups = desk.run.groups
    assert groups is not None
    assert len(groups._paused) <= _SPARE + 3


# --- pauses ---


def test_a_task_can_have_its_whole_group_wait() -> None:
    desk = limited(a=3, b=2)
    session, other = desk.session(9), desk.session(9)
    retry(desk, desk.lease(session), 5.0)
    assert sorted(desk.leases(other)) == [[4], [5]]
    assert desk.broker.next_due == desk.now + 5.0
    desk.later(4.9)
    assert desk.leases(other) == []
    desk.later(0.1)
    assert sorted(desk.leases(other)) == [[1], [2], [3]]


def test_the_try_that_asks_for_a_pause_is_charged_and_the_last_one_pauses_too() -> None:
    desk = limited(a=2)
    desk.run.options = RunOptions(attempts=1, per_group=GroupLimit())
    session = desk.session(9)
    retry(desk, desk.lease(session), 5.0)
    assert (desk.run.dead, desk.leases(session)) == (1, [])
    desk.later(5.0)
    assert desk.leases(session) == [[2]]


def test_pauses_only_get_longer() -> None:
    desk = limited(a=9)
    session = desk.session(9)
    leases = [desk.lease(session) for _ in range(3)]
    for lease, delay_s in zip(leases, (5.0, 2.0, 7.0), strict=True):
        retry(desk, lease, delay_s)
    assert desk.store.own_groups(1)["a"].delay_s == 7.0
    desk.later(6.9)
    assert desk.leases(session) == []
    desk.later(0.1)
    assert desk.leases(session)


def test_a_shorter_pause_is_not_even_written() -> None:
    desk = limited(a=9)
    session = desk.session(9)
    first, second = desk.lease(session), desk.lease(session)
    retry(desk, first, 5.0)
    desk.fail(second, delay_s=4.0, whole_group=True)
    assert not desk.broker.changes.groups


def test_a_pause_and_a_limit_of_the_same_group_hold_both_in_any_order() -> None:
    for limit_first in (True, False):
        desk = limited(a=9)
        session = desk.session(9)
        lease = desk.lease(session)
        if limit_first:
            set_limits(desk, a=GroupLimit(1))
        retry(desk, lease, 5.0)
        if not limit_first:
            set_limits(desk, a=GroupLimit(1))
        assert desk.leases(session) == []
        desk.later(5.0)
        assert len(desk.leases(session)) == 1
        assert desk.store.own_groups(1)["a"] == GroupRecord(GroupLimit(1), 5.0, desk.wall)


def test_a_pause_goes_on_after_a_restart_for_what_is_left_of_it() -> None:
    desk = limited(a=2)
    retry(desk, desk.lease(desk.session()), 5.0)
    desk.now, desk.wall = 7.0, desk.wall + 2.0  # another boot of the machine
    desk = desk.restarted()
    session = desk.session()
    desk.later(2.9)
    assert desk.leases(session) == []
    desk.later(0.1)
    assert len(desk.leases(session)) == 2


def test_a_pause_whose_commit_fails_was_never_there() -> None:
    desk = limited(a=2)
    session = desk.session(9)
    desk.fail(desk.lease(session), delay_s=5.0, whole_group=True)
    desk.broker.rolled_back()
    assert desk.leases(session) == [[2]]


def test_what_is_over_leaves_memory() -> None:
    desk = limited(a=1, b=1)
    session = desk.session(9)
    leases = [desk.lease(session), desk.lease(session)]
    for lease in leases:
        retry(desk, lease, 5.0)
    groups = desk.run.groups
    assert groups is not None
    assert set(groups.limits.own) == {"a", "b"}
    desk.later(5.0)
    assert len(starts(desk, session)) == 2
    assert not groups.limits.own
    assert not groups.lanes


@pytest.mark.parametrize("options", [{}, {"per_group": GroupLimit()}], ids=["plain", "limited"])
def test_for_a_task_without_a_group_it_is_a_plain_retry(options: dict[str, Any]) -> None:
    desk = Desk(**options)
    desk.submit(2)
    session = desk.session(9)
    retry(desk, desk.lease(session), 5.0)
    found = desk.leases(session)
    desk.later(5.0)
    assert sorted(found + desk.leases(session)) == [[1], [2]]
    assert not desk.store.own_groups(1)


# --- what workers report ---


def test_a_result_sets_limits_in_its_own_transaction(play: Any) -> None:
    async def scene(world: World) -> None:
        run, _, worker, lease = await leased(world, options=RunOptions(per_group=GroupLimit()))
        commits = world.store.commits
        world.report(worker, Done(lease.number, 0, 1, ONE, 0.1, [], {"a": ONE_A_MINUTE}))
        await world.turns()
        assert (run.done, world.store.commits) == (1, commits + 1)
        assert world.store.own_groups(1) == {"a": GroupRecord(ONE_A_MINUTE)}

    play(scene)


def test_limits_of_an_old_lease_are_not_set(play: Any) -> None:
    async def scene(world: World) -> None:
        _, _, worker, lease = await leased(world, options=RunOptions(per_group=GroupLimit()))
        for _ in range(2):
            world.report(worker, Done(lease.number + 1, 0, 1, ONE, 0.1, [], {"a": ONE_A_MINUTE}))
            world.report(worker, Done(lease.number, 0, 1, ONE, 0.1))
        world.report(worker, Done(lease.number, 0, 1, ONE, 0.1, [], {"a": ONE_A_MINUTE}))
        await world.turns()
        assert world.store.own_groups(1) == {}

    play(scene)


def test_limits_in_a_run_without_groups_are_a_failed_attempt_with_one_clear_line(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        run, _, worker, lease = await leased(world, options=RunOptions(attempts=1))
        world.report(worker, Done(lease.number, 0, 1, ONE, 0.1, [], {"a": ONE_A_MINUTE}))
        await world.turns()
        assert (run.done, run.dead) == (0, 1)
        tracked = world.store.read_task(1, 1).tracked  # type: ignore[union-attr]
        assert tracked is not None
        assert tracked.error.startswith("Result(limits=...) needs OPTIONS = Options(per_group=")

    play(scene)


def test_a_whole_group_that_is_none_is_said_beside_the_retry(play: Any) -> None:
    async def scene(world: World) -> None:
        _, _, worker, lease = await leased(world)
        world.report(worker, Failed(lease.number, 0, "Retry", delay_s=9.0, whole_group=True))
        await world.turns()
        tracked = world.store.read_task(1, 1).tracked  # type: ignore[union-attr]
        assert tracked is not None
        assert tracked.error == (
            "Retry; its group goes on, for this run began without OPTIONS.per_group"
        )

    play(scene)


def test_a_whole_group_waits_for_all_workers(play: Any) -> None:
    async def scene(world: World) -> None:
        options = RunOptions(per_group=GroupLimit(1))
        _, _, worker, lease = await leased(world, 3, options, group="a")
        peer, other = world.worker()
        world.report(other, want=2)
        world.report(worker, Failed(lease.number, 0, "Retry", delay_s=9.0, whole_group=True))
        await world.turns()
        assert peer.leases == []
        await world.later(9.1)
        assert len(peer.leases) == 1

    play(scene)


def test_a_pause_counts_from_the_end_of_a_task_that_waited_in_its_worker() -> None:
    """It was leased before its group had pauses. It may have started just before its end."""
    desk = Desk(per_group=GroupLimit(at_once=1))
    desk.submit(2, group="a")
    session = desk.session()
    lease = desk.lease(session)
    assert lease.may_wait
    set_limits(desk, a=GroupLimit(1, 5.0))
    desk.later(20.0)
    desk.done(lease)
    desk.commit()
    assert desk.leases(session) == []
    desk.later(4.9)
    assert desk.leases(session) == []
    desk.later(0.2)
    assert desk.leases(session) == [[2]]


def test_a_task_that_certainly_waited_all_the_time_makes_no_pause() -> None:
    desk = Desk(per_group=GroupLimit(at_once=1))
    desk.submit(2, group="a")
    session = desk.session()
    lease = desk.lease(session)
    set_limits(desk, a=GroupLimit(1, 5.0))
    desk.later(20.0)
    desk.release(lease, unstarted=True)
    desk.commit()
    assert desk.leases(session) == [[1]]

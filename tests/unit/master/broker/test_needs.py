"""Unequal machines: tasks go only to sessions that have the tags which their run needs."""

from __future__ import annotations

from typing import Any

import pytest

from master.broker.leases.lease import Session
from master.broker.leases.quarantine import RESERVE_S
from queue_manager.wire.records import GroupLimit, RunOptions
from tests.unit.master.desk import Desk, block, held, tasks

GPU = frozenset({"gpu"})
BOTH = frozenset({"gpu", "bigmem"})
OTHERS = frozenset({"bigmem", "ssd"})


def lose(desk: Desk, times: int) -> None:
    """The first task is lost so often, with workers that have all tags."""
    for _ in range(times):
        session = desk.session(tags=BOTH)
        while 1 not in tasks(desk.lease(session)):
            pass
        desk.drop(session)
        desk.commit()


def quarantined() -> Desk:
    """A run that needs a gpu, whose one task is a quarantined task."""
    desk = Desk(needs=["gpu"], losses=3)
    desk.submit(1)
    lose(desk, 1)
    return desk


def busy_session(desk: Desk, **fields: Any) -> Session:
    session = desk.session(**fields)
    session.leases[-1] = object()  # type: ignore[assignment]
    return session


def test_tasks_go_only_where_all_tags_are_that_their_run_needs() -> None:
    desk = Desk(needs=["bigmem", "gpu"])
    desk.submit(3)
    for tags in (frozenset[str](), GPU, OTHERS):
        assert desk.leases(desk.session(tags=tags)) == []
    assert desk.broker.any_ready
    assert desk.leases(desk.session(tags=BOTH | {"ssd"})) == [[1], [2], [3]]


def test_a_run_without_needs_goes_anywhere() -> None:
    desk = Desk()
    desk.submit(2)
    assert desk.leases(desk.session(tags=GPU), 1) == [[1]]
    assert desk.leases(desk.session()) == [[2]]


def test_a_run_that_nobody_here_may_have_holds_up_no_other() -> None:
    desk = Desk(needs=["gpu"])
    desk.submit(2)
    other = desk.new_run("other")
    desk.submit(2, other)
    assert [lease.run for lease in (desk.lease(desk.session()),)] == [other]
    assert tasks(desk.lease(desk.session(tags=GPU))) == [1]


@pytest.mark.usefixtures("apart")
def test_several_small_blocks_at_once_are_of_the_run_that_may_be_had() -> None:
    desk = Desk(needs=["gpu"])
    for _ in range(4):
        desk.submit(1)
    desk.run.size = 8
    assert desk.broker.leases(desk.session(), desk.now) == []
    found = desk.broker.leases(desk.session(tags=GPU), desk.now)
    assert [tasks(lease) for lease in found] == [[1], [2]]


def test_limited_groups_keep_to_the_tags() -> None:
    desk = Desk(needs=["gpu"], per_group=GroupLimit(at_once=1))
    desk.submit(2, group="a")
    assert desk.leases(desk.session()) == []
    assert desk.leases(desk.session(tags=GPU)) == [[1]]


def test_what_left_the_plain_way_keeps_to_the_tags() -> None:
    """Failed, lost, delayed, given back: after a restart, too."""
    desk = Desk(needs=["gpu"])
    tagged = desk.session(tags=GPU)
    desk.submit(1)
    desk.submit(1, delay_s=1.0)
    desk.fail(desk.lease(tagged), delay_s=1.0)
    desk.commit()
    desk.submit(1)
    desk.lease(tagged)
    desk.submit(1)
    desk.release(desk.lease(tagged))
    desk.drop(tagged)
    desk.later(1.0)
    assert desk.leases(desk.session()) == []
    desk = desk.restarted()
    assert desk.leases(desk.session()) == []
    assert sorted(desk.leases(desk.session(tags=GPU))) == [[1], [2], [3], [4]]


def test_a_quarantined_task_goes_only_to_one_that_has_the_tags() -> None:
    desk = quarantined()
    untagged, tagged = desk.session(), desk.session(tags=GPU)
    assert desk.leases(untagged) == []
    assert desk.leases(tagged) == [[1]]


def test_after_any_time_a_quarantined_task_does_not_go_where_the_tags_are_not() -> None:
    desk = quarantined()
    busy = busy_session(desk)
    desk.later(RESERVE_S)
    assert desk.leases(busy) == []
    assert desk.leases(busy_session(desk, tags=GPU)) == [[1]]


def test_none_is_kept_free_for_a_quarantined_task_that_it_may_not_have() -> None:
    desk = quarantined()
    other = desk.new_run("other")
    desk.submit(2, other)
    assert desk.leases(busy_session(desk)) == [[1], [2]]
    assert desk.leases(busy_session(desk, tags=GPU)) == []


def test_an_idle_one_without_the_tags_does_not_keep_another_from_being_kept_free() -> None:
    desk = quarantined()
    desk.submit(1, desk.new_run("other"))
    desk.session()
    assert desk.leases(busy_session(desk, tags=GPU)) == []


def test_one_that_is_kept_free_goes_on_when_the_run_comes_to_need_more() -> None:
    desk = quarantined()
    other = desk.new_run("other")
    desk.submit(1, other)
    kept = busy_session(desk, tags=GPU)
    assert desk.leases(kept) == []
    desk.broker.set_code(desk.run, "v2", RunOptions(needs=["ssd"], losses=3))
    desk.commit()
    assert [lease.run for lease in [desk.lease(kept)]] == [other]


def test_what_a_worker_holds_goes_on_whatever_its_run_needs_by_now() -> None:
    desk = Desk()
    worker = desk.session(worker="w")
    desk.submit(2)
    leases = [desk.lease(worker), desk.lease(worker)]
    desk.broker.set_code(desk.run, "v2", RunOptions(needs=["gpu"]))
    desk.commit()
    again = Session(77, 1, worker="w")
    desk.broker.enter(again)
    assert len(desk.broker.resume(worker, again, [held(one) for one in leases])) == 2
    desk.commit()
    desk = desk.restarted()
    back = desk.session(worker="w")
    assert len(desk.claim(back, *(held(one) for one in leases))) == 2
    assert all(desk.done(lease) for lease in list(back.leases.values()))


def test_what_a_run_needs_follows_the_jobs_file_and_survives_a_restart() -> None:
    desk = Desk(needs=["gpu"])
    desk.submit(3)
    desk.broker.set_code(desk.run, "v2", RunOptions(needs=["bigmem"]))
    desk.commit()
    assert desk.leases(desk.session(tags=GPU)) == []
    assert desk.leases(desk.session(tags=OTHERS), 1) == [[1]]
    desk = desk.restarted()
    assert desk.leases(desk.session(tags=GPU)) == []
    assert len(desk.leases(desk.session(tags=OTHERS))) == 3
    desk.broker.set_code(desk.run, "v3", RunOptions())
    desk.submit(1)
    assert desk.leases(desk.session()) == [[4]]


def test_a_share_counts_the_slots_that_could_run_the_run() -> None:
    desk = Desk(needs=["gpu"])
    other = desk.new_run("other")
    desk.submit(80)
    desk.submit(80, other)
    desk.run.size = other.size = 1_000
    desk.session(6)
    desk.session(5, tags=OTHERS)
    first, _ = desk.session(1, tags=GPU), desk.session(3, tags=BOTH)
    assert tasks(desk.lease(first)) == list(range(1, 21))
    assert tasks(desk.lease(desk.session(0))) == list(range(1, 7))


def test_a_share_grows_when_slots_with_the_tags_go_but_not_when_that_is_rolled_back() -> None:
    desk = Desk(needs=["gpu"])
    desk.submit(80)
    desk.run.size = 1_000
    stays, goes = desk.session(1, tags=GPU), desk.session(3, tags=GPU)
    desk.drop(goes)
    desk.broker.rolled_back()
    assert len(tasks(desk.lease(stays))) == 20
    desk.drop(goes)
    desk.commit()
    assert len(tasks(desk.lease(stays))) == 60
    desk.drop(stays)
    desk.commit()
    assert not desk.broker.attendance._tagged_slots


@pytest.mark.parametrize("needs", [[], ["gpu"]])
def test_stock_clients_get_nothing_of_a_run_that_needs_a_tag(needs: list[str]) -> None:
    desk = Desk("job", needs=needs)
    desk.submit(1)
    stock = desk.session(0, stock=True)
    assert desk.leases(stock) == ([] if needs else [[1]])
    desk.broker.submit(desk.broker.runs[0], block(1), desk.now, desk.wall, False)
    desk.commit()
    assert [lease.run.id for lease in [desk.lease(stock)]] == [0]


def test_what_the_job_needs_holds_for_our_workers_in_the_queue_run_too() -> None:
    """They run its tasks with the job's code, a stock client with its own."""
    desk = Desk("job")
    queue = desk.broker.runs[0]
    queue.job = "job"
    desk.broker.set_code(queue, "v", RunOptions(needs=["gpu"]))
    for _ in range(2):
        desk.broker.submit(queue, block(1), desk.now, desk.wall, False)
    desk.commit()
    assert desk.leases(desk.session()) == []
    assert desk.leases(desk.session(tags=GPU), 1) == [[1]]
    assert desk.leases(desk.session(0, stock=True)) == [[2]]


# --- since when the next task of a lease runs ---


def test_the_next_task_of_a_lease_begins_when_the_one_before_it_has_ended() -> None:
    desk = Desk()
    desk.submit(8)
    desk.run.size = 8
    lease = desk.lease(desk.session())
    begun = desk.now
    desk.later(2.0)
    assert lease.begun == begun
    desk.done(lease, 0, 2)
    desk.commit()
    assert lease.begun == desk.now
    begun = desk.now
    desk.later(1.0)
    desk.broker.release(lease.session, lease.number, 5, 8, "")
    desk.commit()
    assert lease.begun == begun, "what goes back had not begun"
    desk.later(1.0)
    desk.fail(lease, 2)
    desk.broker.rolled_back()
    assert lease.begun == begun
    desk.fail(lease, 2)
    desk.commit()
    assert lease.begun == desk.now

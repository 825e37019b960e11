"""The journal: each verb of the broker moves the mark, and a roll-back leaves nothing staged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from master.broker.leases.lease import Lease, Session
from master.changes import Changes, QuotaCounts
from queue_manager.wire.records import GroupLimit, RunOptions
from tests.unit.master.desk import NOW, WALL, Desk, held

Verb = Callable[[Desk, Lease], object]

VERBS: dict[str, Verb] = {
    "submit": lambda desk, lease: desk.stage(1),
    "submit with a delay": lambda desk, lease: desk.stage(1, delay_s=1.0),
    "count quotas": lambda desk, lease: desk.broker.count_quotas(
        desk.run, {"q": QuotaCounts(1, 0)}, 0
    ),
    "done": lambda desk, lease: desk.done(lease),
    "done, refused": lambda desk, lease: desk.done(lease, 7, 8),
    "fail": lambda desk, lease: desk.fail(lease),
    "release": lambda desk, lease: desk.release(lease),
    "deliver": lambda desk, lease: desk.broker.deliver(b""),
    "enter": lambda desk, lease: desk.broker.enter(Session(77, 1, worker="y")),
    "drop a session": lambda desk, lease: desk.drop(lease.session),
    "resume": lambda desk, lease: desk.broker.resume(
        lease.session, Session(78, 1, worker="w"), [held(lease)]
    ),
    "start a run": lambda desk, lease: desk.broker.start_run("job", [], None, RunOptions(), WALL),
    "set the code": lambda desk, lease: desk.broker.set_code(desk.run, "v", RunOptions()),
    "exhaust": lambda desk, lease: desk.broker.exhaust(desk.run),
    "cancel": lambda desk, lease: desk.broker.cancel(desk.run, WALL),
    "limit a group": lambda desk, lease: desk.broker.set_limits(desk.run, {"a": GroupLimit(3)}),
    "pause a group": lambda desk, lease: desk.broker.pause(desk.run, "a", 9.0, NOW, WALL),
}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_moves_the_mark_also_the_second_time_in_a_turn(verb: str) -> None:
    """A step that has changed half of what it would is found by the mark."""
    desk = Desk(per_group=GroupLimit(9))
    session = desk.session(worker="w")
    desk.submit(2)
    desk.run.size = 1
    first, second = desk.lease(session), desk.lease(session)
    desk.fail(first)  # the run's counts are saved: what follows in this turn saves nothing
    before = desk.broker.mark
    VERBS[verb](desk, second)
    assert desk.broker.mark != before


@pytest.mark.parametrize("verb", VERBS)
def test_a_roll_back_leaves_nothing_staged(verb: str) -> None:
    desk = Desk(per_group=GroupLimit(9))
    session = desk.session(worker="w")
    desk.submit(1)
    lease = desk.lease(session)
    stood = (desk.run.saved()(), desk.run.unended, desk.run.leased, desk.broker.refused)
    VERBS[verb](desk, lease)
    desk.broker.rolled_back()
    assert desk.broker.changes == Changes()
    assert not desk.broker.journal.moved
    assert (None, desk.run.unended, desk.run.leased, desk.broker.refused) == stood
    assert desk.broker.sessions == {session.id: session}
    assert desk.done(lease)

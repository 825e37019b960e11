"""What `status` says of a run that waits for others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from master.broker.runs.run import Run
from master.observe.chain_text import why_pending
from queue_manager.errors import StoreError
from queue_manager.wire.records import RunOptions
from tests.unit.master.desk import Desk


def after(desk: Desk, *others: Run) -> Run:
    run = desk.broker.start_run("later", [], None, RunOptions(), desk.wall, after=others)
    desk.commit()
    return run


def said(desk: Desk, run: Run, store: Any = None) -> str:
    turn: Any = SimpleNamespace(broker=desk.broker, store=store or desk.store)
    return why_pending(turn, run)


def fail(desk: Desk, run: Run) -> None:
    desk.submit(1, run)
    session = desk.session()
    desk.fail(desk.lease(session), reject=True)
    desk.broker.exhaust(run)
    desk.commit()
    desk.drop(session)


def test_a_run_that_waits_for_nothing_has_no_reason() -> None:
    desk = Desk()
    assert said(desk, desk.run) == ""


def test_the_runs_that_it_waits_for_are_named() -> None:
    desk = Desk()
    others = [desk.run, *(desk.new_run() for _ in range(5))]
    assert said(desk, after(desk, desk.run)) == "waits for run 1"
    assert said(desk, after(desk, *others)) == "waits for runs 1, 2, 3 and 3 more"


def test_a_run_that_failed_or_was_cancelled_comes_first_with_what_to_do() -> None:
    desk = Desk()
    second, third = desk.new_run(), desk.new_run()
    later = after(desk, desk.run, second)
    fail(desk, second)
    line = "can't begin: run 2 has failed: `qm retry 2`, or `qm cancel 4`"
    assert said(desk, later) == line
    last = after(desk, third)
    desk.broker.cancel(third, desk.wall)
    desk.commit()
    line = "can't begin: run 3 was cancelled: `qm cancel 5`, and submit both again"
    assert said(desk, last) == line


def test_a_run_that_has_left_the_memory_is_looked_up_on_disk() -> None:
    desk = Desk()
    second = desk.new_run()
    later = after(desk, second)
    fail(desk, second)
    desk.broker.retire(second)
    del second
    assert said(desk, later).startswith("can't begin: run 2 has failed")

    def unreadable(run: int) -> None:
        raise StoreError("can't read")

    desk.broker.roster.forget(2)
    assert said(desk, later, SimpleNamespace(load_run=unreadable)) == "waits for run 2"


def test_a_run_that_is_retried_is_waited_for_again() -> None:
    desk = Desk()
    later = after(desk, desk.run)
    fail(desk, desk.run)
    desk.broker.retry(desk.run, desk.wall)
    desk.commit()
    assert said(desk, later) == "waits for run 1"

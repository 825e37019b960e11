"""A master whose wall clock is wrong at its start: nothing is deleted by it, now or later."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from queue_manager.wire.messages import AskStatus, Status
from tests.integration.clocks import WallClock
from tests.integration.processes import Master, eventually

YEAR_S = 365 * 86_400.0


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


def some_results(master: Master) -> int:
    """A run that has ended, with five results, and one result of the queue run."""
    worker = master.worker()
    run = master.submit("count_up", "count=5", "--wait")
    assert worker.terminate() == 0
    client = master.client()
    client("(tasks.put(1), tasks.get(), results.put(2))")
    client.kill()
    return run


def ended_at(master: Master, run: int) -> float:
    return float(master.run_line(run)["ended_at"])


def all_there(master: Master, run: int) -> bool:
    """Whether all is there when the master has had time to prune: it looks every second."""
    eventually(
        lambda: master.asked(AskStatus(1), Status).up_s > 3.5,
        what="the master has looked for what is old",
    )
    client = master.client()
    unread = client("results.qsize()")
    client.kill()
    return len(master.results(run)) == 5 and unread == 1


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_what_ended_in_1970_is_there_when_the_clock_is_right(
    start_master: Callable[..., Master], clock: WallClock, how: str
) -> None:
    """A board without a battery, which starts its master before the network has told the time."""
    clock.set_ahead(30.0 - time.time())
    master = start_master(**clock.settings)
    run = some_results(master)
    assert ended_at(master, run) < YEAR_S
    getattr(master.process, how)()
    clock.set_ahead(0.0)
    for _ in range(2):
        master.serve()
        assert all_there(master, run)
        assert abs(ended_at(master, run) - time.time()) < 120.0
        master.process.terminate()
    assert not master.process.lines("was pruned|Traceback")


@pytest.mark.parametrize("ahead_s", [70 * YEAR_S, 0.2 * YEAR_S], ids=["70 years", "73 days"])
def test_a_clock_that_is_far_ahead_once_prunes_nothing(
    start_master: Callable[..., Master], clock: WallClock, ahead_s: float
) -> None:
    master = start_master(**clock.settings)
    run = some_results(master)
    before = ended_at(master, run)
    for offset_s in (ahead_s, 0.0):
        assert master.process.terminate() == 0
        clock.set_ahead(offset_s)
        master.serve()
        assert master.process.says("nothing is pruned for an hour")
        assert all_there(master, run)
    assert abs(ended_at(master, run) - before) < 1.0
    assert not master.process.lines("was pruned|Traceback")

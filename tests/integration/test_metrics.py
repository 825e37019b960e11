"""What a serving master counts and measures while it works, and what of it a restart keeps."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from queue_manager.wire.messages import AskMetrics, Metrics
from queue_manager.wire.metrics import JobMetrics, MasterMetrics
from tests.integration.processes import Master, eventually

SLACK_S = 0.1
"""By how much the clocks of two starts may differ."""


def metrics(master: Master) -> MasterMetrics:
    return master.asked(AskMetrics(1), Metrics).metrics


def job(master: Master, name: str) -> JobMetrics:
    found = [one for one in metrics(master).jobs if one.job == name]
    return found[0] if found else JobMetrics(name)


def waits_since(master: Master) -> tuple[float, float]:
    """When the oldest waiting task was accepted: not before, and not after (UTC epoch, s)."""
    before = time.time()
    oldest_s = job(master, "square").oldest_s or 0.0
    return before - oldest_s, time.time() - oldest_s


def test_a_run_is_counted_as_it_goes(start_master: Callable[..., Master]) -> None:
    master = start_master()
    assert metrics(master).sessions["worker"] == {"busy": 0, "idle": 0, "draining": 0}
    run = master.submit("square", "count=300")
    eventually(lambda: job(master, "square").tasks.get("waiting") == 300)
    assert (job(master, "square").oldest_s or 0.0) > 0.0
    master.worker()
    master.ended_tasks(run, 300)
    now = metrics(master)
    square = job(master, "square")
    assert (square.accepted, square.became["done"]) == (300, 300)
    assert sum(square.waited.counts) == sum(square.ran.counts) == 300
    assert (square.oldest_s, square.tasks["waiting"]) == (None, 0)
    assert {slot.state for slot in now.slots} == {"busy", "idle", "draining"}
    assert sum(slot.slots for slot in now.slots if not slot.tag) == 2
    assert now.store.file_bytes > 0
    assert (now.store.free_bytes or 0) > 0
    assert sum(now.store.commit.counts) > 0
    assert now.process.fds is not None
    eventually(lambda: sum(metrics(master).loop.counts) > 0)


def test_what_waits_is_as_old_after_a_restart_and_counters_begin_anew(master: Master) -> None:
    run = master.submit("square", "count=200")
    eventually(lambda: job(master, "square").tasks.get("waiting") == 200)
    earliest, latest = waits_since(master)
    before = metrics(master)
    master.process.kill()
    master.serve()
    after = metrics(master)
    assert after.starts == before.starts + 1
    assert after.started_at > before.started_at
    eventually(lambda: job(master, "square").oldest_s)
    again = waits_since(master)
    assert again[0] <= latest + SLACK_S
    assert again[1] >= earliest - SLACK_S
    assert job(master, "square").accepted == 0
    master.worker()
    master.ended_tasks(run, 200)
    assert job(master, "square").became == {"done": 200}


def test_a_runner_that_dies_is_counted(master: Master) -> None:
    run = master.submit("square", "count=1")
    (runner,) = eventually(lambda: master.children("master.runner.main"))

    os.kill(runner, signal.SIGKILL)
    eventually(lambda: metrics(master).runner_deaths == 1)
    master.worker()
    master.ended_tasks(run, 1)

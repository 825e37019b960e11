"""Quotas with real processes, of which master and runner are killed."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter

from tests.integration.processes import Master, eventually


def test_a_quota_is_exact_over_kill_9_of_runner_and_master(master: Master) -> None:
    run = master.submit("quotas", "count=60", "most=10", "yield_s=0.02", "work_s=0.05")

    def status() -> str:
        return master.command("status", str(run)).out

    def dropped(count: int) -> bool:
        found = re.search(r"quota first: 10 accepted, (\d+) more dropped", status())
        return found is not None and int(found[1]) >= count

    eventually(lambda: dropped(3), what="some tasks were dropped")
    (runner,) = master.children("master.runner.main")
    os.kill(runner, signal.SIGKILL)
    eventually(lambda: dropped(12), what="more were dropped")
    master.worker()
    eventually(lambda: int(master.run_line(run)["done"]) >= 3, what="some are done")
    master.process.kill()
    master.serve()
    eventually(lambda: master.run_line(run)["state"] == "done")
    results = master.results(run)
    kinds = Counter(task["payload"][0] for task in results)
    assert kinds == {"first": 10, "second": 6}
    assert len({task["key"] for task in results}) == 1 + 6
    told = [line.strip() for line in status().splitlines() if "quota" in line]
    assert told[-2:] == [
        "quota first: 10 accepted, 50 more dropped",
        "quota second: 6 accepted, 14 more dropped",
    ]

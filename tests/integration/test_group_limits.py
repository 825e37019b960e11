"""Limits that results set and pauses that tasks ask for, with real workers and a killed master."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.chaos.ground.canary import Canary
from tests.integration.processes import Master, eventually

COUNT, PAUSE_S = 9, 4.0
EVERY_S = 0.1
JITTER_S = 0.05
"""On a busy machine a lease may be this much later in its slot than the one before it."""


class Step(NamedTuple):
    """What a task wrote. event: S for a start, E for an end, P where it asks for a pause."""

    event: str
    name: str
    pid: int
    parent: int
    at: float


def steps(log: Path, group: str = "") -> list[Step]:
    found = (line.split() for line in log.read_text().splitlines()) if log.exists() else ()
    made = (Step(e, name, int(pid), int(parent), float(at)) for e, name, pid, parent, at in found)
    return sorted((s for s in made if s.name.startswith(group)), key=lambda s: s.at)


def most_at_once(some: list[Step]) -> int:
    running, most = 0, 0
    for one in some:
        running += {"S": 1, "E": -1}[one.event]
        most = max(most, running)
    return most


@pytest.mark.alone
def test_limits_and_pauses_outlive_kill_9_of_the_master(master: Master) -> None:
    log, canary = Path(master.folder, "steps"), Canary()
    canary.start()
    began = time.monotonic()
    master.worker(WORKER_SLOTS="4")
    master.worker(WORKER_SLOTS="4")
    run = master.submit("hosts", f"log={log}", f"count={COUNT}", f"pause_s={PAUSE_S}")
    eventually(lambda: [s for s in steps(log) if s.event == "P"], what="the pause")
    eventually(lambda: master.run_line(run)["delayed"] == "1", what="the pause is on disk")
    master.process.kill()
    master.serve()
    served_at = time.monotonic()
    eventually(lambda: master.run_line(run)["state"] == "done")
    busy_s = canary.longest(began, time.monotonic())
    canary.over.set()

    (paused,) = (s for s in steps(log) if s.event == "P")
    later = [s for s in steps(log, "busy") if s.event == "S" and s.at > paused.at]
    running = {s.name for s in steps(log, "busy") if s.event == "E"}
    assert len(running) == COUNT
    early = [s for s in later if s.at < paused.at + PAUSE_S - JITTER_S]
    # Those that were on their way when it asked may have started; none of them after its answer.
    assert all(s.at < paused.at + 0.5 + busy_s for s in early), (paused, later)
    over_at = max(paused.at + PAUSE_S, served_at)
    assert later[len(early)].at < over_at + 2.0 + 3 * busy_s, "a pause is no longer than it says"

    # A start is written by its task, which a busy machine may keep waiting.
    least_s = EVERY_S - JITTER_S - busy_s
    for group in ("open", "busy"):
        after = [s for s in steps(log, group) if s.event != "P" and s.name[4:] != "0"]
        after = [s for s in after if s.at > paused.at + 0.5 + busy_s]
        starts = [s.at for s in after if s.event == "S"]
        between = [b - a for a, b in pairwise(starts)]
        assert min(between, default=EVERY_S) > least_s, between
    busy = [s for s in steps(log, "busy") if s.at >= later[len(early)].at]
    assert most_at_once(busy) == 3, "as its first result said, and not as OPTIONS say"

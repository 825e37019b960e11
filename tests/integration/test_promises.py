"""The promises of docs/design.md, each by breaking what it is about, with plain processes."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.ground.canary import Canary, slowness
from tests.chaos.ground.processes import children
from tests.chaos.ground.proxy import Proxy
from tests.integration.processes import PATIENCE_S, Master, Process, eventually

LONG_S = float(os.environ.get("PROMISES_LONG_S", "6"))
"""How long a long task is here; the promise is tried with 20 before a release."""

GIVEN_UP_S = 15.0
SOON_S = 1.0
FROZEN_S = 12.5
"""How long a master is frozen: longer than a worker may be silent."""


@dataclass(frozen=True)
class Step:
    """What a job wrote down. event: S start, E end, C collected."""

    event: str
    item: str
    pid: int
    parent: int
    at: float


class Log:
    """What the tasks of one run wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def steps(self, event: str) -> list[Step]:
        """All of one kind, in their order."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        found = [line.split() for line in lines if line.startswith(f"{event} ")]
        return [Step(e, item, int(pid), int(up), float(at)) for e, item, pid, up, at in found]

    def wait(self, event: str, count: int, within_s: float = PATIENCE_S) -> list[Step]:
        """So many of one kind."""
        what = f"{count} times {event} in {self.path.name}"
        return eventually(
            lambda: found if len(found := self.steps(event)) >= count else [], within_s, what
        )


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "steps.log")


@pytest.fixture
def proxies() -> Iterator[Callable[[Master], Proxy]]:
    """Makes a way to a master that stays where it is when the master moves."""
    made: list[Proxy] = []

    def make(master: Master) -> Proxy:
        made.append(Proxy(lambda: master.port))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    """Tells how busy the machine was: what takes a tenth of a second takes that longer."""
    made = Canary()
    yield made
    made.over.set()


def frozen(worker: Process) -> list[int]:
    """SIGSTOP for a worker and its slots, as `docker pause` does it; returns who it was."""
    pids = [worker.popen.pid, *children(worker.popen.pid, "worker.slot.main")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def thaw(pids: list[int]) -> None:
    """SIGCONT for those that still live."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def with_pid(workers: list[Process], pid: int) -> Process:
    """The worker with this process id."""
    return next(worker for worker in workers if worker.popen.pid == pid)


def refused(master: Master) -> int:
    """How many late outcomes `status` counts."""
    found = re.search(r"([\d,]+) outcomes? of old leases", master.status())
    return int(found[1].replace(",", "")) if found else 0


# --- a master's death ---


def test_what_runs_while_the_master_is_killed_goes_on_and_nothing_runs_twice(
    master: Master, log: Log
) -> None:
    for _ in range(8):
        master.worker(WORKER_SLOTS="1")
    lengths = ",".join([f"{LONG_S}"] * 4 + [f"{LONG_S / 3}"] * 4)
    run = master.submit("traced", f"log={log.path}", f"lengths={lengths}")
    log.wait("S", 8)
    master.process.kill()
    assert len(log.wait("E", 4)) < 8  # these end while there is no master
    master.serve()
    done = master.ended_tasks(run, 8, LONG_S + PATIENCE_S)
    assert [(t["state"], t["attempts"], t["result"]) for t in done] == [
        ("done", 1, n * n) for n in range(8)
    ]
    assert sorted(step.item for step in log.steps("S")) == [str(n) for n in range(8)]


def test_what_runs_goes_on_when_the_master_comes_back_at_another_address(
    master: Master, log: Log, proxies: Callable[[Master], Proxy]
) -> None:
    proxy = proxies(master)
    for _ in range(2):
        master.worker(WORKER_SLOTS="2", QUEUE_PORT=str(proxy.port))
    run = master.submit("traced", f"log={log.path}", "lengths=3,3,3,3,0,0,0,0")
    log.wait("S", 4)
    before = master.port
    master.process.kill()
    master.settings["QUEUE_PORT"] = "0"
    master.serve()
    assert master.port != before
    done = master.ended_tasks(run, 8)
    assert {(t["state"], t["attempts"]) for t in done} == {("done", 1)}
    assert len(log.steps("S")) == 8


def test_what_runs_goes_on_when_the_master_was_frozen_and_nothing_starts_again(
    master: Master, log: Log
) -> None:
    """It has heard nobody for longer than a worker may be silent, and that is its own fault."""
    worker = master.worker(WORKER_SLOTS="2")
    run = master.submit("traced", f"log={log.path}", f"lengths={FROZEN_S + 2},{FROZEN_S + 2}")
    log.wait("S", 2)
    os.kill(master.process.popen.pid, signal.SIGSTOP)
    time.sleep(FROZEN_S)
    os.kill(master.process.popen.pid, signal.SIGCONT)
    done = master.ended_tasks(run, 2)
    assert {(t["state"], t["attempts"]) for t in done} == {("done", 1)}
    assert len(log.steps("S")) == 2
    assert not master.process.lines("silent")
    assert not worker.lines("lost the master")


@pytest.mark.alone
def test_collect_repeats_at_most_its_last_tenth_of_a_second_after_a_kill_of_the_master(
    master: Master, log: Log, canary: Canary
) -> None:
    canary.start()
    master.worker()
    count = 300
    lengths = ",".join(["0"] * count)
    run = master.submit("traced", f"log={log.path}", f"lengths={lengths}", "collected=true")
    log.wait("C", count // 2)
    killed_at = time.monotonic()
    master.process.kill()
    before = log.steps("C")
    master.serve()

    def all_collected() -> bool:
        return {step.item for step in log.steps("C")} == {str(n) for n in range(count)}

    eventually(all_collected, what="every result is collected")
    again = [step.item for step in log.steps("C")[len(before) :]]
    repeated = [step for step in before if step.item in again]
    # Runner, master and disk each have their turn before a call is noted.
    busy_s = 3 * canary.longest(killed_at - 1.0, killed_at + 0.5)
    assert [step for step in repeated if step.at < killed_at - 0.1 - busy_s] == []
    assert len(again) == len(set(again))
    assert len(master.results(run)) == count


# --- a worker's death and silence ---


@pytest.mark.alone
def test_the_task_of_a_killed_worker_runs_again_within_a_second(master: Master, log: Log) -> None:
    workers = [master.worker(WORKER_SLOTS="1") for _ in range(5)]
    run = master.submit("traced", f"log={log.path}", "lengths=4")
    for killed in range(1, 4):  # the fifth loss would make it a dead letter
        victim = with_pid(workers, log.wait("S", killed)[-1].parent)
        killed_at = time.monotonic()
        victim.kill()
        again = log.wait("S", killed + 1)[-1]
        assert again.at - killed_at < SOON_S * slowness()
    (done,) = master.ended_tasks(run, 1)
    assert (done["state"], done["attempts"]) == ("done", 1)


@pytest.mark.alone
def test_the_task_of_a_frozen_worker_runs_again_and_its_late_outcome_is_refused_and_counted(
    master: Master, log: Log
) -> None:
    workers = [master.worker(WORKER_SLOTS="1") for _ in range(2)]
    run = master.submit("traced", f"log={log.path}", "lengths=2")
    first = log.wait("S", 1)[0]
    pids = frozen(with_pid(workers, first.parent))
    frozen_at = time.monotonic()
    try:
        again = log.wait("S", 2)[1]
        assert again.at - frozen_at < GIVEN_UP_S * slowness()
        assert again.parent != first.parent
        (done,) = master.ended_tasks(run, 1)
        thaw(pids[1:])
        log.wait("E", 2)  # the outcome is there before its supervisor can hear anything
    finally:
        thaw(pids)
    eventually(lambda: refused(master) == 1, what="the late outcome is counted")
    assert [step.pid for step in log.steps("E")] == [again.pid, first.pid]
    assert master.results(run) == [done]
    assert (done["state"], done["attempts"]) == ("done", 1)


def test_a_sigterm_for_a_whole_control_group_charges_no_attempt(master: Master, log: Log) -> None:
    """The only one of this job's: a charged task would be a dead letter."""
    (master.jobs / "once.py").write_text(ONCE)
    worker = master.worker()
    run = master.submit("once", f"log={log.path}", "lengths=2,2")
    log.wait("S", 2)
    # A busy machine may not let this test go on for a while: the worker hears all of it together.
    slots = children(worker.popen.pid, "worker.slot.main")
    os.kill(worker.popen.pid, signal.SIGSTOP)
    for pid in (*slots, worker.popen.pid):
        os.kill(pid, signal.SIGTERM)
    os.kill(worker.popen.pid, signal.SIGCONT)
    assert worker.wait() == 0
    assert not worker.lines("died")
    master.worker()
    done = master.ended_tasks(run, 2)
    assert {(t["state"], t["attempts"]) for t in done} == {("done", 1)}


# --- bad tasks ---

ONCE = """
from queue_manager import Options
from traced import tasks, work
OPTIONS = Options(attempts=1)
"""

SAYS = {
    "segfault": "SIGSEGV",
    "exit": "exit code 3",
    "memory": "MemoryError",
    "loop": "timed out after 2 s",
    "loop in C": "timed out after 2 s",
    "fork bomb": "timed out after 2 s",
}


@pytest.mark.alone
def test_bad_tasks_end_as_dead_letters_that_say_why_beside_a_thousand_good_ones(
    master: Master,
) -> None:
    for _ in range(2):
        master.worker(WORKER_SLOTS="2")
    run = master.submit("bad_company", "good=1000")
    ended = master.ended_tasks(run, 1000 + len(SAYS), 2 * PATIENCE_S)
    good = [t for t in ended if isinstance(t["payload"], int)]
    assert len(good) == 1000
    assert {(t["state"], t["attempts"]) for t in good} == {("done", 1)}
    assert all(t["result"] == t["payload"] ** 2 for t in good)
    bad = {t["payload"]: t for t in ended if isinstance(t["payload"], str)}
    assert bad.keys() == SAYS.keys()
    for name, says in SAYS.items():
        assert (bad[name]["state"], bad[name]["attempts"]) == ("dead", 2), bad[name]
        assert re.search(says, bad[name]["error"]), bad[name]
    eventually(lambda: not sleepers(master), what="nothing is left of the fork bomb")


def sleepers(master: Master) -> list[str]:
    """Processes of this test that were forked from a slot: they look like one, and are none."""
    mark = f"MASTER_DATA={master.settings['MASTER_DATA']}".encode()
    workers = [p.popen.pid for p in master.started if hasattr(p, "log_path")]
    slots = {slot for pid in workers for slot in children(pid, "worker.slot.main")}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in slots:
            continue
        with contextlib.suppress(OSError):  # it has ended meanwhile
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"worker.slot.main" in words and mark in (entry / "environ").read_bytes().split(
                b"\0"
            ):
                found.append(entry.name)
    return found


# --- limits per group ---


@pytest.mark.alone
def test_a_groups_limit_holds_over_all_workers_and_through_crashes(
    master: Master, log: Log, canary: Canary
) -> None:
    canary.start()
    began = time.monotonic()
    workers = [master.worker(WORKER_SLOTS="2") for _ in range(3)]
    count = 14
    run = master.submit("grouped", f"log={log.path}", f"count={count}")
    victim = with_pid(workers, log.wait("S", 4)[-1].parent)
    victim_pid, killed_at = victim.popen.pid, time.monotonic()
    victim.kill()
    log.wait("S", 8)
    master.process.kill()
    master.serve()
    done = master.ended_tasks(run, count)
    assert {(t["state"], t["attempts"]) for t in done} == {("done", 1)}

    starts = log.steps("S")
    ends = {(step.item, step.pid): step.at for step in log.steps("E")}
    spans = [(s.at, ends.get((s.item, s.pid), killed_at)) for s in starts]
    assert all(s.parent == victim_pid for s in starts if (s.item, s.pid) not in ends)
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(starts)]
    busy_s = canary.longest(began, time.monotonic())
    assert min(gaps) > 0.3 - 0.1 - busy_s, gaps  # a start follows its lease by some ms
    for begin, _ in spans:
        assert sum(other <= begin < end for other, end in spans) <= 2
    assert len(starts) <= count + 2  # what the killed worker had, and nothing else, ran again

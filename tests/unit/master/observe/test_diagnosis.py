"""Why tasks wait, in words that say what to do; and nothing at all while all is well."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from master.broker.lanes.tracked import Tracked
from master.broker.leases.lease import Lease, Session
from master.broker.runs.run import Run
from master.changes import GroupRecord
from master.observe import diagnosis
from master.observe.diagnosis import (
    OLD_LEASE_S,
    PATIENCE_S,
    Diagnosis,
    Waits,
    next_due,
    unfed,
    why_stalled,
)
from master.processes.runner import Runner, RunnerState
from master.runner.crash import BAD_ARGUMENTS
from master.stock.sessions import Round, StockSession, Taken
from master.web.pages.overview import NO_WORKER
from master.web.text.language import catalogs
from master.web.text.lines import Lines
from queue_manager.job.tags import split_tags
from queue_manager.wire.messages import LEVEL
from queue_manager.wire.records import GroupLimit, RunOptions

CHINESE = Lines(catalogs()["zh"].gettext)
"""Each reason has words there: one that is new needs them in master/web/text/known_lines.py."""


class Rig:
    """A master with workers and clients that are only what a status needs of them."""

    address = "here:1"
    started = 0.0

    def __init__(self) -> None:
        self.now = 1_000.0
        self._workers: list[Any] = []
        self._stock: list[Any] = []
        self.runners: dict[int, Runner] = {}
        self.troubles: dict[str, str] = {}
        self.feeding: set[int] = set()
        self.broker = SimpleNamespace(runs={}, recovering=False)
        self.turn: Any = SimpleNamespace(broker=self.broker, trouble="", wall=5_000.0)
        self.diagnosis = Diagnosis(self.turn, self)
        self.waits = Waits(self.turn, self, self.diagnosis.of)

    def workers(self) -> Any:
        return self._workers

    def stock(self) -> Any:
        return self._stock

    def runner(self, run: int) -> Runner | None:
        return self.runners.get(run)

    def fed(self, run: Run) -> bool:
        return run.id in self.feeding

    def job_trouble(self, job: str) -> str:
        return self.troubles.get(job, "")

    def run(self, number: int = 1, job: str = "job", tasks: int = 3, **options: Any) -> Run:
        run = Run(number, job, [], None, RunOptions(**options), 0.0, tasks=tasks)
        self.broker.runs[number] = run
        return run

    def worker(
        self,
        name: str = "host/6",
        lacks: str = "",
        draining: bool = False,
        tags: str = "",
        level: int = LEVEL,
    ) -> Session:
        session = Session(len(self._workers) + 1, 1, name=name, tags=split_tags(tags))
        if lacks:
            session.lacks["job"] = lacks
        hello = SimpleNamespace(level=level)
        worker = SimpleNamespace(session=session, name=name, draining=draining, hello=hello)
        self._workers.append(worker)
        return session

    def client(self, name: str, run: Run | None = None, puts_without: int = 0) -> Any:
        session = Session(100 + len(self._stock), 0, stock=True)
        taken = () if run is None else (Taken(self.lend(session, run), 0),)
        peer: Any = SimpleNamespace(name=name)
        made = StockSession(peer, session, self.now, Round(taken), puts_without)
        self._stock.append(made)
        return made

    def lend(self, session: Session, run: Run) -> Lease:
        number = len(session.leases) + 1
        lease = Lease(number, session, run, run.lane, 1, 1, [(0, 1)], 0, None, self.now)
        session.leases[number] = lease
        run.leased += 1
        return lease

    def why(self, run: Run) -> list[str]:
        """After the time that it takes until a reason counts."""
        self.waits.tick(self.now)
        self.now += PATIENCE_S
        self.waits.tick(self.now)
        if not self.waits.lasts(run, self.now):
            return []
        reasons = self.diagnosis.of(run)
        ours = [reason.text for reason in reasons if reason.kind != "code"]
        assert [text for text in ours if CHINESE.said(text) == text] == []
        return [reason.text for reason in reasons]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    made = Rig()
    real = diagnosis.time
    clock = SimpleNamespace(
        monotonic=lambda: made.now, strftime=real.strftime, localtime=real.localtime
    )
    monkeypatch.setattr(diagnosis, "time", clock)
    return made


def test_nothing_is_said_in_the_first_five_seconds(rig: Rig) -> None:
    run = rig.run()
    rig.waits.tick(rig.now)
    rig.now += PATIENCE_S - 0.1
    rig.waits.tick(rig.now)
    assert not rig.waits.lasts(run, rig.now)
    rig.now += 0.1
    assert rig.waits.lasts(run, rig.now)


def test_time_counts_from_when_a_slot_last_ran_some_of_it(rig: Rig) -> None:
    run = rig.run()
    worker = rig.worker()
    rig.waits.tick(rig.now)
    lease = rig.lend(worker, run)
    rig.now += PATIENCE_S
    rig.waits.tick(rig.now)
    assert not rig.waits.lasts(run, rig.now)
    del worker.leases[lease.number]
    rig.waits.tick(rig.now)
    assert not rig.waits.lasts(run, rig.now)


def test_a_run_without_open_tasks_waits_for_nothing(rig: Rig) -> None:
    run = rig.run(tasks=0)
    assert rig.why(run) == []
    ended = rig.run(2)
    ended.done = 3
    assert rig.why(ended) == []
    cancelled = rig.run(3)
    cancelled.state = "cancelled"
    assert rig.why(cancelled) == []


def test_no_worker(rig: Rig) -> None:
    (line,) = rig.why(rig.run())
    assert line == NO_WORKER
    assert line.startswith("no worker is connected: docker compose up")
    assert "python -m worker" in line


def test_the_queues_tasks_without_a_job_are_for_stock_clients(rig: Rig) -> None:
    (line,) = rig.why(rig.run(0, job=""))
    assert line == "JOB is not set: only standard-library clients take its tasks"


def test_workers_that_lack_the_job_are_named_together_with_why(rig: Rig) -> None:
    for number in range(5):
        rig.worker(f"host{number}/6", lacks="No module named 'x'")
    rig.worker("other/6", lacks="its jobs/job.py is another version (here 1a, master 2b)")
    first, second = rig.why(rig.run())
    assert first == ("host0/6, host1/6, host2/6 and 2 more can't run job: No module named 'x'")
    assert second.startswith("other/6 can't run job: its jobs/job.py is another version")


def test_code_that_does_not_import_is_said_in_the_place_of_what_workers_say(rig: Rig) -> None:
    rig.worker(lacks="SyntaxError")
    rig.troubles["job"] = "jobs/job.py line 3: SyntaxError; tasks of job wait until mended"
    assert rig.why(rig.run()) == [rig.troubles["job"]]


def test_a_back_off_says_until_when(rig: Rig) -> None:
    run = rig.run(tasks=2)
    run.tracked = 2
    for task, due_at in ((1, 5_042.0), (2, 5_010.0)):
        record = Tracked(task, 1, task - 1, 0, due_at=due_at)
        run.lane.tracked.admit(record)
    assert (run.delayed, run.waiting) == (2, 0)
    assert next_due(run) == 5_010.0
    (line,) = rig.why(run)
    assert line.startswith("all 2 tasks wait for a delay or a back-off to end, the next for 10.0 s")
    assert line.endswith("nothing to do")


def test_a_limit_per_group_says_which(rig: Rig) -> None:
    rig.worker()
    (line,) = rig.why(rig.run(per_group=GroupLimit(2, 30.0)))
    assert line.startswith("held back by per_group=Limit(at_once=2, every_s=30) of its OPTIONS")
    assert "change it in jobs/job.py" in line


def test_groups_that_wait_because_a_task_asked_for_it_are_named(rig: Rig) -> None:
    rig.worker()
    run = rig.run(per_group=GroupLimit(2, 30.0))
    assert run.groups is not None
    for group, wait_s in {"b.org": 20.0, "a.org": 8.0}.items():
        run.groups.lane(group)
        until = rig.now + PATIENCE_S + wait_s
        run.groups.limits.set(group, GroupRecord(None, wait_s, 0.0), until)
    asked = "as tasks asked with Retry(whole_group=True): nothing to do"
    assert rig.why(run) == [f"groups a.org, b.org held back, the first for 8.0 s, {asked}"]
    rig.now += 10.0 - PATIENCE_S
    first, second = rig.why(run)
    assert first == f"group b.org held back, the first for 10.0 s, {asked}"
    assert second.startswith("held back by per_group=Limit(at_once=2"), "a.org is"


def test_limits_that_results_have_set_are_told_from_that_of_the_options(rig: Rig) -> None:
    rig.worker()
    run = rig.run(per_group=GroupLimit(2, 30.0))
    assert run.groups is not None
    run.groups.lane("a.org")
    run.groups.limits.set("a.org", GroupRecord(GroupLimit(1)), 0.0)
    assert rig.why(run) == ["held back by limits of groups that results have set"]
    run.groups.lane("b.org")
    assert len(rig.why(run)) == 2


def test_what_a_limit_holds_back_has_a_time(rig: Rig) -> None:
    rig.worker()
    run = rig.run(per_group=GroupLimit(2, 30.0))
    assert run.groups is not None
    told_at = rig.now + PATIENCE_S
    run.groups.lane("a.org").started_at = told_at - 22.0
    (line,) = rig.why(run)
    assert line.startswith(
        "held back by per_group=Limit(at_once=2, every_s=30) of its OPTIONS,"
        " the next may start in 8.0 s: if that is too strict"
    )
    run.groups.limits.set("a.org", GroupRecord(GroupLimit(1, 45.0)), 0.0)
    run.groups.lane("a.org").started_at = rig.now + PATIENCE_S - 22.0
    assert rig.why(run) == [
        "held back by limits of groups that results have set, the next may start in 23.0 s"
    ]


def test_what_waits_for_a_task_of_its_group_to_end_says_so(rig: Rig) -> None:
    rig.worker()
    run = rig.run(per_group=GroupLimit(1))
    assert run.groups is not None
    run.groups.lane("a.org").leased = 1
    (line,) = rig.why(run)
    assert "of its OPTIONS, the next may start when one of their tasks ends: if" in line


def test_a_limit_is_said_though_some_slots_are_busy_with_other_runs(rig: Rig) -> None:
    """More workers would not help."""
    limited = rig.run(per_group=GroupLimit(2, 30.0))
    busy = rig.worker()
    busy.slots = 1
    rig.lend(busy, rig.run(7, tasks=9))
    (line,) = rig.why(limited)
    assert line.startswith("held back by per_group=Limit(at_once=2, every_s=30) of its OPTIONS")


def test_a_worker_with_a_free_slot_is_not_busy(rig: Rig) -> None:
    worker = rig.worker()
    worker.slots = 2
    rig.lend(worker, rig.run(7, tasks=9))
    assert rig.why(rig.run()) == []


def test_a_worker_that_lacks_the_job_does_not_hide_why_the_others_do_not_run_it(rig: Rig) -> None:
    rig.worker("poor/1", lacks="No module named 'x'")
    rig.lend(rig.worker("able/1"), rig.run(7, tasks=9))
    first, second = rig.why(rig.run())
    assert first == "poor/1 can't run job: No module named 'x'"
    assert second == "all slots are busy with run 7: start more workers"


def test_slots_that_are_busy_with_other_runs_name_these(rig: Rig) -> None:
    other = rig.run(7, tasks=9)
    rig.lend(rig.worker(), other)
    rig.lend(rig.worker(), other)
    assert rig.why(rig.run()) == ["all slots are busy with run 7: start more workers"]


def test_workers_that_are_stopping_are_no_workers(rig: Rig) -> None:
    rig.worker(draining=True)
    assert rig.why(rig.run()) == ["every worker is stopping: start others"]


# --- runs that a program feeds ---


def test_a_run_whose_program_is_gone_says_what_becomes_of_it(rig: Rig) -> None:
    kept, passing = rig.run(1, feeder="client"), rig.run(2, feeder="client", lasting=False)
    waits = "its program has not given all its inputs; none is connected:"
    assert unfed(kept, False) == (
        f"{waits} the run has no key, so no other can: unless it comes back, `qm cancel 1`"
    )
    kept.key = "k"
    assert unfed(kept, False) == f"{waits} start it again, or `qm cancel 1`"
    assert unfed(passing, False) == (
        f"{waits} unless it comes back, the run is removed within a minute"
    )
    for run in (kept, passing):
        assert unfed(run, True) == ""
        run.exhausted = True
        assert unfed(run, False) == ""


# --- tags ---


def test_tags_that_no_worker_has_are_named_with_how_to_start_one(rig: Rig) -> None:
    rig.worker(tags="gpu,ssd")
    rig.worker(lacks="No module named 'x'")
    assert rig.why(rig.run(needs=["fpga"])) == [
        "no worker has the tag fpga: start one with WORKER_TAGS=fpga"
    ]
    assert rig.why(rig.run(2, needs=["bigmem", "gpu"])) == [
        "no worker has the tags bigmem and gpu together: start one with WORKER_TAGS=bigmem,gpu"
    ]


def test_a_worker_that_is_too_old_to_say_its_python_is_to_be_updated(rig: Rig) -> None:
    rig.worker("new/1", tags="python3.13")
    for name, tags in {"old/1": "", "old/2": "gpu"}.items():
        rig.worker(name, tags=tags, level=0)
    assert rig.why(rig.run(needs=["python3.11"])) == [
        "the run needs Python 3.11, and old/1, old/2 can't say which Python is there: update the"
        f" worker (it speaks level 0 of the protocol, the master level {LEVEL})"
    ]
    (line,) = rig.why(rig.run(2, needs=["gpu", "python3.11"]))
    assert "and old/2 can't say" in line
    (line,) = rig.why(rig.run(3, needs=["fpga", "python3.11"]))
    assert line.endswith("start one with Python 3.11 and WORKER_TAGS=fpga")
    (line,) = rig.why(rig.run(4, needs=["fpga"]))
    assert line.endswith("start one with WORKER_TAGS=fpga")


def test_without_any_worker_the_tags_are_said_too(rig: Rig) -> None:
    (line,) = rig.why(rig.run(needs=["gpu"]))
    assert line == "no worker is connected: start one with WORKER_TAGS=gpu"


def test_workers_with_the_tags_that_are_busy_are_said_to_be(rig: Rig) -> None:
    other = rig.run(7, tasks=9)
    rig.lend(rig.worker(tags="gpu"), other)
    rig.worker()
    assert rig.why(rig.run(needs=["gpu"])) == [
        "all slots with the tag gpu are busy with run 7: start more workers with WORKER_TAGS=gpu"
    ]


def test_workers_with_the_tags_that_are_stopping_are_said_to_be(rig: Rig) -> None:
    rig.worker()
    rig.worker(tags="gpu", draining=True)
    (line,) = rig.why(rig.run(needs=["gpu"]))
    assert line == "every worker with the tag gpu is stopping: start others with WORKER_TAGS=gpu"


def test_of_workers_that_lack_the_job_those_with_the_tags_are_named(rig: Rig) -> None:
    rig.worker("plain/6", lacks="No module named 'x'")
    rig.worker("tagged/6", lacks="No module named 'x'", tags="gpu")
    (line,) = rig.why(rig.run(needs=["gpu"]))
    assert line == "tagged/6 can't run job: No module named 'x'"


def test_a_worker_with_the_tags_that_is_idle_gives_no_reason_that_would_be_wrong(rig: Rig) -> None:
    rig.worker(tags="gpu")
    assert rig.why(rig.run(needs=["gpu"])) == []


def test_an_idle_worker_without_a_limit_gives_no_reason_that_would_be_wrong(rig: Rig) -> None:
    rig.worker()
    assert rig.why(rig.run()) == []


def test_a_stock_client_that_holds_a_task_for_long_is_named(rig: Rig) -> None:
    run = rig.run(tasks=1)
    rig.client("1.2.3.4:5", run)
    assert rig.why(run) == [], "it may just be working"
    rig.now += OLD_LEASE_S
    (line,) = rig.why(run)
    assert line.startswith("1.2.3.4:5 has held a task for 70 s; it is offered again when its")


def test_stock_clients_that_take_and_put_on_different_connections_are_told_so(rig: Rig) -> None:
    run = rig.run(tasks=1)
    rig.client("1.2.3.4:5", run)
    rig.client("1.2.3.4:6", puts_without=3)
    (line,) = rig.why(run)
    assert line.startswith("1.2.3.4:5 takes here while results are put on another connection")
    assert "one thread of one process" in line


def test_what_holds_up_the_whole_master_is_not_said_of_each_run(rig: Rig) -> None:
    run = rig.run()
    rig.turn.trouble = "can't write: disk full"
    assert rig.why(run) == []
    rig.turn.trouble, rig.broker.recovering = "", True
    assert rig.why(run) == []
    rig.broker.recovering = False
    assert len(rig.why(run)) == 1


def test_a_stalled_run_says_how_to_go_on_without_any_restart(rig: Rig) -> None:
    run = rig.run(4)
    died = "its runner was killed by SIGSEGV, 5 times without progress"
    runner = Runner(run, state=RunnerState.STALLED, exit_code=-11, why_stalled=died)
    assert why_stalled(run, runner) == f"{died}; mend jobs/job.py, or `qm retry 4`"
    assert why_stalled(run, Runner(run)) == ""
    run.state = "cancelled"
    assert why_stalled(run, runner) == ""


def test_a_run_whose_tasks_refused_its_arguments_says_both_ways_on(rig: Rig) -> None:
    run = rig.run(4)
    runner = Runner(run, state=RunnerState.STALLED, exit_code=BAD_ARGUMENTS, why_stalled="it died")
    assert why_stalled(run, runner) == (
        "it died; if an argument is wrong, `qm cancel 4` and submit it again with another one;"
        " else mend jobs/job.py, or `qm retry 4`"
    )


def test_a_reason_is_logged_once_while_it_lasts_and_again_when_it_comes_back(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    run = rig.run()

    def seconds(count: int) -> list[str]:
        caplog.clear()
        for _ in range(count):
            rig.now += 1.0
            rig.waits.tick(rig.now)
        return [r.message for r in caplog.records if r.levelno == logging.WARNING]

    rig.waits.tick(rig.now)
    assert seconds(4) == []
    (line,) = seconds(10)
    assert line.startswith("run 1 (job) waits: no worker is connected")
    worker = rig.worker()
    lease = rig.lend(worker, run)
    assert seconds(3) == []
    rig._workers.clear()
    del worker.leases[lease.number]
    assert len(seconds(10)) == 1


@pytest.mark.parametrize("delay_s", [1e11, 1e18, 1e300])
def test_a_delay_beyond_any_calendar_leaves_the_status_whole(delay_s: float) -> None:
    """One task of one run must not take `status` of all others away."""
    assert diagnosis._clock(5_000.0 + delay_s, 5_000.0) == ""


def test_a_delay_of_days_names_the_day() -> None:
    assert diagnosis._clock(5_000.0 + 3 * 86_400, 5_000.0).startswith(" (until 1970-01-0")
    assert "-" not in diagnosis._clock(5_060.0, 5_000.0)

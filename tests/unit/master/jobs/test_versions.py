"""The master's file on disk rules: what runs take of it, and what is said when it is no good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from master.broker.runs.run import Run
from master.changes import QUEUE_RUN
from master.jobs import versions
from master.jobs.check import Fit
from master.jobs.look import Checked
from master.jobs.versions import COMPLAINT_S, EVERY_S, Fitted, Versions, without_seed
from queue_manager.errors import RefusedError, UnknownJobError
from queue_manager.wire.messages import StartRun
from queue_manager.wire.records import GroupLimit, RunOptions

OLD, NEW = "1a2b3c4d" + "0" * 56, "5e6f7a8b" + "0" * 56
MORE = RunOptions(attempts=9, per_group=GroupLimit(2))


class FakeFiles:
    """The files of jobs; a job is missing or wrong when that is said."""

    def __init__(self) -> None:
        self.now = OLD
        self.missing = ""
        self.wrong = ""
        self.found = MORE
        self.reads = self.looks = 0

    async def version(self, job: str) -> str:
        self.reads += 1
        await asyncio.sleep(0)
        if self.missing:
            raise UnknownJobError(self.missing)
        return self.now

    async def options(self, job: str) -> RunOptions:
        return (await self.look(job, None)).options

    async def look(self, job: str, fit: Fit | None, *, at_once: bool = True) -> Checked:
        self.looks += 1
        await asyncio.sleep(0)
        if self.wrong:
            raise RefusedError(self.wrong)
        return Checked("", self.found)


class Rig:
    """Versions with a turn that carries steps out at once, unless its disk is full."""

    def __init__(self) -> None:
        self.now = 0.0
        self.files: Any = FakeFiles()
        self.changed: list[tuple[str, list[int]]] = []
        self.staged: list[int] = []
        self.full = False
        self.broker = SimpleNamespace(runs={}, set_code=self._set_code)
        self.broker.recall = self.broker.runs.get
        turn: Any = SimpleNamespace(broker=self.broker, carry_out=self._carry_out)
        self.versions = Versions(turn, self.files)
        self.versions.on_changed.append(
            lambda job, runs: self.changed.append((job, [run.id for run in runs]))
        )

    def run(self, number: int, job: str = "job", version: str = OLD, state: str = "active") -> Run:
        run = Run(number, job, [], None, RunOptions(), 0.0, version)
        run.state = state  # type: ignore[assignment]
        self.broker.runs[number] = run
        return run

    def _set_code(self, run: Run, version: str, options: RunOptions) -> None:
        self.staged.append(run.id)
        run.version, run.options = version, options

    async def _carry_out(self, stage: Any) -> Any:
        if self.full:
            raise RefusedError("can't write: disk full")
        return stage(0.0, 0.0)()

    async def tick(self, wait_s: float = EVERY_S) -> None:
        """Time goes by, and everything that is looked at is seen."""
        self.now += wait_s
        self.versions.tick(self.now)
        await self.settle()

    async def settle(self) -> None:
        while self.versions._tasks:
            await asyncio.gather(*self.versions._tasks)


Play = Callable[[Callable[[Rig], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Play:
    caplog.set_level(logging.INFO)
    rig = Rig()
    monkeypatch.setattr(versions, "time", SimpleNamespace(monotonic=lambda: rig.now))

    return lambda scene: asyncio.run(scene(rig))


def test_a_change_is_taken_with_its_options_and_logged_with_each_run(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(rig: Rig) -> None:
        runs = [rig.run(3), rig.run(4), rig.run(5, job="other")]
        await rig.tick()
        assert rig.staged == []
        rig.files.now = NEW
        rig.broker.runs[5].version = NEW
        await rig.tick()
        assert [run.version for run in runs] == [NEW] * 3
        assert [run.options for run in runs] == [MORE, MORE, RunOptions()]
        assert rig.changed == [("job", [3, 4])]
        await rig.tick()
        assert rig.changed == [("job", [3, 4])]

    play(scene)
    assert [r.message for r in caplog.records] == [
        f"run {n} (job): its code has changed (1a2b3c4d -> 5e6f7a8b)" for n in (3, 4)
    ]


def test_files_are_looked_at_every_five_seconds_and_only_those_of_active_runs(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        rig.run(1)
        rig.run(2)
        rig.run(3, job="ended", state="done")
        rig.run(0, job="")
        await rig.tick()
        assert rig.files.reads == 1
        await rig.tick(EVERY_S - 0.1)
        assert rig.files.reads == 1
        await rig.tick(0.1)
        assert rig.files.reads == 2
        assert rig.files.looks == 0, "nothing has changed: nothing is imported"

    play(scene)


def test_a_worker_that_complains_makes_it_look_at_once_but_not_all_the_time(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        run = rig.run(1)
        await rig.tick()
        rig.files.now = NEW
        rig.now += COMPLAINT_S
        for _ in range(10):
            rig.versions.worker_mismatch(run)
        await rig.settle()
        assert (run.version, rig.files.reads) == (NEW, 2)
        rig.now += COMPLAINT_S - 0.1
        rig.versions.worker_mismatch(run)
        await rig.settle()
        assert rig.files.reads == 2

    play(scene)


def test_code_that_does_not_import_is_taken_without_its_options_and_said_once(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    """So that the workers leave it alone: its tasks wait until it is mended."""

    async def scene(rig: Rig) -> None:
        run = rig.run(1)
        rig.files.now, rig.files.wrong = NEW, "jobs/job.py line 3: SyntaxError: invalid syntax"
        await rig.tick()
        await rig.tick()
        assert (run.version, run.options) == (NEW, RunOptions())
        assert rig.files.looks == 1, "it is not imported again and again"
        line = "jobs/job.py line 3: SyntaxError: invalid syntax; tasks of job wait until that"
        assert rig.versions.trouble["job"].startswith(line)
        rig.files.now, rig.files.wrong = OLD, ""
        await rig.tick()
        assert (run.version, run.options) == (OLD, MORE)
        assert rig.versions.trouble == {}

    play(scene)
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1


def test_a_file_that_is_missing_changes_nothing_and_is_said_once(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(rig: Rig) -> None:
        run = rig.run(1)
        rig.files.missing = "no job 'job'"
        await rig.tick()
        await rig.tick()
        assert (run.version, rig.changed) == (OLD, [])
        assert rig.versions.trouble["job"].startswith("no job 'job'; its tasks wait")
        rig.files.missing = ""
        await rig.tick()
        assert rig.versions.trouble == {}

    play(scene)
    assert len(caplog.records) == 1


def test_a_disk_that_is_full_is_tried_again_at_the_next_look(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        run = rig.run(1)
        rig.files.now, rig.full = NEW, True
        await rig.tick()
        assert run.version == OLD
        rig.full = False
        await rig.tick()
        assert (run.version, rig.changed) == (NEW, [("job", [1])])

    play(scene)


def test_a_retry_takes_the_file_as_it_is_also_for_a_run_that_has_ended(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        run = rig.run(1, state="failed")
        rig.files.now = NEW
        await rig.versions.recheck(run)
        assert (run.version, run.options) == (NEW, MORE)
        assert rig.changed == [("job", [1])]

    play(scene)


def test_a_retry_with_code_that_does_not_import_is_refused(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        run = rig.run(1, state="failed")
        rig.files.now, rig.files.wrong = NEW, "jobs/job.py line 3: no"
        with pytest.raises(RefusedError, match="line 3"):
            await rig.versions.recheck(run)
        assert run.version == OLD
        rig.files.wrong, rig.full = "", True
        with pytest.raises(RefusedError, match="disk full"):
            await rig.versions.recheck(run)

    play(scene)


def test_a_submit_has_older_runs_of_the_job_follow_at_once(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        run = rig.run(1)
        rig.files.now = NEW
        assert await rig.versions.check_for_submit(StartRun(0, "job", [])) == Fitted(NEW, MORE)
        await rig.settle()
        assert run.version == NEW

    play(scene)


def test_a_submit_and_the_polls_beside_it_look_at_the_job_once(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        queue_run = rig.run(QUEUE_RUN, version="")
        submit = asyncio.create_task(rig.versions.check_for_submit(StartRun(0, "job", [])))
        await asyncio.sleep(0)
        await rig.tick()
        assert (await submit)[:2] == (OLD, MORE)
        await rig.tick()
        assert queue_run.version == OLD
        assert rig.files.looks == 1

    play(scene)


def test_a_file_that_changes_during_a_submit_is_looked_at_again(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        run = rig.run(1)
        submit = asyncio.create_task(rig.versions.check_for_submit(StartRun(0, "job", [])))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rig.files.now = NEW
        assert (await submit)[:2] == (OLD, MORE)
        await rig.tick()
        assert run.version == NEW
        assert rig.files.looks == 2

    play(scene)


def test_tags_that_were_asked_for_with_a_run_stay_when_its_file_changes(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        ask = StartRun(0, "job", [], None, "clients", ["mail", "eu"])
        options = (await rig.versions.check_for_submit(ask)).options
        assert (options.needs, options.also_needs) == (["eu", "mail"], ["eu", "mail"])
        run = rig.run(1)
        run.options = options
        rig.files.now = NEW
        await rig.tick()
        assert run.version == NEW
        needs = sorted({*MORE.needs, "eu", "mail"})
        assert run.options == msgspec.structs.replace(
            MORE, feeder="clients", finish=False, needs=needs, also_needs=["eu", "mail"]
        )

    play(scene)


def test_the_queue_run_takes_the_version_and_keeps_its_own_options(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(rig: Rig) -> None:
        run = rig.run(0)
        rig.files.now = NEW
        await rig.tick()
        assert (run.version, run.options) == (NEW, RunOptions())
        assert rig.changed == [("job", [0])]

    play(scene)
    assert caplog.records == []


def test_a_run_of_an_older_release_takes_the_version_without_a_word(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(rig: Rig) -> None:
        run = rig.run(1, version="")
        await rig.tick()
        assert run.version == OLD

    play(scene)
    assert caplog.records == []


def test_the_queue_run_takes_of_the_options_what_the_job_needs_and_nothing_else(
    play: Play,
) -> None:
    async def scene(rig: Rig) -> None:
        queue = rig.run(QUEUE_RUN)
        rig.files.now, rig.files.found = NEW, RunOptions(9, 8, 7.0, needs=["gpu"])
        await rig.tick()
        assert (queue.version, queue.options) == (NEW, RunOptions(needs=["gpu"]))
        rig.files.now, rig.files.wrong = OLD, "SyntaxError"
        await rig.tick()
        assert (queue.version, queue.options) == (OLD, RunOptions(needs=["gpu"]))

    play(scene)


@pytest.mark.parametrize("seed_first", [True, False])
def test_a_job_that_is_not_there_is_said_once_by_whoever_finds_it_first(
    play: Play, caplog: pytest.LogCaptureFixture, seed_first: bool
) -> None:
    """The seed and the look at the queue run's job find the same trouble."""

    async def seed(rig: Rig) -> None:
        with pytest.raises(UnknownJobError) as raised:
            await rig.versions.check_for_submit(StartRun(0, "nojob", []))
        if rig.versions.is_news("nojob", raised.value):
            logging.getLogger().error("%s", without_seed("nojob", raised.value))

    async def scene(rig: Rig) -> None:
        rig.run(QUEUE_RUN, job="nojob", version="")
        rig.files.missing = "no job 'nojob'"
        for act in (seed, Rig.tick) if seed_first else (Rig.tick, seed):
            await act(rig)
        await rig.tick()
        rig.files.missing = ""
        await rig.tick()
        rig.files.missing = "no job 'nojob'"
        rig.broker.runs[QUEUE_RUN].tasks = 1
        await rig.tick()

    play(scene)
    said = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert said == [
        "JOB=nojob: no job 'nojob'; the master serves without it",
        "no job 'nojob'; its tasks wait until it is back",
    ]


def test_nothing_stays_of_jobs_without_an_active_run(play: Play) -> None:
    async def scene(rig: Rig) -> None:
        for number in range(1, 9):
            rig.run(number, job=f"job{number}")
        rig.files.now, rig.files.wrong = NEW, "job line 1: SyntaxError"
        await rig.tick()
        assert len(rig.versions.trouble) == len(rig.versions._refused) == 8
        for number in range(1, 8):
            rig.broker.runs[number].state = "done"
        await rig.tick()
        known = rig.versions
        for kept in (known.trouble, known._refused, known._said, known._looked):
            assert list(kept) == ["job8"]
        assert not known._locks

    play(scene)


def test_code_that_a_client_has_sent_is_left_alone(play: Play) -> None:
    """Whatever the file of the same name is, and whoever retries the run."""

    async def scene(rig: Rig) -> None:
        run, of_a_file = rig.run(1), rig.run(2)
        run.uploaded = True
        rig.files.now = NEW
        await rig.tick()
        rig.versions.worker_mismatch(run)
        await rig.versions.recheck(run)
        await rig.settle()
        assert (run.version, of_a_file.version) == (OLD, NEW)
        assert rig.files.reads == 1

    play(scene)

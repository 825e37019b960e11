"""The run of the day: which one takes a task, also when an answer is lost or a run has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from queue_manager import codec
from queue_manager.django import runs
from queue_manager.django.runs import Queue
from queue_manager.errors import ConnectionLostError, RefusedError, UnreachableError
from queue_manager.wire.messages import (
    Accepted,
    AskRun,
    AskRuns,
    AskTask,
    RunList,
    RunShown,
    RunStarted,
    StartRun,
    SubmitTasks,
    TasksEnded,
    TaskShown,
)
from queue_manager.wire.records import NewBlock, RunStatus, TaskStatus


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for long."""
    monkeypatch.setattr(runs, "_OTHERS_S", 0.0)
    monkeypatch.setattr(runs, "_FIRST_PAUSE_S", 0.0)


class FakeMaster:
    """A master as far as a queue knows it, and the session with it.

    lose: how many answers to submits are lost. trouble: what it answers about runs of earlier days,
    in order; None is the true answer.
    """

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.starts: list[StartRun] = []
        self.tasks: dict[int, list[str]] = {}
        self.over: set[int] = set()
        self.lose = 0
        self.refusal = ""
        self.away = self.silent = self.closed = False
        self.trouble: list[Exception | None] = []
        self.going_on: list[asyncio.Task[None]] = []

    def beside(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.going_on.append(asyncio.create_task(coroutine))

    async def once(self, make: Callable[[int], Any], answer: type) -> Any:
        await (asyncio.Event().wait() if self.silent else asyncio.sleep(0))
        request = make(1)
        made = getattr(self, type(request).__name__)(request)
        assert isinstance(made, answer)
        return made

    again = once

    async def reach(self) -> None:
        if self.away:
            raise UnreachableError("no master")

    async def limited(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            async with asyncio.timeout(0.05 if self.silent else 10.0):
                return await coroutine
        except UnreachableError:
            raise
        except TimeoutError:
            raise UnreachableError("the master has not answered") from None

    def StartRun(self, ask: StartRun) -> RunStarted:
        assert ask.key is not None
        created = ask.key not in self.keys
        if created:
            self.keys.append(ask.key)
            self.starts.append(ask)
        run = self.keys.index(ask.key) + 1
        self.tasks.setdefault(run, [])
        return RunStarted(1, run, created)

    def SubmitTasks(self, ask: SubmitTasks) -> Accepted:
        if self.refusal or ask.run in self.over:
            raise RefusedError(self.refusal or f"run {ask.run} takes no more tasks")
        (key,) = ask.blocks[0].keys or [""]
        tasks = self.tasks[ask.run]
        new = key not in tasks
        tasks += [key] * new
        if self.lose:
            self.lose -= 1
            raise ConnectionLostError("lost")
        return Accepted(1, int(new), len(tasks) * new)

    def AskTask(self, ask: AskTask) -> TaskShown:
        if ask.key not in self.tasks[ask.run]:
            raise RefusedError("none of its newest tasks has this key")
        number = self.tasks[ask.run].index(ask.key) + 1
        return TaskShown(1, TaskStatus(ask.run, "job", number, "waiting", b"", 0))

    def TasksEnded(self, ask: TasksEnded) -> Accepted:
        self.be_in_trouble()
        self.over.add(ask.run)
        return Accepted(1, 0)

    def be_in_trouble(self) -> None:
        if self.trouble and (error := self.trouble.pop(0)):
            raise error

    def status(self, run: int) -> RunStatus:
        args, over = self.starts[run - 1].args, run in self.over
        return RunStatus(run, "job", args, "active", 0, 0, 0, 0, 0, 0, over, 0, 0.0, None)

    def AskRun(self, ask: AskRun) -> RunShown:
        return RunShown(1, self.status(ask.run))

    def AskRuns(self, ask: AskRuns) -> RunList:
        assert (ask.state, ask.ended) == ("active", 0)
        self.be_in_trouble()
        left = [run for run in range(1, len(self.keys) + 1) if run > ask.after]
        shown = [self.status(run) for run in left[:2]]
        return RunList(1, shown, (left or [9])[:2][-1], len(left) <= 2, 5)


def queue(master: FakeMaster, day: list[str], name: str = "mail") -> Queue:
    return Queue(master, "job", "default", name, ["mail"], lambda: day[0])  # type: ignore[arg-type]


def block(key: str) -> NewBlock:
    return NewBlock(1, codec.encode_batch([key]), [key])


def put(queue: Queue, *keys: str) -> list[tuple[int, int]]:
    """Put tasks, and wait until the runs of earlier days are ended."""
    master: Any = queue._connection

    async def scene() -> Any:
        try:
            return await asyncio.gather(*map(queue.put, map(block, keys)))
        finally:
            async with asyncio.timeout(60.0):
                await asyncio.gather(*master.going_on)
            master.going_on.clear()

    return sorted(asyncio.run(scene()))


def test_processes_share_the_run_of_a_queue_and_a_day() -> None:
    master, day = FakeMaster(), ["2026-11-27"]
    assert put(queue(master, day), "a", "b") == [(1, 1), (1, 2)]
    assert put(queue(master, day), "c") == [(1, 3)]
    (start,) = master.starts
    assert start.args == ["alias=default", "queue=mail", "day=2026-11-27"]
    assert (start.feeder, start.needs, start.job) == ("clients", ["mail"], "job")
    assert "needs=mail" in master.keys[0], "other tags are another run"


def test_a_new_day_has_a_new_run_and_the_older_ones_of_the_queue_end() -> None:
    master, day = FakeMaster(), ["2026-11-27"]
    ours, other = queue(master, day), queue(master, day, "other")
    put(ours, "a")
    put(other, "b")
    day[0] = "2026-11-28"
    assert put(ours, "c", "d") == [(3, 1), (3, 2)]
    assert master.over == {1}
    day[0] = "2026-11-27"  # a clock that was set back
    assert put(ours, "e") == [(3, 3)]


def test_a_process_that_is_a_day_behind_goes_on_beside() -> None:
    master, late = FakeMaster(), ["2026-11-27"]
    slow = queue(master, late)
    put(slow, "a")
    put(queue(master, ["2026-11-28"]), "b")
    assert put(slow, "c", "d") == [(3, 1), (3, 2)]
    assert master.starts[-1].args[-2:] == ["day=2026-11-27", "part=2"]
    assert master.over == {1}


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["alias=default"],
        ["alias=default", "queue=mail"],
        ["alias=default", "queue=mail", "a"],
        ["alias=default", "queue=other", "day=2026-11-26"],
    ],
)
def test_a_run_that_somebody_else_has_started_is_left_alone(args: list[str]) -> None:
    """A map of the same job has no arguments, and no task could be enqueued beside it."""
    master, day = FakeMaster(), ["2026-11-26"]
    ours = queue(master, day)
    master.StartRun(StartRun(1, job="job", args=args, key="of somebody else"))
    put(ours, "a")
    day[0] = "2026-11-27"
    assert put(ours, "b") == [(3, 1)]
    assert master.over == {2}


def test_a_task_does_not_wait_for_the_end_of_earlier_runs() -> None:
    master, day = FakeMaster(), ["2026-11-26"]
    ours, asked = queue(master, day), asyncio.Event()
    put(ours, "a")
    day[0] = "2026-11-27"

    async def no_answer(make: Callable[[int], Any], answer: type) -> Any:
        if isinstance(make(1), AskRuns):
            asked.set()
            await asyncio.Event().wait()
        return await master.once(make, answer)

    master.again = no_answer  # type: ignore[method-assign]

    async def scene() -> None:
        async with asyncio.timeout(60.0):
            assert await ours.put(block("b")) == (2, 1)
            await asked.wait()

    asyncio.run(scene())


@pytest.mark.parametrize(
    "trouble",
    [
        [UnreachableError("the master has not answered")],
        [RefusedError("no")],
        [None, RefusedError("run 1 has ended")],
        [None, ConnectionLostError("lost"), RefusedError("no"), None, RefusedError("no")],
    ],
)
def test_the_end_of_earlier_runs_is_repeated_until_the_master_takes_it(
    trouble: list[Exception | None],
) -> None:
    master, day = FakeMaster(), ["2026-11-25"]
    ours = queue(master, day)
    put(ours, "a")
    put(queue(master, day, "other"), "b")
    master.trouble = [*trouble]
    day[0] = "2026-11-27"
    assert put(ours, "c") == [(3, 1)]
    assert (master.over, master.trouble) == ({1}, [])


def test_one_refusal_does_not_keep_the_other_runs_from_ending() -> None:
    master, day = FakeMaster(), ["2026-11-25"]
    put(queue(master, day), "a")
    master.trouble = [RefusedError("no")] * 3
    day[0] = "2026-11-26"
    ours = queue(master, day)

    async def scene() -> None:
        """A process that ends before it has ended the run of the 25th."""
        await ours.put(block("b"))
        for task in master.going_on:
            task.cancel()
        master.going_on.clear()

    asyncio.run(scene())
    master.trouble = [None, RefusedError("no"), None]
    day[0] = "2026-11-27"
    heard: list[set[int]] = []
    listing = master.AskRuns

    def asked(ask: AskRuns) -> RunList:
        heard.append({*master.over})
        return listing(ask)

    master.AskRuns = asked  # type: ignore[method-assign]
    put(ours, "c")
    assert {2} in heard, "before the second try"
    assert master.over == {1, 2}


def test_a_process_that_has_not_begun_the_run_looks_for_earlier_ones_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer that its run is new may be lost, or the process that got it may have ended."""
    master, day = FakeMaster(), ["2026-11-26"]
    put(queue(master, day), "a")
    day[0] = "2026-11-27"
    master.StartRun(
        StartRun(
            1, job="job", args=[], key="django alias=default queue=mail day=2026-11-27 needs=mail"
        )
    )
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def slept(pause_s: float) -> None:
        pauses.append(pause_s)
        await sleep(0)

    monkeypatch.setattr(runs, "_OTHERS_S", 60.0)
    monkeypatch.setattr(asyncio, "sleep", slept)
    assert put(queue(master, day), "b", "c") == [(2, 1), (2, 2)]
    assert master.over == {1}
    assert pauses.count(60.0) == 1


def test_nothing_is_repeated_once_the_session_has_ended() -> None:
    master = FakeMaster()
    ours = queue(master, ["2026-11-27"])
    master.trouble = [ConnectionLostError("the client was closed")] * 100

    def closed(ask: AskRuns) -> RunList:
        master.closed = True
        return FakeMaster.AskRuns(master, ask)

    master.AskRuns = closed  # type: ignore[method-assign]
    put(ours, "a")
    assert len(master.trouble) == 99


def test_nothing_is_repeated_once_a_new_day_has_begun() -> None:
    master, day = FakeMaster(), ["2026-11-27"]
    ours = queue(master, day)
    master.trouble = [RefusedError("no")] * 100

    async def scene() -> None:
        await ours.put(block("a"))
        day[0] = "2026-11-28"
        await ours.put(block("b"))
        async with asyncio.timeout(60.0):
            await master.going_on[0]
        assert len(master.trouble) > 0
        master.going_on[1].cancel()

    asyncio.run(scene())


@pytest.mark.parametrize("lose", [1, 3])
def test_a_task_whose_answer_was_lost_is_there_once(lose: int) -> None:
    master = FakeMaster()
    ours = queue(master, ["2026-11-27"])
    put(ours, "a")
    master.lose = lose
    assert put(ours, "b") == [(1, 2)]
    assert master.tasks == {1: ["a", "b"]}


def test_a_task_whose_answer_was_lost_is_looked_for_in_the_run_that_has_ended_since() -> None:
    master, day = FakeMaster(), ["2026-11-27"]
    ours = queue(master, day)
    put(ours, "a")
    master.lose = 1
    submit = master.SubmitTasks

    def then_midnight(ask: SubmitTasks) -> Accepted:
        day[0] = "2026-11-28"
        return submit(ask)

    master.SubmitTasks = then_midnight  # type: ignore[method-assign]
    assert put(ours, "b") == [(1, 2)]
    assert put(ours, "c") == [(2, 1)]
    assert master.tasks == {1: ["a", "b"], 2: ["c"]}


def test_other_refusals_and_a_master_that_is_away_come_out() -> None:
    master = FakeMaster()
    ours = queue(master, ["2026-11-27"])
    put(ours, "a")
    master.refusal = "can't write: disk full"
    with pytest.raises(RefusedError, match="disk full"):
        put(ours, "b")
    assert len(master.keys) == 1
    master.refusal = ""
    master.lose = 99
    with pytest.raises(ConnectionLostError, match=r"10 times .* enqueued is unknown"):
        put(ours, "b")


def test_a_master_that_is_away_or_silent_comes_out_and_says_what_is_unknown() -> None:
    master = FakeMaster()
    ours = queue(master, ["2026-11-27"])
    put(ours, "a")
    master.away = True
    with pytest.raises(UnreachableError, match=r"^no master$"):
        put(ours, "b")
    master.away, master.silent = False, True
    with pytest.raises(UnreachableError, match="not answered; whether the task was enqueued is"):
        put(ours, "c")

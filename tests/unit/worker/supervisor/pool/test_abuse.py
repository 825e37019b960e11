"""What a job does to exceptions, results and tasks wedges neither its slot nor its worker."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from queue_manager import Reject, Retry, codec
from queue_manager.job.contract import LONGEST_S
from queue_manager.wire.records import Done, Failed, GroupLimit
from tests.unit.worker.slot.test_async_slot import write
from worker.ipc.outcomes import failed
from worker.ipc.pipe import Frames
from worker.supervisor.outbox import Outbox


@pytest.mark.parametrize(
    "deed",
    [
        "asyncio.current_task().cancel()",
        "asyncio.get_running_loop().set_task_factory(lambda *a, **k: None)",
    ],
    ids=["cancels itself", "task factory"],
)
def test_a_coroutine_that_returns_after_a_deed_is_reported(
    jobs: Any, run_worker: Any, tmp_path: Path, deed: str
) -> None:
    """Its lease was never over before: the slot waited, and the run with it."""
    work = f"async def work(n):\n    if n == 1: {deed}\n    return n\n"
    write(jobs, tmp_path, work, 1)  # of several, the next to start has a report sent

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([1]))
        await rig.until(lambda: rig.done == {(1, 0): 1})
        rig.give(jobs.lease([2]))
        await rig.until(lambda: rig.done == {(1, 0): 1, (2, 0): 2})

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_a_coroutine_whose_neighbour_cancels_it_before_its_start_has_failed(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    work = """
async def work(n):
    if n == 0:
        for task in asyncio.all_tasks():
            if "_one" in repr(task.get_coro()) and task is not asyncio.current_task():
                task.cancel()
    return n
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0, 1]))
        await rig.until(lambda: rig.done == {(1, 0): 0} and len(rig.failed) == 1)

    run_worker(scenario)


SECONDS = "_OddRetry: delay_s is a number of seconds"


class _OddRetry(Retry):
    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class _OddReject(Reject):
    def __init__(self, status: int) -> None:
        self.status = status


@pytest.mark.parametrize(
    ("fields", "line", "delay_s"),
    [
        ({}, "_OddRetry: the job asked for another try, without a reason", None),
        ({"delay_s": 5}, "Retry in 5 s", 5.0),
        ({"reason": 429}, "429", None),
        ({"delay_s": "5"}, f"{SECONDS}, not '5'", None),
        ({"delay_s": -5.0}, f"{SECONDS}, 0 or more, not -5.0", None),
        ({"delay_s": math.nan}, f"{SECONDS}, 0 or more, not nan", None),
        (
            {"whole_group": True},
            "_OddRetry: whole_group=True needs delay_s: for how long the group waits",
            None,
        ),
    ],
    ids=["nothing", "delay", "reason", "text", "negative", "nan", "group"],
)
def test_a_retry_of_a_class_of_the_jobs_is_read_with_care(
    fields: dict[str, Any], line: str, delay_s: float | None
) -> None:
    """Such as one whose `__init__` does not call ours."""
    outcome = failed(7, 0, _OddRetry(**fields), 0.1)
    assert (outcome.error, outcome.delay_s, outcome.reject) == (line, delay_s, False)
    assert not outcome.whole_group


def test_a_reject_whose_init_does_not_call_ours_is_a_reject() -> None:
    outcome = failed(7, 0, _OddReject(404), 0.1)
    assert (outcome.error, outcome.reject) == ("_OddReject: 404", True)


def test_a_class_whose_name_cannot_be_read_has_its_own() -> None:
    class Meta(type):
        @property
        def __name__(cls) -> str:
            raise KeyboardInterrupt

    class Odd(BaseException, metaclass=Meta):
        pass

    assert failed(7, 0, Odd("why"), 0.1).error == "Odd: why"


DONE = codec.encode_batch([1])


@pytest.mark.parametrize(
    "outcome",
    [
        Failed(1, 0, "x", delay_s=-1.0),
        Failed(1, 0, "x", delay_s=math.nan),
        Failed(1, 0, "x", delay_s=2 * LONGEST_S),
        Failed(1, 0, "x", whole_group=True),
        Done(1, 0, 1, DONE, 0.0, limits={"": GroupLimit(1, 0.0)}),
        Done(1, 0, 1, DONE, 0.0, limits={"a": GroupLimit(0, 0.0)}),
        Done(1, 0, 1, DONE, 0.0, limits={"a": GroupLimit(1, math.nan)}),
    ],
    ids=["negative", "nan", "long", "group", "no name", "at_once", "every_s"],
)
def test_what_is_out_of_range_is_a_failed_try_that_says_so(jobs: Any, outcome: Any) -> None:
    """The master ends a session that reports it, and the worker would report it again."""
    outbox = Outbox()
    outbox.add(jobs.lease([0]), outcome)
    (entry,) = outbox.take()
    assert isinstance(entry.outcome, Failed)
    assert (entry.outcome.delay_s, entry.outcome.whole_group) == (None, False)
    if not (isinstance(outcome, Failed) and outcome.whole_group):
        assert "out of range" in entry.outcome.error


@pytest.mark.parametrize("took_s", [math.nan, math.inf, -1.0], ids=["nan", "inf", "negative"])
def test_a_clock_that_a_job_has_changed_costs_no_result(jobs: Any, took_s: float) -> None:
    outbox = Outbox()
    outbox.add(jobs.lease([0]), Done(1, 0, 1, DONE, took_s))
    (entry,) = outbox.take()
    assert isinstance(entry.outcome, Done)
    assert entry.outcome.took_s == 0.0


def test_nobody_waits_for_a_frame_of_two_gigabytes() -> None:
    """A task wrote our mark and a length to its pipe: what follows would fill the supervisor."""
    frames = Frames()
    assert frames.feed(b"\xc1QM\xc1\x7f\xff\xff\xff" + bytes(100)) == []
    assert frames.garbled

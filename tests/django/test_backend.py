"""The backend with a real master and real workers: what is promised to a Django project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.tasks import TaskResultStatus, default_task_backend, task_backends
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.utils import timezone

from queue_manager import codec
from queue_manager.django import runs
from queue_manager.django.travelling import Ended, Payload, TaskId
from queue_manager.errors import UnreachableError
from queue_manager.wire.records import NewBlock, TaskStatus
from tests.django.conftest import PATHS, Site
from tests.integration.processes import clean_environment, eventually

NOW = "2026-11-27T00:00:00+00:00"
ELSEWHERE = """
import django, sys
django.setup()
from django.tasks import default_task_backend
result = default_task_backend.get_result(sys.argv[1])
print(result.status, result.return_value, result.task.module_path, result.args, result.kwargs)
"""


@pytest.fixture(scope="module")
def tasks() -> Any:
    import shop.tasks

    return shop.tasks


def numbers(result: Any) -> tuple[int, int]:
    run, task, _ = result.id.split("-")
    return int(run), int(task)


def put(tasks: Any, token: str, payload: Any) -> tuple[int, int]:
    """Enqueue what may be no task of this project. Returns the numbers of its run and itself."""
    backend = task_backends["default"]
    block = NewBlock(1, codec.encode_batch([payload]), [token])
    placed: tuple[int, int] = backend._connection.begin(
        backend._queue(tasks.add).put(block)
    ).result()
    return placed


def test_a_result_comes_with_all_its_times(tasks: Any, finished: Any) -> None:
    before = timezone.now()
    result = tasks.add.enqueue(1, b=2)
    assert (result.status, result.attempts, result.started_at) == (TaskResultStatus.READY, 0, None)
    assert len(result.id) < 64
    finished(result)
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, 3)
    times = [before, result.enqueued_at, result.started_at, result.finished_at, timezone.now()]
    assert times == sorted(times)
    assert (result.attempts, result.errors) == (1, [])
    assert result.last_attempted_at == result.started_at


def test_a_result_is_there_for_another_process_and_after_the_masters_death(
    site: Site, tasks: Any, finished: Any
) -> None:
    waiting = tasks.add.using(queue_name="nobody").enqueue(5)
    result = tasks.add.enqueue("a", b="b")
    site.master.process.kill()
    site.master.serve()
    finished(result)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, result.id],
        env=clean_environment({**site.environment, "PYTHONPATH": ":".join(PATHS)}),
        capture_output=True,
        text=True,
        timeout=60.0,
    )
    assert done.stdout == "SUCCESSFUL ab shop.tasks.add ['a'] {'b': 'b'}\n", done.stderr
    waiting.refresh()
    assert waiting.status == TaskResultStatus.READY
    eventually(lambda: "no worker has the tag nobody" in site.master.status())


def test_a_task_that_runs_says_so(tasks: Any, tmp_path: Path, finished: Any) -> None:
    result = tasks.wait_for.enqueue(str(tmp_path / "go"))
    eventually((tmp_path / "go.on").exists)
    result.refresh()
    assert (result.status, result.is_finished) == (TaskResultStatus.RUNNING, False)
    assert result.enqueued_at <= result.started_at <= timezone.now()
    assert len(result.worker_ids) == 1
    (tmp_path / "go").touch()
    assert finished(result).return_value == str(tmp_path / "go")


def test_a_task_that_raises_is_a_dead_letter_with_its_error(
    site: Site, tasks: Any, finished: Any
) -> None:
    result = finished(tasks.fail.enqueue("not so"))
    assert result.status == TaskResultStatus.FAILED
    (error,) = result.errors
    assert error.exception_class is ValueError
    assert error.traceback.endswith("ValueError: not so\n")
    assert "Django task" not in error.traceback
    assert result.started_at <= result.finished_at
    assert result.worker_ids == [f"{os.uname().nodename}/{site.started[1].popen.pid}"]
    with pytest.raises(ValueError, match="Task failed"):
        result.return_value  # noqa: B018
    run, task = numbers(result)
    shown = site.master.command("show", str(run), str(task)).out
    assert re.search(r"ValueError: not so\n.*\[Django task: started 20\S+, finished 20\S+\]", shown)


def test_a_task_that_kills_its_process_has_failed(tasks: Any, finished: Any) -> None:
    result = finished(tasks.die.enqueue())
    (error,) = result.errors
    assert error.exception_class.__name__ == "WorkerDiedError"
    assert "7" in error.traceback


def test_run_after_delays_a_task(tasks: Any, finished: Any) -> None:
    due = timezone.now() + timedelta(seconds=1.5)
    result = tasks.add.using(run_after=due).enqueue(1)
    result.refresh()
    assert (result.status, result.task.run_after) == (TaskResultStatus.READY, due)
    finished(result)
    assert result.started_at >= due - timedelta(seconds=0.1)
    past = tasks.add.using(run_after=due - timedelta(days=1)).enqueue(2)
    assert finished(past).return_value == 2


def test_queues_are_tags_and_a_higher_priority_goes_first(
    site: Site, tasks: Any, finished: Any
) -> None:
    order = [0, -100, 50, 100, 1]
    results = [tasks.mail.using(priority=p).enqueue(p) for p in order]
    assert {r.status for r in results} == {TaskResultStatus.READY}
    worker = site.worker(WORKER_TAGS="mail", WORKER_SLOTS="1")
    for result in results:
        finished(result)
    done = [r.return_value for r in sorted(results, key=lambda r: r.started_at)]
    assert done == sorted(order, reverse=True)
    assert worker.terminate() == 0


def test_a_queue_that_can_be_no_tag_is_refused(tasks: Any) -> None:
    with pytest.raises(InvalidTask, match=r"Queue 'in words' needs the tag 'in words', and a tag"):
        tasks.add.using(queue_name="in words")
    with pytest.raises(InvalidTask, match="Queue 'other' is not valid"):
        tasks.add.using(queue_name="other")


def test_tries_are_told_apart(tasks: Any, finished: Any) -> None:
    result = finished(tasks.third_time.enqueue())
    assert result.return_value == [3, result.id, 3]
    assert (result.attempts, len(result.worker_ids)) == (3, 3)


def test_coroutines_run_and_tasks_enqueue_tasks(tasks: Any, finished: Any) -> None:
    inner = default_task_backend.get_result(finished(tasks.nested.enqueue(4)).return_value)
    assert finished(inner).return_value == 5


def test_aenqueue_and_aget_result(tasks: Any, finished: Any) -> None:
    async def scene() -> Any:
        result = await tasks.add.aenqueue(1)
        again = await tasks.add.aget_result(result.id)
        assert again == result or again.status != result.status
        await result.arefresh()
        return result

    assert finished(async_to_sync(scene)()).return_value == 1


def test_an_id_that_is_not_there(tasks: Any) -> None:
    result = tasks.add.enqueue(1)
    run, task = numbers(result)
    other = "a" * 22
    for wrong in (
        "123",
        "",
        5,
        f"{run}-{task}-{other}",
        f"{run}-999999-{other}",
        f"99999-1-{other}",
    ):
        with pytest.raises(TaskResultDoesNotExist):
            default_task_backend.get_result(wrong)


def test_a_task_waits_for_the_commit_where_that_is_asked_for(tasks: Any, finished: Any) -> None:
    made: list[Any] = []
    with transaction.atomic():
        transaction.on_commit(lambda: made.append(tasks.add.enqueue(2)))
        now = tasks.add.enqueue(1)
        assert finished(now).return_value == 1
        assert made == []
    assert finished(made[0]).return_value == 2


def test_threads_and_forks_feed_the_same_run(tasks: Any, finished: Any) -> None:
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(tasks.add.enqueue, range(100)))
    assert len({result.id for result in results}) == 100
    assert len({numbers(result)[0] for result in results}) == 1
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, tasks.add.enqueue(7).id.encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    theirs = default_task_backend.get_result(os.read(read, 100).decode())
    assert numbers(theirs)[0] == numbers(results[0])[0]
    assert finished(theirs).return_value == 7
    assert [finished(result).return_value for result in results] == list(range(100))


def test_each_day_has_its_run_and_the_one_before_ends(
    site: Site, tasks: Any, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = task_backends["default"]
    first = finished(tasks.add.enqueue(1))
    old = numbers(first)[0]
    waits = tasks.add.using(queue_name="nobody").enqueue(1)
    backend._queues.clear()  # as in a process of the next day
    monkeypatch.setattr(runs.Queue.__init__, "__defaults__", (lambda: "2999-01-01",))
    second = finished(tasks.add.enqueue(2))
    assert numbers(second)[0] > old
    eventually(lambda: site.master.run_line(old)["state"] in ("done", "failed"), 20.0, "the end")
    assert site.master.run_line(numbers(waits)[0])["state"] == "active"
    first.refresh()
    assert first.return_value == 1
    assert "day=2999-01-01" in site.master.status()
    backend._queues.clear()


def test_a_run_that_was_cancelled_has_a_successor(site: Site, tasks: Any, finished: Any) -> None:
    nobody = tasks.add.using(queue_name="nobody")
    lost = nobody.enqueue(1)
    run = numbers(lost)[0]
    assert site.master.command("cancel", str(run)).code == 0
    later = nobody.enqueue(2)
    assert numbers(later)[0] > run
    assert later.status == TaskResultStatus.READY
    assert finished(lost).status == TaskResultStatus.FAILED
    assert lost.errors[-1].exception_class.__name__ == "CancelledError"


def test_only_what_is_declared_as_a_task_is_called(site: Site, tasks: Any) -> None:
    for path, why in {
        "shop.tasks.plain": "is not declared with @task",
        "os.getcwd": "is not declared with @task",
        "shop.tasks.gone": "this project has no task shop.tasks.gone",
    }.items():
        token = f"{time.monotonic_ns():022}"
        asked = Payload(path, [1], {}, "default", "default", 0, token, NOW)
        run, task = put(tasks, token, asked.plain())
        wanted = partial(site.master.command, "show", str(run), str(task))
        eventually(lambda wanted=wanted, why=why: why in wanted().out)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"task": "shop.tasks.renamed"}, "this project has no task shop.tasks.renamed"),
        ({"task": ".a"}, "this project has no task .a"),
        ({"task": "shop.tasks.plain"}, "is not declared with @task"),
        ({"queue": "gone"}, "no valid task here: Queue 'gone' is not valid"),
        ({"alias": "gone"}, "no valid task here: The connection 'gone' doesn't exist"),
        ({"priority": 1_000}, "no valid task here: priority must be"),
        ({"priority": "high"}, "no task of Django's"),
        ({"run_after": "soon"}, "no valid task here"),
        ({"enqueued_at": "soon"}, "Invalid isoformat string"),
        ({"args": [{1}]}, "Unsupported type"),
        ({"args": None}, "no task of Django's"),
    ],
)
def test_a_task_that_the_project_has_no_more_has_no_result(
    tasks: Any, changed: Any, says: str
) -> None:
    token = f"{time.monotonic_ns():022}"
    asked = Payload("shop.tasks.add", [1], {}, "default", "default", 0, token, NOW)
    number = TaskId(*put(tasks, token, {**asked.plain(), **changed}), token)
    with pytest.raises(TaskResultDoesNotExist) as caught:
        default_task_backend.get_result(str(number))
    text = str(caught.value)
    assert text.startswith(f"{number}: ")
    assert says in text
    assert "\n" not in text


def told(result: Any, **changed: Any) -> Any:
    """What get_result makes of a task that is done, by what its worker has told."""
    token = "a" * 22
    asked = Payload("shop.tasks.add", [1], {}, "default", "default", 0, token, NOW)
    body, results = (codec.encode_batch([one]) for one in (asked.plain(), result))
    status = TaskStatus(1, "django_tasks", 1, "done", body, 0, token, results=results)
    status = msgspec.structs.replace(status, **changed)
    return task_backends["default"]._result(TaskId(1, 1, token), status)


def test_a_worker_does_not_say_how_many_tries_there_were() -> None:
    ended = Ended(5, NOW, NOW, "here/1", 10**15).plain()
    result = told(ended, attempts=2)
    assert (result.return_value, result.worker_ids) == (5, ["", "", "here/1"])
    for wrong in (
        {"attempt": "many"},
        {"worker": 5},
        {"started_at": "soon"},
        {"finished_at": None},
    ):
        with pytest.raises(TaskResultDoesNotExist):
            told({**ended, **wrong})
    with pytest.raises(TaskResultDoesNotExist, match="its result was not made by this job"):
        told(7)


def test_times_that_a_traceback_only_seems_to_have_are_not_known() -> None:
    evidence = "ValueError\n[Django task: started x, finished y]\n"
    result = told(None, state="dead", error="ValueError", evidence=evidence, results=None)
    assert (result.status, result.finished_at) == (TaskResultStatus.FAILED, None)
    assert result.errors[0].traceback == "ValueError\n"


def test_no_master_is_one_line_within_the_timeout(tasks: Any) -> None:
    since = time.monotonic()
    with pytest.raises(UnreachableError, match=r"^no master at 127\.0\.0\.1:1 \(QUEUE_HOST"):
        tasks.add.using(backend="elsewhere").enqueue(1)
    assert time.monotonic() - since < 10.0


def test_wrong_options_are_told_by_the_check_and_at_first_use(tasks: Any) -> None:
    found = [error.msg for error in task_backends["wrong"].check()]
    assert len(found) == 3
    assert "OPTIONS has no HOSTS" in found[0]
    assert "QUEUE_PORT='b': expected a port" in found[1]
    assert "'in words' is no tag" in found[2]
    assert all(text.count("TASKS['wrong']: ") == 1 for text in found)
    with pytest.raises(ImproperlyConfigured, match="QUEUE_PORT='b'"):
        tasks.add.using(backend="wrong").enqueue(1)
    assert task_backends["again"].check() == []


def test_options_of_wrong_types_are_told_before_anything_is_sent(tasks: Any) -> None:
    """The master cannot read a request with such a job, and ended the session of all threads."""
    found = [error.msg for error in task_backends["of_wrong_types"].check()]
    assert [text.partition(": ")[2] for text in found] == [
        "TIMEOUT='soon': expected a number of seconds above 0",
        "JOB=5: expected the name of a job",
        "TAGS={'default': 7}: expected a list of tags for each queue",
    ]
    for backend, option in {
        "of_wrong_types": "TAGS",
        "without_job": "JOB",
        "without_time": "TIMEOUT",
    }.items():
        with pytest.raises(ImproperlyConfigured, match=rf"^TASKS\['{backend}'\]: {option}="):
            tasks.add.using(backend=backend).enqueue(1)

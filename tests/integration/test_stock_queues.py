"""The two queues as clients of the standard library see them: the rules of docs/protocol.md."""

from __future__ import annotations

import datetime
import decimal
import queue
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.processes import Master, eventually
from tests.integration.stock import stock_pythons

PLAIN: list[Any] = [
    None,
    True,
    -1,
    10**60,
    1.5,
    float("inf"),
    "text, 痛点就是起点",
    "x" * 17_000,
    b"\x00\xff" * 8_500,
    [1, [2, "three"]],
    (1, (2,)),
    {"a": 1, 2: [b"b"], (3, 4): None},
    {1, 2},
    frozenset({"a", 1}),
    datetime.datetime(2026, 11, 22, 3, 54, 1, 5, tzinfo=datetime.UTC),
    datetime.date(2026, 11, 22),
    datetime.timedelta(days=-1, seconds=5, microseconds=7),
    decimal.Decimal("1.10"),
    uuid.UUID(int=7),
]


@pytest.mark.parametrize("python", [pytest.param(path, id=name) for name, path in stock_pythons()])
def test_plain_data_makes_the_round_trip_with_every_stock_python(
    python: str, lone_master: Master
) -> None:
    client = lone_master.client(python)
    reader = lone_master.client()
    for value in PLAIN:
        client("tasks.put(value)", value=value)
    for value in PLAIN:
        task = client("tasks.get(timeout=30)")
        assert (type(task), task) == (type(value), value)
        client("results.put(value)", value=task)
        result = reader("results.get(timeout=30)")
        assert (type(result), result) == (type(value), value)
    client.begin("tasks.get(False)")
    with pytest.raises(queue.Empty):
        client.answer()


@pytest.mark.parametrize("python", [pytest.param(path, id=name) for name, path in stock_pythons()])
def test_every_stock_python_gets_its_errors_as_classes_that_it_has(
    python: str, lone_master: Master
) -> None:
    client = lone_master.client(python)
    with pytest.raises(queue.Empty):
        client("tasks.get_nowait()")
    with pytest.raises(queue.Empty):
        client("results.get(timeout=0.05)")
    with pytest.raises(TypeError, match=r"time\.struct_time cannot travel: plain data is None"):
        client("tasks.put(time.gmtime())")
    with pytest.raises(ValueError, match="non-negative"):
        client("tasks.get(True, -1)")
    with pytest.raises(TypeError):
        client("tasks.put()")
    assert client("tasks.qsize()") == 0


def test_the_queues_answer_as_a_local_queue_does(master: Master) -> None:
    client = master.client()
    assert client("(tasks.empty(), tasks.full(), tasks.qsize())") == (True, False, 0)
    assert client("(results.empty(), results.full(), results.qsize())") == (True, False, 0)
    assert client("[tasks.put(1), tasks.put(2, False), tasks.put(3, True, 1), tasks.put_nowait(4)]")
    assert client("(tasks.empty(), tasks.full(), tasks.qsize())") == (False, False, 4)
    assert client("(tasks.get(), results.put('a'))") == (1, None)
    assert client("(tasks.get_nowait(), results.put_nowait('b'))") == (2, None)
    assert client("(tasks.get(block=False), results.put('c'), tasks.task_done())")[0] == 3
    assert client("(results.empty(), results.full(), results.qsize())") == (False, False, 3)
    assert client("[results.get(), results.get_nowait(), results.get(timeout=1)]") == list("abc")
    assert client("(results.task_done(), results.join())") == (None, None)
    assert client("(tasks.qsize(), results.qsize())") == (1, 0)


def test_a_get_that_waits_is_answered_by_the_put_of_another(master: Master) -> None:
    worker, producer = master.client(), master.client()
    worker.begin("(tasks.get(), results.put('done'))")
    producer("tasks.put('late')")
    assert worker.answer() == ("late", None)
    producer.begin("results.get()")
    assert producer.answer() == "done"


def test_a_client_killed_while_it_waits_takes_no_task_with_it(master: Master) -> None:
    waiting, producer = master.client(), master.client()
    waiting.begin("tasks.get()")
    eventually(lambda: "stock" in master.status(), what="the client that waits is in the status")
    waiting.kill()
    producer("tasks.put('kept')")
    assert producer("tasks.get(timeout=30)") == "kept"


def test_a_worker_that_skips_a_task_has_no_result_recorded_on_another(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(JOB="count_up", JOB_ARGS="count=6")
    worker = master.client()
    seen = []
    skipped = worker("tasks.get(timeout=10)")  # and then its script raised, caught it, went on
    for _ in range(12):
        n = worker("tasks.get(timeout=10)")
        seen.append(n)
        worker("results.put(n * n)", n=n)
        if len(master.results(1)) == 6:
            break
    assert seen.count(skipped) >= 1  # the skipped one was run again
    tasks = master.ended_tasks(1, 6)
    assert [task["payload"] for task in tasks] == list(range(6))
    assert [task["result"] for task in tasks] == [n * n for n in range(6)]
    by_payload = {task["payload"]: task["attempts"] for task in tasks}
    assert by_payload.pop(skipped) == 2  # the skip was charged
    assert set(by_payload.values()) == {1}  # and nothing else was
    assert master.process.lines(f"task {skipped + 1} failed: .*took another task without a result")


def test_the_put_after_a_skip_settles_nothing_and_its_task_comes_again(master: Master) -> None:
    client, reader = master.client(), master.client()
    client("[tasks.put(n) for n in (1, 2)]")
    assert client("[tasks.get(), tasks.get()]") == [1, 2]
    client("results.put('of 1 or of 2?')")
    assert reader("results.qsize()") == 0
    again = [client("tasks.get(timeout=30)") for _ in range(1)]
    client("results.put(n)", n=again[0])
    again.append(client("tasks.get(timeout=30)"))
    client("results.put(n)", n=again[1])
    assert sorted(again) == [1, 2]
    assert sorted(reader("[results.get(timeout=30), results.get(timeout=30)]")) == [1, 2]
    assert {t["payload"]: t["attempts"] for t in master.results(0)} == {1: 2, 2: 1}


def test_a_task_skipped_three_times_is_a_dead_letter(master: Master) -> None:
    """A script that catches what one task raises and goes on with the others."""
    client = master.client()
    client("tasks.put('poison')")

    def goes_on() -> bool:
        client("tasks.qsize() or tasks.put('fine')")
        task = client("tasks.get(timeout=30)")
        if task != "poison":
            client("results.put(task)", task=task)
        return master.run_line(0)["dead"] == "1"

    eventually(goes_on, what="a dead letter")
    (dead,) = [task for task in master.results(0) if task["state"] == "dead"]
    assert (dead["payload"], dead["result"], dead["attempts"]) == ("poison", None, 3)
    assert dead["error"] == "took another task without a result"
    rest = [task for task in master.results(0) if task["state"] == "done"]
    assert all((t["payload"], t["attempts"]) == (t["result"], 1) for t in rest)


def test_k_results_after_k_takes_are_of_those_tasks(start_master: Callable[..., Master]) -> None:
    master = start_master(JOB="count_up", JOB_ARGS="count=12")
    worker = master.client()
    for k in (4, 1, 2, 5):
        taken = worker("[tasks.get(timeout=10) for _ in range(k)]", k=k)
        worker("[results.put(n * n) for n in taken]", taken=taken)
    tasks = master.ended_tasks(1, 12)
    assert [task["result"] for task in tasks] == [n * n for n in range(12)]
    assert {task["attempts"] for task in tasks} == {1}


def test_a_stop_value_stops_one_worker_and_one_that_is_put_back_all(master: Master) -> None:
    boss, workers = master.client(), [master.client() for _ in range(3)]
    boss("tasks.put(None)")
    assert workers[0]("tasks.get(timeout=30)") is None
    workers[0].end()
    with pytest.raises(queue.Empty):
        workers[1]("tasks.get_nowait()")
    boss("tasks.put(None)")
    for worker in workers[1:]:
        assert worker("(tasks.get(timeout=30), tasks.put(None))") == (None, None)
        worker.end()
    assert boss("(tasks.qsize(), results.qsize())") == (1, 0)
    assert boss("(tasks.get(), tasks.join())") == (None, None)


def test_with_stock_ack_next_a_get_settles_the_task_before_it(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(QUEUE_STOCK_ACK="next")
    boss, worker = master.client(), master.client()
    boss("[tasks.put(n) for n in range(3)]")
    assert worker("[tasks.get() for _ in range(3)]") == [0, 1, 2]
    with pytest.raises(queue.Empty):
        worker("tasks.get_nowait()")
    boss("tasks.join()")
    assert boss("results.qsize()") == 0
    assert [(t["state"], t["result"]) for t in master.results(0)] == [("done", None)] * 3


def test_task_done_settles_the_open_lease_without_a_result(master: Master) -> None:
    client = master.client()
    client("[tasks.put(n) for n in (1, 2)]")
    assert client("(tasks.get(), tasks.task_done())") == (1, None)
    assert client("(tasks.get(), results.put('two'), tasks.task_done())")[0] == 2
    done = [(t["payload"], t["state"], t["result"], t["attempts"]) for t in master.results(0)]
    assert done == [(1, "done", None, 1), (2, "done", "two", 1)]


def test_a_put_without_a_lease_reaches_a_reader_and_settles_nothing(master: Master) -> None:
    worker, other = master.client(), master.client()
    other("tasks.put('open')")
    assert worker("tasks.get()") == "open"
    other("results.put('by the way')")
    assert other("results.get(timeout=30)") == "by the way"
    assert master.results(0) == []
    worker("results.put('closed')")
    assert [t["result"] for t in master.results(0)] == ["closed"]


def test_join_waits_until_all_that_was_put_is_done_or_dead(master: Master) -> None:
    client, joining, late = master.client(), master.client(), master.client()
    client("[tasks.put(n) for n in (1, 2)]")
    assert joining("tasks.qsize()") == 2  # it is connected: its join comes before what follows
    joining.begin("tasks.join()")
    assert client("(tasks.get(), results.put(1))")[0] == 1
    assert client("tasks.get()") == 2
    late("tasks.put(3)")  # after the join began: not waited for
    assert joining.waits()
    client("results.put(2)")
    joining.answer()
    assert late("tasks.qsize()") == 1


def test_a_lease_goes_to_the_next_client_when_its_holder_ends(master: Master) -> None:
    first, second = master.client(), master.client()
    first("tasks.put('mine')")
    assert first("tasks.get()") == "mine"
    second.begin("tasks.get(timeout=60)")
    assert second.waits()
    first.kill()
    assert second.answer() == "mine"


def test_status_names_a_client_that_takes_and_puts_on_different_connections(
    master: Master,
) -> None:
    taker, putter = master.client(), master.client()
    taker("(tasks.put(1), tasks.get())")
    putter("results.put('one')")
    assert "takes here while results are put on another connection" in master.status()


def test_stock_clients_never_get_tasks_of_another_job(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(JOB="square", JOB_ARGS="count=0")
    other = master.submit("count_up", "count=3")
    client = master.client()
    eventually(lambda: master.run_line(other)["tasks"] == "3")
    with pytest.raises(queue.Empty):
        client("tasks.get(timeout=1)")
    client("tasks.put('for the queue run')")
    assert client("tasks.get(timeout=30)") == "for the queue run"


def test_shutdown_and_other_calls_of_a_manager_are_not_on_the_network(master: Master) -> None:
    client = master.client()
    connect = "manager._Client(manager.address, authkey=manager._authkey)"
    for call in ("'shutdown'", "'debug_info'", "'number_of_objects'", "'create', ('dict',)"):
        with pytest.raises(ValueError, match="on this network"):
            client(f"dispatch({connect}, None, {call})")
    assert client("tasks.qsize()") == 0


# --- names ---


@pytest.mark.parametrize("python", [pytest.param(path, id=name) for name, path in stock_pythons()])
def test_scripts_find_the_queues_under_their_own_names(python: str, master: Master) -> None:
    client = master.client(python)
    for task_name, result_name in (
        ("get_job_q", "get_result_q"),
        ("GetTaskQueue", "GetResultQueue"),
        ("task_queue", "result_queue"),
        ("get_dispatched_job_queue", "get_finished_job_queue"),
        ("get_task_url_queue", "get_feedback_queue"),
    ):
        names = {"task_name": task_name, "result_name": result_name}
        client("[manager.register(name) for name in (task_name, result_name)]", **names)
        client("getattr(manager, task_name)().put(result_name)", **names)
        assert client("tasks.get(timeout=30)") == result_name
        client("getattr(manager, result_name)().put(task_name)", **names)
        assert client("results.get(timeout=30)") == task_name
        assert client("getattr(manager, task_name)().qsize()", **names) == 0


def test_queue_names_adds_names(start_master: Callable[..., Master]) -> None:
    master = start_master(QUEUE_NAMES="task:get_x,result:get_y")
    client = master.client()
    client("[manager.register(name) for name in ('get_x', 'get_y')]")
    client("manager.get_x().put(1)")
    assert client("(tasks.get(timeout=30), manager.get_y().put(2))")[0] == 1
    assert client("results.get(timeout=30)") == 2
    client("manager.register('get_z')")
    keeps = "QUEUE_NAMES=task:get_x,result:get_y,task:get_z"
    with pytest.raises(ValueError, match=f"added get_x, get_y.*set {keeps} "):
        client("manager.get_z()")


@pytest.mark.parametrize("python", [pytest.param(path, id=name) for name, path in stock_pythons()])
def test_an_unknown_name_is_answered_with_the_names_and_logged_once(
    python: str, master: Master
) -> None:
    client = master.client(python)
    client("manager.register('get_thing')")
    for _ in range(3):
        with pytest.raises(
            ValueError, match=r"get_task_queue.*get_job_q.*QUEUE_NAMES=task:get_thing"
        ):
            client("manager.get_thing()")
    client("manager.register('get_things')")
    with pytest.raises(ValueError, match="QUEUE_NAMES=result:get_things"):
        client("manager.get_things()")
    assert len(master.process.lines(r"127\.0\.0\.1 asks for .* no 'get_thing' ")) == 1
    assert len(master.process.lines(r"127\.0\.0\.1 asks for .* no 'get_things' ")) == 1


def test_a_stranger_of_names_fills_neither_the_log_nor_the_memory(master: Master) -> None:
    client = master.client()
    connect = "manager._Client(manager.address, authkey=manager._authkey)"
    for n in range(40):
        with pytest.raises(ValueError, match="QUEUE_NAMES"):
            client(f"dispatch({connect}, None, 'create', ('get_{n}',))")
    with pytest.raises(ValueError, match="a text of at most 256 printable characters"):
        client(f"dispatch({connect}, None, 'create', ('x' * 257,))")
    assert len(master.process.lines("asks for a name")) == 8


def test_a_method_that_a_queue_lacks_is_answered_with_those_that_it_has(master: Master) -> None:
    client = master.client()
    with pytest.raises(AttributeError, match=r"'clear'.*only put, get"):
        client("tasks._callmethod('clear')")

"""What scripts call the two queues, and what they are told of a name that is not here."""

from __future__ import annotations

import re

import pytest

from queue_manager.names import EXCHANGE, QUEUE_METHODS, parse_names, queue_named, unknown

TASKS = [
    "get_task_queue", "getTaskQueue", "GetTaskQueue", "task_queue", "Task_Queue", "get_task_q",
    "task_q", "get_tasks", "get_tasks_queue", "tasks", "get_task", "taskQueue",
    "get_job_q", "get_job_queue", "getJobQueue", "job_queue", "jobs", "get_work_queue", "work_q",
    "get_todo_queue", "get_input_queue", "input_queue", "get_in_queue", "in_q", "get_inqueue",
    "get_request_queue", "get_dispatched_job_queue", "get_dispatched_jobs", "get_task_url_queue",
]  # fmt: skip

RESULTS = [
    "get_result_queue", "getResultQueue", "GetResultQueue", "result_queue", "Result_Queue",
    "get_result_q", "result_q", "get_results", "results", "get_result", "getResultsQueue",
    "get_done_queue", "get_done_q", "get_output_queue", "output_queue", "get_out_queue", "out_q",
    "get_outqueue", "get_response_queue", "get_answer_queue", "get_feedback_queue",
    "get_finished_job_queue", "finished_jobs",
]  # fmt: skip

OTHERS = [
    "get_queue", "queue", "get_q", "q", "get", "", "_", "get_", "s", "get_data_queue",
    "get_url_queue", "get_worker_queue", "get_master_queue", "get_date_queue", "get_dict", "list",
    "Lock", "register", "get_task_queue_2", "get_status", "get_register_queue", "shutdown",
    EXCHANGE, *QUEUE_METHODS,
]  # fmt: skip
"""`get_queue` and such name one queue here and the other there, or a third."""


def test_names_of_public_scripts_are_names_of_the_two_queues() -> None:
    assert {name: queue_named(name) for name in TASKS} == dict.fromkeys(TASKS, "task")
    assert {name: queue_named(name) for name in RESULTS} == dict.fromkeys(RESULTS, "result")


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_that_says_neither_is_of_no_queue(name: str) -> None:
    assert queue_named(name) is None


def test_an_unknown_name_is_answered_with_those_that_there_are_and_how_to_add_one() -> None:
    told = unknown("get_x", {})
    for part in ("no 'get_x'", "get_job_q", "getResultQueue", "QUEUE_NAMES=task:get_x or"):
        assert part in told
    assert "\n" not in unknown("a\nb", {})


def test_what_is_to_be_set_keeps_the_names_that_were_added_before() -> None:
    told = unknown("get_x", {"get_y": "result", "get_a": "task"})
    assert "QUEUE_NAMES has added get_a, get_y." in told
    values = re.findall(r"QUEUE_NAMES=(\S+)", told)
    before = {"get_y": "result", "get_a": "task"}
    assert [parse_names(value) for value in values] == [
        {**before, "get_x": "task"},
        {**before, "get_x": "result"},
    ]
    many = unknown("get_x", {f"get_{n}": "task" for n in range(10_000)})
    assert len(many) < 1_000
    assert "append ,task:get_x or ,result:get_x to QUEUE_NAMES" in many

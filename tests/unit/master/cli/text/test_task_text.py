"""How dead letters and single tasks read: for people, and as lines of JSON."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from master.cli.text.plain_json import FIELDS, LETTER_FIELDS, Letter, letters_of
from master.cli.text.task_text import letter_lines, letters_title, no_letters_title, task_lines
from queue_manager import codec
from queue_manager.wire.failures import RetryNote
from queue_manager.wire.records import DeadLetter, ResultBlock, RunStatus, TaskStatus, TaskTry

TRACE = 'Traceback (most recent call last):\n  File "crash.py", line 7\nValueError: no\n'


def run(**fields: Any) -> RunStatus:
    values = {"run": 5, "job": "crash", "args": [], "state": "failed", "tasks": 9, "waiting": 0}
    values |= {"leased": 0, "delayed": 0, "done": 0, "dead": 2, "exhausted": True}
    values |= {"collect_errors": 0, "started_at": 0.0, "ended_at": 1.0}
    return RunStatus(**(values | fields))


def task(**fields: Any) -> str:
    values = {"run": 5, "job": "crash", "task": 2, "state": "waiting"}
    values |= {"body": codec.encode_batch([1, {"n": 2}]), "position": 1}
    return "\n".join(task_lines(TaskStatus(**(values | fields))))


def test_the_title_says_how_many_and_what_to_do() -> None:
    assert letters_title(run(), raised=True) == (
        "run 5 (crash): 2 dead letters. Mend jobs/crash.py, then: qm retry 5"
    )
    assert letters_title(run(uploaded=True, key="a night"), raised=True) == (
        "run 5 (crash): 2 dead letters. To try again: qm retry 5; for other code first start it"
        " again with its key, 'a night'"
    )
    assert letters_title(run(uploaded=True), raised=True) == (
        "run 5 (crash): 2 dead letters. To try again: qm retry 5; it has no key, so other code"
        " needs a new run"
    )
    assert letters_title(run(dead=1), raised=True).startswith("run 5 (crash): 1 dead letter. ")
    assert letters_title(run(dead=0), raised=False) == "run 5 (crash): no dead letters"
    assert letters_title(run(state="cancelled"), raised=True) == "run 5 (crash): 2 dead letters"
    assert letters_title(run(run=0, job=""), raised=False) == (
        "run 0 (queue): 2 dead letters. To try them again: qm retry 0"
    )


def test_the_title_does_not_blame_the_job_for_an_input_that_it_rejected() -> None:
    assert letters_title(run(dead=1), raised=False) == (
        "run 5 (crash): 1 dead letter. To try again: qm retry 5; where an argument is wrong:"
        " qm submit crash ..."
    )


@pytest.fixture
def zone() -> Iterator[None]:
    """A local time that is two hours ahead of UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC-2"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def test_a_dead_letter_reads_from_the_error_down_to_the_evidence(zone: None) -> None:
    dead = DeadLetter(2, 3, 1, "ValueError: no", TRACE, "host/6", died_at=1_777_888_999.7)
    letter = Letter(5, dead, "k", {"n": 2})
    assert list(letter_lines(letter)) == [
        "task 2: ValueError: no",
        "  payload    {'n': 2}",
        "  key        'k'",
        "  attempts   3, and lost once",
        "  worker     host/6",
        "  died       2026-05-04 12:03:19+02:00, ValueError@crash.py:7",
        "  | Traceback (most recent call last):",
        '  |   File "crash.py", line 7',
        "  | ValueError: no",
    ]
    assert datetime.fromisoformat("2026-05-04 12:03:19+02:00").timestamp() == 1_777_888_999.0


def test_a_task_shows_who_had_it_tried_again_and_why(zone: None) -> None:
    notes = [RetryNote(60.0, "client a/1", "mended\x1b[2J"), RetryNote(120.5)]
    shown = task(state="done", retries=notes)
    assert "\n  retried    at 1970-01-01 02:01:00+02:00 by client a/1: mended\\x1b[2J\n" in shown
    assert "\n  retried    at 1970-01-01 02:02:00+02:00\n" in shown


def test_a_list_of_chosen_dead_letters_says_so() -> None:
    some = run(dead=5)
    title = letters_title(some, raised=True, chosen=True)
    assert title == (
        "run 5 (crash): 5 dead letters; those that you ask for. To try these again: qm retry 5 with"
        " the same options"
    )
    assert no_letters_title(some) == "run 5 (crash): 5 dead letters, none is such a one"


def test_a_long_payload_is_cut_in_the_list_and_whole_where_one_task_is_shown() -> None:
    payload = "x" * 1_000
    cut = list(letter_lines(Letter(5, DeadLetter(2, 3, 0, "no", ""), None, payload)))[1]
    assert cut.endswith("xxx ... (1,002 characters: qm show 5 2)")
    assert len(cut) < 400
    body = codec.encode_batch([payload])
    assert f"payload    {payload!r}" in task(body=body, position=0)


def test_what_a_job_printed_cannot_steer_the_terminal() -> None:
    letter = DeadLetter(2, 1, 0, "bad \x1b[2J", "one\ttwo\x07\n\x9b31m\n")
    text = "\n".join(letter_lines(Letter(5, letter, None, "\x1b")))
    assert "bad \\x1b[2J" in text
    assert "one\ttwo\\x07" in text
    assert "\\x9b31m" in text
    assert not any(sign in text for sign in "\x1b\x07\x9b")


def test_a_task_that_waits_says_that_no_output_is_kept_of_it() -> None:
    assert task() == (
        "run 5 (crash), task 2: waiting\n"
        "  payload    {'n': 2}\n"
        "  printed    not kept: output is kept of failed tries only, it has had none"
    )


def test_a_dead_task_shows_what_its_last_try_printed() -> None:
    text = task(
        state="dead",
        key="k",
        group="g",
        priority=3,
        attempts=3,
        losses=2,
        worker="host/6",
        error="ValueError: no",
        evidence=TRACE,
        printed="begin\nend\n",
    )
    assert text.splitlines() == [
        "run 5 (crash), task 2: dead letter",
        "  payload    {'n': 2}",
        "  key        'k'",
        "  group      'g'",
        "  priority   3",
        "  attempts   3, and lost 2 times",
        "  worker     host/6",
        "  error      ValueError: no",
        "  | Traceback (most recent call last):",
        '  |   File "crash.py", line 7',
        "  | ValueError: no",
        "  printed    by its last failed try, the end of it:",
        "  | begin",
        "  | end",
    ]


def test_each_state_says_what_there_is_to_say() -> None:
    assert "task 2: leased for 2.0 s" in task(state="leased", since_s=2.0, worker="host/6")
    assert "task 2: delayed, for 3.5 s more" in task(state="delayed", due_s=3.5)
    assert "task 2: cancelled" in task(state="cancelled")
    retried = task(state="delayed", due_s=1.0, attempts=1, error="ValueError: no")
    assert "last error ValueError: no" in retried
    assert "nothing by its last failed try" in retried
    results = codec.encode_batch([7, 8])
    done = task(state="done", results=results, result_position=1, attempts=1)
    assert "  result     8\n" in done
    assert "its tries were those of an earlier release" in done


TRIES = [
    TaskTry(12, "done", 180.0, 0.06, "host/6"),
    TaskTry(11, "lost", 120.0, 9.0, "host/5\x1b[2J", "its lease was lost: host/5 ended"),
    TaskTry(10, "failed", 60.0, None, "host/4", "ValueError: \x1b[2J", TRACE, "begin\nend\n"),
]


def test_a_task_that_is_done_shows_all_tries_that_are_kept(zone: None) -> None:
    shown = task(state="done", attempts=2, losses=1, worker="host/6", tries=TRIES)
    assert shown.splitlines()[2:] == [
        "  attempts   2, and lost once",
        "  worker     host/6",
        "  tries      12, the newest 3 are kept",
        "  try 12     done in 0.1 s at 1970-01-01 02:03:00+02:00 by host/6",
        "  try 11     lost after it was held for 9.0 s at 1970-01-01 02:02:00+02:00 by"
        " host/5\\x1b[2J: its lease was lost: host/5 ended",
        "  try 10     failed at 1970-01-01 02:01:00+02:00 by host/4: ValueError: \\x1b[2J",
        "  | Traceback (most recent call last):",
        '  |   File "crash.py", line 7',
        "  | ValueError: no",
        "  printed    the end of it:",
        "  | begin",
        "  | end",
    ]


def test_the_last_failed_try_is_shown_once() -> None:
    newest = TaskTry(2, "failed", 60.0, 1.0, "h/1", "ValueError: no", TRACE, "out\n")
    before = TaskTry(1, "failed", 30.0, 1.0, "h/1", "KeyError: 1", "trace of before\n")
    fields = {"error": newest.error, "evidence": TRACE, "printed": "out\n", "attempts": 2}
    shown = task(state="dead", tries=[newest, before], **fields)
    assert shown.count("| ValueError: no") == shown.count("| out") == 1
    assert shown.index("| out") < shown.index("try 2") < shown.index("try 1")
    assert shown.endswith("KeyError: 1\n  | trace of before")


def test_a_dead_letter_is_a_line_of_json_with_the_fields_of_results_and_its_evidence() -> None:
    letters = [DeadLetter(5, 3, 1, "no", TRACE, "host/6", "out"), DeadLetter(4, 1, 0, "bad", "")]
    body = codec.encode_batch([1, 10**30, b"\xff"])
    block = ResultBlock(3, 3, body, ["a", "b", "c"], [], letters, {})
    lines = [json.loads(letter.line.json()) for letter in letters_of(7, block)]
    assert [list(line) for line in lines] == [list(LETTER_FIELDS)] * 2
    assert LETTER_FIELDS[: len(FIELDS)] == FIELDS
    assert [line["payload"] for line in lines] == [10**30, {"$bytes": "/w=="}]
    assert lines[1] | {"payload": None} == {
        "run": 7,
        "task": 5,
        "key": "c",
        "state": "dead",
        "attempts": 3,
        "payload": None,
        "result": None,
        "error": "no",
        "losses": 1,
        "worker": "host/6",
        "evidence": TRACE,
        "printed": "out",
        "failure": "other@crash.py:7",
        "died_at": 0.0,
    }

"""What `status` prints."""

from __future__ import annotations

from typing import Any

import pytest

from master.status_text import duration, status_lines
from queue_manager.messages import Status
from queue_manager.records import RunStatus, SessionStatus


def run(number: int, words: list[str], **fields: Any) -> RunStatus:
    values = {"run": number, "job": "job", "words": words, "state": "active", "tasks": 1_234}
    values |= {"waiting": 1, "leased": 2, "delayed": 3, "done": 4, "dead": 5, "exhausted": True}
    values |= {"collect_errors": 0, "started_at": 0.0, "ended_at": None}
    return RunStatus(**(values | fields))


def lines(*runs: RunStatus, sessions: Any = (), why: Any = ()) -> list[str]:
    status = Status(1, "9.9", "here:5", 61.0, list(runs), list(sessions), 0, list(why))
    return list(status_lines(status))


def test_arguments_are_never_cut() -> None:
    words = ["start=http://a.b/" + "c" * 60, "name=two words"]
    (line,) = [line for line in lines(run(3, words)) if line.startswith("    3")]
    assert line.endswith(f"  job {words[0]} 'name=two words'")
    assert line.split()[:3] == ["3", "active", "1,234"]


def test_the_queue_run_names_the_job_that_runs_its_tasks() -> None:
    assert lines(run(0, []))[3].endswith("(queue) job")
    assert lines(run(0, [], job=""))[3].endswith("(queue)")


def test_cancelled_tasks_have_a_column_only_where_there_are_some() -> None:
    assert "cancelled" not in "\n".join(lines(run(1, [])))
    head, line = lines(run(1, [], cancelled=77))[2:4]
    assert head.split().index("cancelled") == line.split().index("77")


def test_reasons_stand_below_what_they_are_of() -> None:
    found = lines(run(1, [], why=["no worker", "other"], collect_errors=2), why=["disk full"])
    assert found[1] == "  ! disk full"
    assert found[5:8] == [
        "       ! no worker",
        "       ! other",
        "       ! collect() raised 2 times: see the master's log",
    ]


def test_a_session_shows_for_how_long_it_is_connected() -> None:
    worker = SessionStatus("worker", "host/6", 2, 3, 1.5, 7_300.0, "a note")
    line = lines(sessions=[worker])[-1]
    assert line.split() == ["worker", "host/6", "2", "h", "2", "3", "1.5", "s", "a", "note"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (7_200.0, "2 h"), (200_000.0, "2 days")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text

"""The arguments that choose dead letters, looked at before they are sent."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from queue_manager.client.runs.choosing import check_master, filter_of, reason_of
from queue_manager.errors import ArgumentError, ProtocolError
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.messages import LEVEL, Welcome


@pytest.mark.parametrize(
    ("given", "only"),
    [
        ({}, None),
        ({"tasks": [3, 1, 2, 9, 9]}, FailureFilter(((1, 4), (9, 10)))),
        ({"tasks": 5}, FailureFilter(((5, 6),))),
        ({"tasks": iter([5])}, FailureFilter(((5, 6),))),
        ({"error": "ValueError"}, FailureFilter(exception="ValueError")),
        ({"error": KeyError}, FailureFilter(exception="KeyError")),
        ({"error": "a.B@x@y.py:12"}, FailureFilter(exception="a.B", place="x@y.py:12")),
        ({"error": "@y.py:12"}, FailureFilter(place="y.py:12")),
        ({"worker": "box/1"}, FailureFilter(worker="box/1")),
        ({"since": 5, "until": 6.5}, FailureFilter(since=5.0, until=6.5)),
        ({"since": datetime.fromtimestamp(5.0, UTC)}, FailureFilter(since=5.0)),
        ({"until": datetime.fromtimestamp(5.0)}, FailureFilter(until=5.0)),
    ],
)
def test_arguments_make_a_filter(given: dict[str, Any], only: FailureFilter | None) -> None:
    assert filter_of(**given) == only


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"tasks": []}, "tasks names no task: leave it out for all of them"),
        ({"tasks": [0]}, "0 is no number of a task, such as 1"),
        ({"tasks": [True]}, "True is no number of a task"),
        ({"tasks": ["1"]}, "'1' is no number of a task"),
        ({"tasks": range(1, 10_000, 2)}, "tasks has 5,000 ranges of tasks, and may have 4,096"),
        ({"error": "@"}, "error names nothing"),
        ({"error": "a@b.py"}, "'b.py' is no place: pass it as FILE:LINE"),
        ({"error": "a@:12"}, "':12' is no place"),
        ({"error": 7}, "error=7 is no text"),
        ({"error": "x" * 2_000}, "error has 2,000 characters, and may have 1,024"),
        ({"worker": b"box"}, "worker=b'box' is no text"),
        ({"since": "noon"}, "since='noon' is no time: pass a datetime, or seconds since 1970"),
        ({"until": float("nan")}, "until=nan is no time"),
        ({"until": True}, "until=True is no time"),
        ({"since": 5, "until": 5}, "until is not later than since"),
    ],
)
def test_what_is_no_filter_is_one_line(given: dict[str, Any], line: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        filter_of(**given)
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


def test_a_reason_is_a_text_of_bounded_length() -> None:
    assert reason_of("x" * 1_000) == "x" * 1_000
    for wrong in ("x" * 1_001, None, "\ud800"):
        with pytest.raises(ArgumentError, match="reason"):
            reason_of(wrong)


def test_a_master_that_would_retry_all_is_not_asked_for_some() -> None:
    session: Any = SimpleNamespace(welcome=Welcome("0.0.9", 0, level=1))
    with pytest.raises(ProtocolError, match=r"older than this program .*: update the master"):
        check_master(session)
    session.welcome = Welcome("0.1.0", 0, level=LEVEL)
    check_master(session)

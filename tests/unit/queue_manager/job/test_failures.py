"""Which failure a dead letter is, and whether a filter chooses it."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from queue_manager.job.failures import failure_of, is_chosen, place_of
from queue_manager.job.raised import WORKER_DIED, write_raised
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import DeadLetter


class OddError(Exception):
    pass


def raised(error: BaseException) -> DeadLetter:
    """The dead letter of a task that has raised an error."""
    try:
        raise error
    except BaseException as caught:
        evidence = "".join(traceback.format_exception(caught))
        line = f"{type(caught).__name__}: {caught}"
        return DeadLetter(7, 1, 0, line, evidence, "box/12", raised=write_raised(caught))


def test_a_failure_is_the_exception_and_the_place_where_it_was_raised() -> None:
    letter = raised(OddError("no"))
    assert failure_of(letter).startswith("OddError@test_failures.py:")
    name, place = failure_of(letter).split("@")
    module = OddError.__module__
    for exception in ("", name, f"{module}.{name}"):
        for at in ("", place):
            assert is_chosen(FailureFilter(exception=exception, place=at), letter)
    for other in ("Odd", f"x.{name}", f"{name}x", "Exception"):
        assert not is_chosen(FailureFilter(exception=other), letter)
    for other in ("test_failures.py", f"{place}0", f"x{place}", "raised"):
        assert not is_chosen(FailureFilter(place=other), letter)


def test_the_place_is_the_last_frame_of_the_last_traceback() -> None:
    first = 'Traceback (most recent call last):\n  File "/a/one.py", line 3, in work\nKeyError: 1\n'
    second = first.replace("one.py", "two.py").replace("line 3", "line 44")
    both = f"{first}\nDuring handling of the above exception, another exception occurred:\n{second}"
    assert place_of(both) == "two.py:44"
    assert place_of("no traceback") == ""
    assert place_of('Current thread:\n  File "/a/one.py", line 3 in work\n') == ""


@pytest.mark.parametrize(
    ("error", "data", "name"),
    [
        ("ValueError: no", b"", "ValueError"),
        ("json.decoder.JSONDecodeError: no", b"", "JSONDecodeError"),
        ("KeyError", b"", "KeyError"),
        ("no exception at all", b"", "other"),
        ("no: that is none", b"", "other"),
        ("", b"", "other"),
        ("the process was killed by SIGKILL", WORKER_DIED, "WorkerDiedError"),
        ("ValueError: no", b"nonsense", "ValueError"),
    ],
)
def test_a_failure_has_a_name_also_where_nothing_is_known_of_an_exception(
    error: str, data: bytes, name: str
) -> None:
    letter = DeadLetter(1, 1, 0, error, "", raised=data)
    assert failure_of(letter) == name
    assert is_chosen(FailureFilter(exception=name), letter)


@pytest.mark.parametrize(
    ("fields", "is_meant"),
    [
        ({}, True),
        ({"worker": "box/12"}, True),
        ({"worker": "box"}, True),
        ({"worker": "box/1"}, False),
        ({"worker": "bo"}, False),
        ({"since": 50.0}, True),
        ({"since": 50.1}, False),
        ({"until": 50.0}, False),
        ({"until": 50.1, "since": 1.0}, True),
        ({"tasks": ((1, 3), (7, 8))}, True),
        ({"tasks": ((1, 7), (8, 9))}, False),
        ({"tasks": ((7, 8),), "worker": "box", "since": 49.0, "exception": "KeyError"}, True),
        ({"tasks": ((7, 8),), "worker": "box", "since": 49.0, "exception": "OSError"}, False),
    ],
)
def test_all_that_a_filter_says_must_hold(fields: dict[str, Any], is_meant: bool) -> None:
    letter = DeadLetter(7, 1, 0, "KeyError: 1", "", "box/12", died_at=50.0)
    assert is_chosen(FailureFilter(**fields), letter) is is_meant

"""What `finish()` of a job is given of its run's arguments, and how it must be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queue_manager.errors import ArgumentError, BadJobError
from queue_manager.job.arguments import finish_arguments, finish_trouble
from queue_manager.job.loading import load_job


def tasks(start: str, pages: int = 1000, out: str = "/shared") -> None: ...


def given(finish: Callable[..., Any], *words: str, of: Any = tasks) -> dict[str, Any]:
    assert finish_trouble(finish, of) == ""
    return finish_arguments(finish, of, words)


def test_finish_gets_the_arguments_that_it_names_as_tasks_gets_them() -> None:
    def finish(results: Any, pages: int, *, out: str = "here", extra: int = 3) -> None: ...

    assert given(finish, "start=x", "pages=7", "out=y") == {"pages": 7, "out": "y"}
    assert given(finish, "start=x") == {"pages": 1000, "out": "/shared"}  # the run's, not its own


def test_finish_may_take_nothing_but_results_or_all_arguments() -> None:
    def alone(results: Any) -> None: ...
    def everything(found: Any, **arguments: Any) -> None: ...
    def packed(*found: Any, start: str) -> None: ...

    assert given(alone, "start=x") == {}
    assert given(everything, "start=x") == {"start": "x", "pages": 1000, "out": "/shared"}
    assert given(packed, "start=x") == {"start": "x"}


def test_the_results_stand_in_no_arguments_way() -> None:
    def finish(start: Any, **others: Any) -> None: ...

    assert given(finish, "start=x", "pages=2") == {"pages": 2, "out": "/shared"}


def test_a_job_without_tasks_gives_finish_its_own_defaults() -> None:
    def finish(results: Any, out: str = "here") -> None: ...

    assert given(finish, of=None) == {}


def test_names_that_tasks_takes_as_others_are_given_too() -> None:
    def free(**others: int) -> None: ...
    def finish(results: Any, depth: int = 0) -> None: ...

    assert given(finish, "depth=5", of=free) == {"depth": 5}


def test_a_word_that_no_longer_fits_is_an_argument_error() -> None:
    with pytest.raises(ArgumentError):
        finish_arguments(lambda results: None, tasks, ["start=x", "page=1"])


def wants(results: Any, page: int) -> None: ...
def by_place(results: Any, pages: int, /) -> None: ...
def nothing() -> None: ...
def only_names(*, results: Any) -> None: ...
async def waits(results: Any) -> None: ...
def yields(results: Any) -> Any:
    yield


@pytest.mark.parametrize(
    ("finish", "says"),
    [
        (wants, "finish() takes 'page', which tasks() does not have: give it a default"),
        (by_place, "finish() takes 'pages' by position alone: its arguments are given by name"),
        (nothing, "finish() takes the results first: def finish(results)"),
        (only_names, "finish() takes the results first: def finish(results)"),
        (waits, "finish() is a plain function, neither async nor with a yield"),
        (yields, "finish() is a plain function, neither async nor with a yield"),
    ],
)
def test_a_finish_that_cannot_be_called_is_one_clear_line(finish: Any, says: str) -> None:
    assert finish_trouble(finish, tasks) == says


def test_a_job_with_such_a_finish_is_not_loaded(tmp_path: Path) -> None:
    job = tmp_path / "closes.py"
    job.write_text("def work(n): return n\ndef tasks(a=1): ...\ndef finish(results, b): ...\n")
    with pytest.raises(BadJobError, match=r"closes.py: finish\(\) takes 'b', which tasks"):
        load_job("closes", tmp_path)
    job.write_text("def work(n): return n\ndef tasks(b=1): ...\ndef finish(results, b): ...\n")
    assert load_job("closes", tmp_path).finish is not None


def test_a_report_takes_the_counts_and_nothing_else(tmp_path: Path) -> None:
    job = tmp_path / "reports.py"
    head = "def work(n): return n\n"
    for wrong in ("def report():", "def report(counts, more):", "def report(*, counts):"):
        job.write_text(f"{head}{wrong} ...\n")
        with pytest.raises(BadJobError, match=r"reports.py: report\(\) takes the counts and"):
            load_job("reports", tmp_path)
    job.write_text(f"{head}async def report(counts): ...\n")
    with pytest.raises(BadJobError, match=r"report\(\) is a plain function"):
        load_job("reports", tmp_path)
    job.write_text(f"{head}def report(counts, width=80): ...\n")
    assert load_job("reports", tmp_path).report is not None

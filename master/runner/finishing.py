"""Calls `finish()` with all results of a run, when the run has ended and all was collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from queue_manager.errors import ProtocolError

from .collector import ask_page, check_pair, pairs
from .job_errors import JOB_ERRORS, JobErrors
from .session import RunnerSession


def results(
    session: RunnerSession, run: int, last: int, errors: JobErrors
) -> Iterator[tuple[Any, Any]]:
    """(payload, result) of every done task of a run, in order of completion.

    At most two pages are in memory. A pair that can't be decoded is left out and counted as an
    error.

    Args:
        last: the sequence number of the last outcome. Outcomes behind it, which a retry brings, are
            for the `finish()` of the next end.
    """
    after = 0
    asked = ask_page(session, run, after) if last else None
    while asked is not None:
        page, asked = asked.result(), None
        if page.last < last:
            asked = ask_page(session, run, page.last)  # arrives while this page is used
        for ended in page.outcomes:
            if ended.seq <= last:
                yield from _readable(pairs(ended, page.bodies[ended.first]), errors)


def _readable(results: Iterator[tuple[Any, Any]], errors: JobErrors) -> Iterator[tuple[Any, Any]]:
    for payload, result in results:
        try:
            check_pair(payload, result)
        except ProtocolError as error:
            errors.note("finish", error)
        else:
            yield payload, result


def call_finish(
    finish: Callable[..., Any],
    results: Iterator[tuple[Any, Any]],
    arguments: Mapping[str, Any],
    errors: JobErrors,
) -> None:
    """Call `finish()` once. An exception is counted, and is no reason for another call."""
    try:
        finish(results, **arguments)
    except JOB_ERRORS as error:
        errors.note("finish", error)

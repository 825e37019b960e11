"""The end of a run in its runner: `finish()` with all its results, once all was collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from queue_manager.errors import ProtocolError

from .collector import ask_page, check_pair, pairs
from .job_errors import JOB_ERRORS, Complaints
from .session import Wire


def results(wire: Wire, run: int, last: int, complaints: Complaints) -> Iterator[tuple[Any, Any]]:
    """(payload, result) of every done task of a run, in order of completion.

    No more than two pages are in memory. last: the sequence number of its last outcome; what a
    retry brings behind that is left to the next end. A pair that can't be decoded is left out, and
    is a complaint.
    """
    after = 0
    asked = ask_page(wire, run, after) if last else None
    while asked is not None:
        page, asked = asked.result(), None
        if page.last < last:
            asked = ask_page(wire, run, page.last)  # it comes while this one is used
        for ended in page.outcomes:
            if ended.seq <= last:
                yield from _readable(pairs(ended, page.bodies[ended.first]), complaints)


def _readable(
    found: Iterator[tuple[Any, Any]], complaints: Complaints
) -> Iterator[tuple[Any, Any]]:
    for payload, result in found:
        try:
            check_pair(payload, result)
        except ProtocolError as error:
            complaints.note("finish", error)
        else:
            yield payload, result


def call_finish(
    finish: Callable[..., Any],
    found: Iterator[tuple[Any, Any]],
    arguments: Mapping[str, Any],
    complaints: Complaints,
) -> None:
    """Call it once. An exception is one more complaint, and no reason to call it again."""
    try:
        finish(found, **arguments)
    except JOB_ERRORS as error:
        complaints.note("finish", error)

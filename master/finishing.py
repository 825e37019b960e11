"""The end of a run in its runner: `finish()` with all its results, once all was collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .collector import ask_page, pairs
from .complaints import JOB_ERRORS, Complaints
from .wire import Wire


def results(wire: Wire, run: int, last: int) -> Iterator[tuple[Any, Any]]:
    """(payload, result) of every done task of a run, in order of completion.

    No more than two pages are in memory. last: the sequence number of its last outcome; what a
    retry brings behind that is left to the next end.
    """
    after = 0
    asked = ask_page(wire, run, after) if last else None
    while asked is not None:
        page, asked = asked.result(), None
        if page.last < last:
            asked = ask_page(wire, run, page.last)  # it comes while this one is used
        for ended in page.outcomes:
            if ended.seq <= last:
                yield from pairs(ended, page.bodies[ended.first])


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

"""Have dead letters of a run tried again: all, a group of failures, of a worker, of a time, one."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import partial
from typing import Any

from queue_manager.client.runs.choosing import filter_of, reason_of
from queue_manager.errors import ArgumentError
from queue_manager.wire.failure_groups import AskFailures, Failures
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.messages import Accepted, RetryRun

from ..pages.page import GOES_ON, Asked, View
from .action import Action, FieldError, Fields, Outcome
from .ending import LONG_S, task_of

_GROUPS = 500
"""How many groups are added up."""

_FIRST, _LAST = 1e8, 1e11
"""Between these a number is a time in seconds: from 1973 to 5138."""

FILTERS = ("error", "worker", "since", "until")


async def show(asked: Asked, fields: Fields) -> View:
    """The run, and what the link has filled in. count: how many letters that is, if it is known.

    goes_on: it is stalled, and has no dead letter. nothing: there is nothing to try again.
    """
    run = await asked.desk.recent.run(asked.words["run"])
    narrowed = any(fields.text(name) for name in FILTERS)
    if not run.dead:
        is_stalled = run.state == "stalled"
        return {"run": run, "goes_on": is_stalled, "nothing": not is_stalled}
    count = await _count(asked, run.run, fields)
    return {"run": run, "narrowed": narrowed, "count": count, "goes_on": False, "nothing": False}


async def _count(asked: Asked, run: int, fields: Fields) -> int | None:
    """How many dead letters the fields choose; None: groups of failures do not tell that."""
    try:
        only = chosen(fields)
    except FieldError:
        return None
    if only is None or only != FailureFilter(exception=only.exception, place=only.place):
        return None
    ask = partial(AskFailures, run=run, limit=_GROUPS, only=only)
    found = await asked.desk.master.ask(ask, Failures)
    return sum(group.count for group in found.groups) if found.complete else None


async def retry(asked: Asked, fields: Fields) -> Outcome:
    """Have those tried again that the fields choose."""
    number: int = asked.words["run"]
    only, reason = chosen(fields), reason_in(fields)
    ask = partial(RetryRun, run=number, only=only, reason=reason, by=asked.by)
    reply = await asked.desk.master.ask(ask, Accepted, LONG_S)
    task = task_of(fields)
    to = f"/runs/{number}/tasks/{task}" if task else f"/runs/{number}"
    of = {"run": number, "task": task, "tasks": reply.tasks}
    if not reply.tasks and (await asked.desk.recent.run(number)).state in GOES_ON:
        of["goes_on"] = 1
    return Outcome(to, "", of)


def chosen(fields: Fields) -> FailureFilter | None:
    """The filter that the fields say; None: all dead letters. Raises FieldError."""
    task = task_of(fields)
    words: dict[str, Any] = {name: fields.text(name).strip() for name in FILTERS}
    for name in ("since", "until"):
        words[name] = moment(name, words[name])
    for name, word in words.items():
        try:
            filter_of(**{name: word})
        except ArgumentError as error:
            raise FieldError(name, str(error)) from None
    try:
        return filter_of([task] if task else None, **words)
    except ArgumentError as error:
        raise FieldError("until", str(error)) from None


def moment(field: str, text: str) -> float | None:
    """A time: seconds since 1970, or ISO 8601, in UTC if it has no zone. Raises FieldError.

    A number that may be meant as a year or a day (2026, 20260504) is never seconds.
    """
    if not text:
        return None
    try:
        at = float(text)
    except ValueError:
        at = math.nan
    if _FIRST <= at <= _LAST:
        return at
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        line = f"{text[:60]!r} is no time, such as 2026-05-04T12:00 (UTC)"
        raise FieldError(field, line) from None


def reason_in(fields: Fields) -> str:
    """Why, as it was typed. Raises FieldError."""
    try:
        return reason_of(" ".join(fields.text("reason").split()))
    except ArgumentError as error:
        raise FieldError("reason", str(error)) from None


RETRY = Action("/runs/{run:int}/retry", "retry", show, retry, ("task", *FILTERS, "reason"))

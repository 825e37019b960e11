"""Have dead letters of one failure of a job tried again, in several runs at once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from queue_manager.errors import RefusedError
from queue_manager.wire.failure_groups import AskFailures, Failures
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.limits import NAME_CHARS
from queue_manager.wire.messages import Accepted, RetryRun

from ..link.master import AwayError
from ..pages.page import Asked, NothingThereError, View, number_in
from .action import Action, FieldError, Fields, Outcome
from .ending import LONG_S
from .retry import chosen, reason_in

MOST = 20
"""In how many runs, at most. What became of each is told in one cookie."""

_GROUPS = 500
_PAGES = 4
"""How many pages of groups are looked at: those of other failures are passed over."""

_LINE_CHARS = 60
"""As much of a refusal as is told."""


async def show(asked: Asked, fields: Fields) -> View:
    """The runs that the failure stands in, the newest letter first, and how many it has in each."""
    job, only = _sought(fields)
    runs, complete = await _runs_with(asked, job, only)
    if not runs:
        raise NothingThereError(f"no run of {job} has such dead letters")
    more = not complete or len(runs) > MOST
    return {"runs": runs[:MOST], "more": more, "most": MOST, "chosen": fields.texts("runs")}


async def retry(asked: Asked, fields: Fields) -> Outcome:
    """Have them tried again in the runs that are named, or else in those that `show` finds."""
    job, only = _sought(fields)
    reason = reason_in(fields)
    found, complete = await _runs_with(asked, job, only)
    named = _numbers(fields)
    if not named and not asked.is_data:
        raise FieldError("runs", "choose a run")
    there = {one["run"] for one in found}
    # What lies behind the groups that were looked at is for the master to say.
    if named and complete and not set(named) <= there:
        first = next(number for number in named if number not in there)
        raise FieldError("runs", f"run {first} is none of those with this failure")
    numbers = named or [one["run"] for one in found[:MOST]]
    ask = partial(RetryRun, only=only, reason=reason, by=asked.by)
    told = await asyncio.gather(*(_one(asked, n, partial(ask, run=n)) for n in numbers))
    if not told:
        raise NothingThereError(f"no run of {job} has such dead letters")
    tasks = sum(one["tasks"] for one in told)
    of = {"tasks": tasks, "failure": fields.text("error")[:100], "results": told}
    return Outcome("/failures", "", of, job)


async def _one(asked: Asked, number: int, ask: partial[RetryRun]) -> dict[str, Any]:
    """What became of a run. A refusal of one is no reason to leave out the others."""
    try:
        reply = await asked.desk.master.ask(ask, Accepted, LONG_S)
    except AwayError as error:
        line = "the master did not answer: " + (
            "nobody knows" if error.sent else "nothing was sent"
        )
        return {"run": number, "tasks": 0, "error": line}
    except RefusedError as error:
        return {"run": number, "tasks": 0, "error": str(error)[:_LINE_CHARS]}
    return {"run": number, "tasks": reply.tasks, "error": ""}


def _sought(fields: Fields) -> tuple[str, FailureFilter]:
    """The job and the failure. Raises FieldError if one is missing."""
    job = fields.text("job").strip()[:NAME_CHARS]
    only = chosen(Fields([("error", fields.text("error"))]))
    if not job:
        raise FieldError("job", "say of which job")
    if only is None:
        raise FieldError("error", "say which failure, such as ValueError@lines.py:12")
    return job, only


async def _runs_with(
    asked: Asked, job: str, only: FailureFilter
) -> tuple[list[dict[str, int]], bool]:
    """Runs with groups of this failure that were looked at, and whether those are all."""
    counts: dict[int, int] = {}
    after, complete = 0, False
    for _ in range(_PAGES):
        ask = partial(AskFailures, after=after, limit=_GROUPS, job=job, only=only)
        page = await asked.desk.master.ask(ask, Failures)
        for group in page.groups:
            if group.exception:  # else it is of all other failures: nobody knows of which
                counts[group.run] = counts.get(group.run, 0) + group.count
        after, complete = page.last, page.complete
        if complete:
            break
    runs = [{"run": run, "count": count} for run, count in counts.items()]
    return runs, complete


def _numbers(fields: Fields) -> list[int]:
    numbers = []
    for text in fields.texts("runs"):
        number = number_in(text)
        if number is None:
            raise FieldError("runs", f"{text[:40]!r} is no number of a run, such as 1")
        numbers.append(number)
    numbers = list(dict.fromkeys(numbers))
    if len(numbers) > MOST:
        raise FieldError("runs", f"{len(numbers)} runs are too many at once: take {MOST} at most")
    return numbers


RETRY_RUNS = Action(
    "/failures/retry", "retry-runs", show, retry, ("job", "error", "runs", "reason")
)

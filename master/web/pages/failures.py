"""What has failed: groups of equal failures of all runs, and the dead letters of one run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any

from msgspec.structs import asdict

from queue_manager.wire.failure_groups import (
    AskFailures,
    AskLetters,
    FailureGroup,
    Failures,
    Letters,
)
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.limits import NAME_CHARS
from queue_manager.wire.records import DeadLetter

from ..actions.action import FieldError, Fields
from ..actions.retry import FILTERS, chosen
from .page import Asked, NothingThereError, Page, View

PAGE = 50
_GROUPS = 20
"""How many groups the page of one run shows above its letters."""

_PAGES = 5
"""How many pages without a group are passed over for one with some."""

_LETTER = ("task", "attempts", "losses", "error", "worker", "died_at")


async def load(asked: Asked) -> View:
    """One page of groups of all runs, or of those of a job."""
    job = asked.query.get("job", "")[:NAME_CHARS]
    after = asked.number("after")
    groups, last, complete = await groups_of(asked, None, after, PAGE, job)
    return {
        "job": job,
        "after": after,
        "groups": groups,
        "several": _several(groups),
        "next": None if complete else last,
    }


async def load_run(asked: Asked) -> View:
    """The dead letters of a run that the query chooses, and all groups of the run.

    trouble: what is wrong with the field `trouble_field`; then there are no letters. Raises
    NothingThereError instead for a program.
    """
    number: int = asked.words["run"]
    run = await asked.desk.recent.run(number)
    filters = {name: asked.query.get(name, "").strip()[:2_000] for name in FILTERS}
    after, trouble = asked.number("after"), None
    page = Letters(0, [], 0, True)
    try:
        ask = partial(AskLetters, run=number, only=_only(filters), after=after, limit=PAGE)
        key = ("letters", number, *filters.values(), after)
        page = await asked.desk.recent.get(key, ask, Letters)
    except FieldError as error:
        if asked.is_data:
            raise NothingThereError(str(error)) from None
        trouble = error
    groups, _, complete = await groups_of(asked, number, 0, _GROUPS)
    return {
        "run": run,
        "filters": filters,
        "chosen": {name: text for name, text in filters.items() if text},
        "groups": groups,
        "groups_more": not complete,
        "trouble": str(trouble) if trouble else "",
        "trouble_field": trouble.field if trouble else "",
        "letters": [_letter(one) for one in page.letters],
        "after": after,
        "next": None if page.complete else page.last,
        "may_retry": bool(run.dead) and run.state != "cancelled",
    }


def _several(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The failures of a job that stand in several runs of these, with how many runs and letters."""

    def name(one: dict[str, Any]) -> tuple[str, str]:
        return one["job"], one["failure"]

    found = []
    for (job, failure), same in groupby(sorted(groups, key=name), name):
        of = list(same)
        if failure and job and len(of) > 1:
            count = sum(one["count"] for one in of)
            found.append({"job": job, "failure": failure, "runs": len(of), "count": count})
    return found


async def groups_of(
    asked: Asked, run: int | None, after: int, limit: int, job: str = ""
) -> tuple[list[dict[str, Any]], int, bool]:
    """Groups, where the next page begins, and whether there is none."""
    for _ in range(_PAGES):
        ask = partial(AskFailures, run=run, after=after, limit=limit, job=job)
        key = ("failures", run, after, limit, job)
        page = await asked.desk.recent.get(key, ask, Failures)
        after = page.last
        if page.groups or page.complete:
            break
    return [_group(one) for one in page.groups], page.last, page.complete


def _only(filters: dict[str, str]) -> FailureFilter | None:
    return chosen(Fields(filters.items()))


def _group(group: FailureGroup) -> dict[str, Any]:
    """failure: its name as filters have it; empty for all that no group was kept of."""
    place = f"@{group.place}" if group.place else ""
    return {**asdict(group), "failure": f"{group.exception}{place}"}


def _letter(letter: DeadLetter) -> dict[str, Any]:
    """since, until: the hour in which it died, as the fields of a form have it."""
    fields = {name: getattr(letter, name) for name in _LETTER}
    since, until = hour_of(letter.died_at)
    return {**fields, "since": since, "until": until}


def hour_of(at: float) -> tuple[str, str]:
    """The hour with this moment: its beginning and its end, in UTC. at: UTC epoch in seconds."""
    try:
        hour = datetime.fromtimestamp(at, UTC).replace(minute=0, second=0, microsecond=0)
        ends = hour + timedelta(hours=1)
    except (OverflowError, OSError, ValueError):
        return "", ""
    return hour.strftime("%Y-%m-%dT%H:%M"), ends.strftime("%Y-%m-%dT%H:%M")


FAILURES = Page("/failures", "failures", ("groups",), load, "Failures")
RUN_FAILURES = Page(
    "/runs/{run:int}/failures", "run-failures", ("head", "actions", "groups", "letters"), load_run
)

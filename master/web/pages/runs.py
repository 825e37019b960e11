"""The list of runs, by state and job, page by page."""

from __future__ import annotations

from queue_manager.client.checking import STATES

from .overview import left_s
from .page import Asked, NothingThereError, Page, View

PAGE = 50
_LONGEST = 200


async def load(asked: Asked) -> View:
    """One page of runs, behind the place `after`."""
    state, job = asked.query.get("state", ""), asked.query.get("job", "")[:_LONGEST]
    if state and state not in STATES:
        raise NothingThereError(f"there is no state {state[:40]!r}: {', '.join(STATES)}")
    after = asked.number("after")
    found = await asked.desk.recent.runs(after, state, job, ended=PAGE)
    shown = [run for run in found.runs if run.run or run.tasks]
    asked.desk.rates.note(shown)
    return {
        "state": state,
        "job": job,
        "after": after,
        "states": STATES,
        "runs": shown,
        "left_s": {run.run: left_s(run, asked.desk.rates) for run in shown},
        "next": None if found.complete and not found.more else found.last,
        "more": found.more,
    }


RUNS = Page("/runs", "runs", ("list",), load, "Runs")

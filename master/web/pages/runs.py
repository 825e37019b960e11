"""The list of runs, by state, job and text, page by page."""

from __future__ import annotations

from functools import partial

from queue_manager.client.checking import STATES
from queue_manager.wire.limits import RUNS_LOOKED_AT
from queue_manager.wire.messages import AskRuns, RunList

from .overview import left_s
from .page import Asked, NothingThereError, Page, View

PAGE, _MOST = 50, 500
_MOST_SHOWN = 100
"""How many a page shows. A row is dear as HTML; a program may have `_MOST`."""

_ASKED = 10
"""How often a page asks at most. What others ask comes in between; behind it the list goes on."""

_LONGEST = 200
_GIVEN = ("state", "job", "search", "limit")


async def load(asked: Asked) -> View:
    """One page of runs: those behind the place `after`, or those before the place `before`.

    limit: how many it has.
    """
    state = asked.query.get("state", "")
    if state and state not in STATES:
        raise NothingThereError(f"there is no state {state[:40]!r}: {', '.join(STATES)}")
    words = {name: asked.query.get(name, "").strip()[:_LONGEST] for name in ("job", "search")}
    back, after = "before" in asked.query, asked.number("after")
    place = asked.number("before") if back else after
    most = _MOST if asked.is_data else _MOST_SHOWN
    limit = max(1, min(asked.number("limit", PAGE), most))
    ask = partial(AskRuns, back=back, state=state, limit=limit, ended=RUNS_LOOKED_AT)
    found = await _found(asked, partial(ask, **words), place)
    shown = [run for run in found.runs if run.run or run.tasks]
    asked.desk.rates.note(shown)
    return {
        "state": state,
        **words,
        "states": STATES,
        "runs": shown,
        "left_s": {run.run: left_s(run, asked.desk.rates) for run in shown},
        "newer": found.first if (not found.complete if back else after) else None,
        "older": found.last if back or not found.complete else None,
        "more": 0 if back else found.more,
        "given": {name: asked.query[name] for name in _GIVEN if asked.query.get(name)},
    }


async def _found(asked: Asked, ask: partial[AskRuns], place: int) -> RunList:
    """The runs behind a place. A search that finds none asks again behind those it looked at."""
    for _ in range(_ASKED):
        key = ("runs of a page", place, *ask.keywords.values())
        found = await asked.desk.recent.get(key, partial(ask, after=place), RunList)
        behind = found.first if ask.keywords["back"] else found.last
        if found.runs or found.complete or behind == place:
            break
        place = behind
    return found


RUNS = Page("/runs", "runs", ("list",), load, "Runs")

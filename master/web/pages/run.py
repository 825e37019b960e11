"""One run: how far it is, how fast it goes, what failed."""

from __future__ import annotations

from queue_manager.wire.records import RunStatus

from ..files.found import as_plain, written_by
from .charts import SPANS, WHOLE, default_span, last_minute, of_run, span_of
from .failures import groups_of
from .overview import left_s
from .page import GOES_ON, Asked, Page, View

_GROUPS = 10
"""How many groups of failures are shown."""

SHORT_S = 180.0
"""A run that took no longer has no chart: the history has a point for each minute."""


def mean(run: RunStatus) -> float | None:
    """How many tasks of an ended run have ended in a second."""
    took_s = (run.ended_at or 0.0) - run.started_at
    return (run.done + run.dead) / took_s if run.ended_at is not None and took_s > 0 else None


async def load(asked: Asked) -> View:
    """The run with this number."""
    number: int = asked.words["run"]
    recent, rates = asked.desk.recent, asked.desk.rates
    told = await recent.run_shown(number)
    run = told.run
    rates.note([run])
    ended = run.done + run.dead + run.cancelled
    span = span_of(asked, default_span(run, asked.desk.now() - run.started_at), (WHOLE,))
    minute = last_minute(rates.last_minute(number))
    groups, _, whole = await groups_of(asked, number, 0, _GROUPS) if run.dead else ([], 0, True)
    desk = asked.desk
    written = await written_by(run, desk.settings.http_files, desk.outs, desk.disk)
    return {
        "run": run,
        "printed": told.printed,
        "written": written and as_plain(written),
        "groups": groups,
        "more_groups": not whole,
        "rate": rates.of(number),
        "left_s": left_s(run, rates),
        "span": span,
        "spans": [WHOLE, *SPANS],
        "shown": minute if span == "minute" else await of_run(asked, run, span),
        "is_short": run.ended_at is not None and run.ended_at - run.started_at < SHORT_S,
        "mean": mean(run),
        "ended": ended,
        "share": ended / run.tasks if run.tasks else 0.0,
        "goes_on": run.state in GOES_ON,
    }


_PARTS = ("head", "actions", "progress", "why", "failures", "files", "rate", "printed", "facts")

RUN = Page("/runs/{run:int}", "run", _PARTS, load)

"""One run: how far it is, how fast it goes, what failed."""

from __future__ import annotations

from ..text.plot import Chart
from .overview import left_s, minute
from .page import Asked, Page, View


async def load(asked: Asked) -> View:
    """The run with this number."""
    number: int = asked.words["run"]
    recent, rates = asked.desk.recent, asked.desk.rates
    run = await recent.run(number)
    rates.note([run])
    chart: Chart = minute(rates.last_minute(number))
    ended = run.done + run.dead + run.cancelled
    return {
        "run": run,
        "rate": rates.of(number),
        "left_s": left_s(run, rates),
        "minute": chart,
        "ended": ended,
        "share": ended / run.tasks if run.tasks else 0.0,
        "goes_on": run.state in ("pending", "active", "finishing", "stalled"),
    }


RUN = Page("/runs/{run:int}", "run", ("head", "progress", "why", "rate", "facts"), load)

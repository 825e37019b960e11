"""The charts of pages: the last minute from memory, all else from the history in the store."""

from __future__ import annotations

from functools import partial

from queue_manager.wire.history import AskHistory, History, HistoryPoint
from queue_manager.wire.records import RunStatus

from ..text.plot import Chart, Series
from .page import Asked, NothingThereError

SPANS = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0, "week": 604_800.0, "month": 2_592_000.0}
"""What charts may show, in seconds."""

WHOLE = "whole"
"""All of a run."""

_STEPS = 120
"""How many steps a chart has, about."""

MOST = 1_500
"""The most steps that a chart has, whatever the times of a run are. The master gives no more."""

_MINUTE_S = 60.0
_YOUNG_S = 150.0
"""A run that is no older has no history to speak of."""


def span_of(asked: Asked, otherwise: str, more: tuple[str, ...] = ()) -> str:
    """The span that was asked for. Raises NothingThereError for one that there is not."""
    span = asked.query.get("span", "") or otherwise
    known = (*SPANS, *more)
    if span not in known:
        raise NothingThereError(f"span={span[:40]!r} is none of {', '.join(known)}")
    return span


def last_minute(looks: list[tuple[float, float]]) -> list[Chart]:
    """The rates of the last minute. looks: how many seconds ago, and the rate then."""
    moments = [-ago for ago, _ in looks]
    return [Chart(moments, [Series("done", [rate for _, rate in looks])], -60.0, 0.0, ago=True)]


async def of_all(asked: Asked, span: str) -> list[Chart]:
    """What all runs have done: rates, and what waited. A step without a point is an outage."""
    length_s = SPANS[span]
    history = await _ask(asked, None, 0.0, 0.0, length_s)
    until = history.now_at
    points = {point.at: point for point in history.points}
    first = int((until - length_s) // history.step_s + 1) * history.step_s
    moments = range(first, int(until) + 1, history.step_s)
    found = [points.get(at) for at in moments]
    return _charts(moments, found, history, (until - length_s, until), (0.0, history.now_at))


async def dead_in(asked: Asked, span: str) -> int:
    """How many tasks became dead letters in that time, of all runs."""
    history = await _ask(asked, None, 0.0, 0.0, SPANS[span])
    return sum(point.dead for point in history.points)


async def of_run(asked: Asked, run: RunStatus, span: str) -> list[Chart]:
    """What a run has done. In a step without a point nothing has changed."""
    until = run.ended_at or 0.0
    began_at = await _began_at(asked, run) if span == WHOLE else 0.0
    history = await _ask(asked, run.run, *_time(began_at, span, until))
    until = until or history.now_at
    since = began_at if span == WHOLE else until - SPANS[span]
    since = max(since, until - MOST * history.step_s)
    points = {point.at: point for point in history.points}
    first = int(since // history.step_s) * history.step_s
    moments = range(first, int(until) + 1, history.step_s)
    went_on = run.started_at, run.ended_at or history.now_at
    return _charts(moments, _filled(moments, points), history, (since, until), went_on)


async def _began_at(asked: Asked, run: RunStatus) -> float:
    """When the chart of a whole run begins (UTC epoch in seconds).

    The queue run has no beginning: `started_at` is 0. Its chart begins with its first point within
    the last month, and shows the last hour if there is none.
    """
    if run.started_at:
        return run.started_at
    history = await _ask(asked, run.run, 0.0, 0.0, SPANS["month"])
    return float(min((one.at for one in history.points), default=history.now_at - SPANS["hour"]))


def _time(began_at: float, span: str, until: float) -> tuple[float, float, float]:
    """Since when, until when, and how many seconds that is."""
    if span == WHOLE:
        return began_at, until, max(_MINUTE_S, until - began_at) if until else 0.0
    length_s = SPANS[span]
    return (until - length_s if until else 0.0), until, length_s


def default_span(run: RunStatus, age_s: float) -> str:
    """What the chart of a run shows at first."""
    return "minute" if run.ended_at is None and age_s < _YOUNG_S else WHOLE


async def _ask(
    asked: Asked, run: int | None, since: float, until: float, length_s: float
) -> History:
    """length_s: 0 is unknown, and the master chooses the step."""
    step_s = max(_MINUTE_S, length_s / _STEPS)
    if not since and length_s:
        ends = until or asked.desk.now()
        since = max(1.0, ends - length_s)
    make = partial(AskHistory, run=run, since_at=since, until_at=until, step_s=step_s)
    key = ("history", run, round(since / 10), round(until), round(step_s))
    return await asked.desk.recent.get(key, make, History)


def _filled(moments: range, points: dict[int, HistoryPoint]) -> list[HistoryPoint | None]:
    """What waits stays as it was until something changes."""
    found: list[HistoryPoint | None] = []
    last: HistoryPoint | None = None
    for at in moments:
        point = points.get(at)
        if point is None and last is not None:
            still = last.waiting, last.leased, last.delayed
            point = HistoryPoint(at, 0, 0, 0, 0.0, *still)
        last = point or last
        found.append(point)
    return found


def _charts(
    moments: range,
    points: list[HistoryPoint | None],
    history: History,
    shown: tuple[float, float],
    went_on: tuple[float, float],
) -> list[Chart]:
    """shown: since when and until when. went_on: when what is shown began and when it ended."""
    since, until = shown
    began, ended = went_on

    def rate(point: HistoryPoint | None, count: int) -> float | None:
        if point is None:
            return None
        took_s = min(point.at + history.step_s, ended) - max(point.at, began)
        if took_s <= 0:  # a step beside the times of the run: it was retried, or a clock was set
            took_s = history.step_s
        return count / max(1.0, took_s)

    done = Series("done", [rate(p, p.done if p else 0) for p in points])
    dead = Series("dead", [rate(p, p.dead if p else 0) for p in points])
    waiting = Series("waiting", [_sum(p.waiting, p.delayed) if p else None for p in points])
    leased = Series("leased", [p.leased if p else None for p in points])
    begin = min(since, float(moments[0])) if moments else since
    rates = Chart(list(moments), [done, dead], begin, until)
    return [rates, Chart(list(moments), [waiting, leased], begin, until)]


def _sum(one: int | None, two: int | None) -> int | None:
    return None if one is None and two is None else (one or 0) + (two or 0)

"""Charts as the coordinates of SVG rectangles and labels. The page draws them without a script."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

_MOST_COLUMNS = 240
_MOST_LABELS = 8
_STEPS_H = (1, 3, 6, 12, 24, 48, 7 * 24, 14 * 24, 28 * 24, 91 * 24, 365 * 24)
_HOUR = timedelta(hours=1)
WIDTH, HEIGHT = 960.0, 180.0


class Bar(NamedTuple):
    """A rectangle, and what it stands for. title: what a pointer over it shows."""

    x: float
    y: float
    width: float
    height: float
    title: str
    begin: str
    requests: int
    size: int


class Label(NamedTuple):
    """A text beside a chart. place: percent of its width or height. is_minor: for wide charts."""

    place: float
    text: str
    is_minor: bool = False


class Chart(NamedTuple):
    """Requests over time. up: labels of its height. along: labels of its width. hours: of a bar."""

    bars: list[Bar]
    up: list[Label]
    along: list[Label]
    hours: int


def over_time(rows: Sequence[dict[str, Any]], zone: str) -> Chart:
    """Columns of the requests by hour; several hours make one column where there are many.

    Args:
        rows: of the list `hour`, in any order.
        zone: the zone of the hours that the chart names.
    """
    found = {datetime.fromisoformat(row["value"]).astimezone(UTC): row for row in rows}
    if not found:
        return Chart([], [], [], 1)
    first, last = min(found), max(found)
    hours = int((last - first) / _HOUR) + 1
    step = -(-hours // _MOST_COLUMNS)
    sums = [[0, 0] for _ in range(-(-hours // step))]
    for when, row in found.items():
        column = sums[int((when - first) / _HOUR) // step]
        column[0] += row["requests"]
        column[1] += row["bytes"]
    most, width = max(requests for requests, _ in sums), WIDTH / len(sums)
    bars = []
    for number, (requests, size) in enumerate(sums):
        height = HEIGHT * requests / most
        begin = (first + number * step * _HOUR).astimezone(ZoneInfo(zone))
        text = begin.isoformat(" ", "minutes")
        title = f"{text}: {requests:,} requests"
        place = number * width, HEIGHT - height, max(0.5, width - 1), height
        bars.append(Bar(*place, title, text, requests, size))
    return Chart(bars, _up(most), _along(first, len(sums) * step, zone), step)


def _up(most: int) -> list[Label]:
    """Round numbers up to the highest column."""
    steps = (base * 10**power for power in range(19) for base in (1, 2, 5))
    step = next(step for step in steps if most // step <= 4)
    return [Label(100 * n / most, f"{n:,}") for n in range(step, most + 1, step)]


def _along(first: datetime, hours: int, zone: str) -> list[Label]:
    """Hours or days, whose places are those of their beginnings in the zone."""
    step = next((step for step in _STEPS_H if hours <= step * _MOST_LABELS), _STEPS_H[-1])
    labels = itertools.islice(_beginnings(first, hours, zone, step), 4 * _MOST_LABELS)
    return [Label(place, text, bool(n % 2)) for n, (place, text) in enumerate(labels)]


def _beginnings(first: datetime, hours: int, zone: str, step: int) -> Iterator[tuple[float, str]]:
    """Where each such hour, or day, of the zone begins, in percent, and what it is called."""
    days = max(1, step // 24)
    form = "%d %b" if days < 28 else "%d %b %Y"
    before = (first - _HOUR).astimezone(ZoneInfo(zone)).date()
    for number in range(hours):
        local = (first + number * _HOUR).astimezone(ZoneInfo(zone))
        begins_day, before = local.date() != before, local.date()
        if begins_day and local.toordinal() % days == 1 % days:  # weeks begin on Mondays
            yield 100 * number / hours, local.strftime(form)
        elif step < 24 and local.hour % step == 0:
            yield 100 * number / hours, local.strftime("%H:%M")


def shares(rows: Sequence[dict[str, Any]]) -> list[float]:
    """How long the bar of each row is, percent of the longest."""
    most = max((row["requests"] for row in rows), default=0)
    return [100 * row["requests"] / most if most else 0.0 for row in rows]

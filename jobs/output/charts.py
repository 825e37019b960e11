"""Columns over time, as percents of a chart. A page draws them as SVG, without any script.

The texts at the axes are no part of the drawing, so they are as large on a phone as elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from .words import counted

MOST_COLUMNS = 240
_MOST_MARKS = 8
_LAST_MARK = 88
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_STEPS = (
    *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * n for n in (1, 2, 3, 4, 6, 12)),
    *(_DAY * n for n in (1, 2, 7, 14, 28, 56, 91, 182, 364)),
)
_MONDAY = datetime(1970, 1, 5)
"""Where steps begin, in local time: weeks begin on Mondays."""


class Column(NamedTuple):
    """A column. x, width, height: percents of the chart. name: when it begins. amount: what was
    counted in its time. title: both, for a pointer over it.
    """

    x: float
    width: float
    height: float
    name: str
    amount: int
    title: str


class Mark(NamedTuple):
    """A text at an axis. at: percents from the left, or from below."""

    at: float
    text: str


class Chart(NamedTuple):
    """Columns and the marks of their axes.

    Attributes:
        begin: of the first column: epoch, s. step_s: the time of each one.
    """

    columns: list[Column]
    heights: list[Mark]
    times: list[Mark]
    begin: int
    step_s: int

    @property
    def each(self) -> str:
        """The time of a column in words: `hour`, `3 hours`."""
        return _each(self.step_s)

    def place(self, at: int) -> int:
        """Which column has this moment, epoch, s: 0 is the first."""
        return (at - self.begin) // self.step_s

    @property
    def highest(self) -> Column:
        """The first of the highest columns."""
        return max(self.columns, key=lambda column: column.amount)


def over_time(counts: Mapping[int, int], step_s: int, zone: str, one: str, more: str) -> Chart:
    """Columns of what was counted; several steps make one column where there are many.

    Args:
        counts: how many there were, at least one, by the begin of a step: epoch, s.
        step_s: how long a step is, s.
        zone: the zone of the texts.
        one, more: what is counted: "request", "requests".
    """
    local = _local_time(ZoneInfo(zone))
    first, last = min(counts), max(counts) + step_s
    width_s = _least(lambda s: s >= step_s and (last - first) / s <= MOST_COLUMNS - 1, step_s)
    first -= int((local(first) - _MONDAY).total_seconds()) % width_s
    sums = [0] * -(-(last - first) // width_s)
    for at, count in counts.items():
        sums[(at - first) // width_s] += count
    top = _round_up(max(sums))
    begins = [first + number * width_s for number in range(len(sums))]
    width = 100 / len(sums)
    columns = [
        Column(
            x=number * width,
            width=width,
            height=100 * count / top,
            name=_name(begin, zone),
            amount=count,
            title=f"{_name(begin, zone)}: {counted(count, one, more)}",
        )
        for number, (begin, count) in enumerate(zip(begins, sums, strict=True))
    ]
    heights = [
        Mark(100 * part / 2, f"{top * part // 2:,}") for part in (0, 1, 2) if top * part % 2 == 0
    ]
    return Chart(columns, heights, _times(begins, local), first, width_s)


def _local_time(zone: ZoneInfo) -> Callable[[int], datetime]:
    return lambda at: datetime.fromtimestamp(at, UTC).astimezone(zone).replace(tzinfo=None)


def _name(at: int, zone: str) -> str:
    """`2026-06-01 08:00+02:00`: without its zone, two hours in autumn would have one name."""
    name = datetime.fromtimestamp(at, ZoneInfo(zone)).isoformat(" ", "minutes")
    return name.removesuffix("+00:00") if zone == "UTC" else name


def _least(fits: Callable[[int], bool], otherwise: int) -> int:
    """The least step that fits; many years have steps of years."""
    found = next(filter(fits, _STEPS), None)
    if found is None:
        found = otherwise
        while not fits(found):
            found += _STEPS[-1]
    return found


def _times(begins: list[int], local: Callable[[int], datetime]) -> list[Mark]:
    """At most eight marks, at full hours, at midnights or on Mondays; none that sticks out."""
    span_s = begins[-1] - begins[0]
    step = timedelta(seconds=_least(lambda s: span_s / s <= _MOST_MARKS, _STEPS[-1]))
    marks, before = [], None
    for number, begin in enumerate(begins):
        now = (local(begin) - _MONDAY) // step
        starts = (local(begin) - _MONDAY) % step == timedelta(0)
        at = 100 * number / len(begins)
        if now != before and (starts or before is not None) and at <= _LAST_MARK:
            marks.append(Mark(at, _time(local(begin), step, span_s)))
        before = now
    return marks[:_MOST_MARKS]


def _time(when: datetime, step: timedelta, span_s: int) -> str:
    if span_s > 300 * _DAY:
        return f"{when:%b %Y}"
    if step >= timedelta(days=1) or (when.hour, when.minute) == (0, 0):
        return f"{when.day} {when:%b}"
    return f"{when:%H:%M}"


def _each(width_s: int) -> str:
    """`hour`, `3 hours`."""
    for unit_s, unit in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if width_s % unit_s == 0:
            count = width_s // unit_s
            return unit if count == 1 else f"{count} {unit}s"
    return f"{width_s} s"


def _round_up(number: int) -> int:
    """The least round number that is not less: 1, 2, 4, 6, 8, 10, 12, 15, 20, 25 and so on."""
    if number <= 10:
        return number + (number % 2 if number > 1 else 0)
    power = 1
    while True:
        for digits in (10, 12, 15, 20, 25, 30, 40, 50, 60, 80):
            if digits * power >= number:
                return digits * power
        power *= 10

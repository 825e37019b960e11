"""Charts: where the lines, ticks and labels of a picture are. Templates draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

WIDTH, HEIGHT = 640, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 8, 24
_TICKS = 4


class Series(msgspec.Struct, frozen=True):
    """One line of a chart. values: one for each moment; None is a gap."""

    name: str
    values: Sequence[float | None]


class Chart(msgspec.Struct, frozen=True):
    """What a chart shows.

    moments: when, in rising order: UTC epoch in seconds, or seconds before now as negative numbers.
    since, until: what the picture shows of time; both as the moments are.
    """

    moments: Sequence[float]
    series: Sequence[Series]
    since: float
    until: float


class Line(msgspec.Struct, frozen=True):
    """A line of a picture. path: as SVG has it. dots: points that stand alone."""

    name: str
    path: str
    dots: list[tuple[float, float]]


class Tick(msgspec.Struct, frozen=True):
    """A mark on an axis: where it is, and what it stands for."""

    place: float
    value: float


class Picture(msgspec.Struct, frozen=True):
    """A chart with places. xs, ys: the marks below and at the left."""

    lines: list[Line]
    xs: list[Tick]
    ys: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(line.path or line.dots for line in self.lines)


def plot(chart: Chart) -> Picture:
    """Find the places."""
    known = [value for one in chart.series for value in one.values if value is not None]
    top = nice(max(known, default=0.0))
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    length = max(chart.until - chart.since, 1e-9)

    def place(at: float, value: float) -> tuple[float, float]:
        x = _LEFT + width * (at - chart.since) / length
        return round(x, 1), round(_TOP + height * (1 - value / top), 1)

    lines = [_line(one, chart, place) for one in chart.series]
    shares = [part / _TICKS for part in range(_TICKS + 1)]
    ys = [Tick(place(chart.since, share * top)[1], share * top) for share in shares]
    moments = [chart.since + share * length for share in shares]
    return Picture(lines, [Tick(place(at, 0.0)[0], at) for at in moments], ys)


def _line(series: Series, chart: Chart, place: object) -> Line:
    assert callable(place)
    words: list[str] = []
    dots: list[tuple[float, float]] = []
    part: list[tuple[float, float]] = []

    def close() -> None:
        if len(part) == 1:
            dots.append(part[0])
        elif part:
            words.append("M" + "L".join(f"{x:g} {y:g}" for x, y in part))
        part.clear()

    for at, value in zip(chart.moments, series.values, strict=True):
        if value is None or not math.isfinite(value):
            close()
        elif chart.since <= at <= chart.until:
            part.append(place(at, value))
    close()
    return Line(series.name, "".join(words), dots)


def nice(value: float) -> float:
    """The next number above that has one digit: 1, 2, 4, 5 or 8, times a power of ten."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * 0.999999)

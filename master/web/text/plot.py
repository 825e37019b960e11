"""Charts: where the lines and marks of a picture are, in hundredths of its width and height.

Templates draw them. The picture is stretched to its place on the page, and the labels stand beside
it, so they can be read at every width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

_XS = 4
_MOST_ROWS = 60

Place = Callable[[float, float], tuple[float, float]]


class Series(msgspec.Struct, frozen=True):
    """One line of a chart. values: one for each moment; None is a gap."""

    name: str
    values: Sequence[float | None]


class Chart(msgspec.Struct, frozen=True):
    """What a chart shows.

    moments: when, in rising order: UTC epoch in seconds, or, if `ago`, seconds before now as
    negative numbers. since, until: what the picture shows of time; both as the moments are.
    """

    moments: Sequence[float]
    series: Sequence[Series]
    since: float
    until: float
    ago: bool = False

    @property
    def rows(self) -> list[tuple[float, list[float | None]]]:
        """The newest numbers, the newest first, as a table has them."""
        rows = [
            (at, [one.values[place] for one in self.series])
            for place, at in enumerate(self.moments)
        ]
        return rows[::-1][:_MOST_ROWS]


class Line(msgspec.Struct, frozen=True):
    """A line of a picture. path, dots: as SVG has them; a dot is a line of no length."""

    name: str
    path: str
    dots: str


class Tick(msgspec.Struct, frozen=True):
    """A mark on an axis: where it is, and what it stands for."""

    place: float
    value: float


class Picture(msgspec.Struct, frozen=True):
    """A chart with places. xs: the marks below, from the left. ys: at the left, from the top."""

    lines: list[Line]
    xs: list[Tick]
    ys: list[Tick]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(line.path or line.dots for line in self.lines)


def plot(chart: Chart) -> Picture:
    """Find the places."""
    known = [v for one in chart.series for v in one.values if v is not None and math.isfinite(v)]
    top = nice(max(known, default=0.0))
    length = max(chart.until - chart.since, 1e-9)

    def place(at: float, value: float) -> tuple[float, float]:
        x = 100 * (at - chart.since) / length
        return round(x, 2), round(100 * (1 - value / top), 2)

    lines = [Line(one.name, *_paths(one, chart, place)) for one in chart.series]
    parts = _parts(top)
    ys = [Tick(100 - 100 * part / parts, top * part / parts) for part in range(parts, -1, -1)]
    xs = [Tick(100 * part / _XS, chart.since + length * part / _XS) for part in range(_XS + 1)]
    return Picture(lines, xs, ys)


def _paths(series: Series, chart: Chart, place: Place) -> tuple[str, str]:
    """Each part between two gaps is a line of its own. A moment alone is a dot."""
    lines: list[str] = []
    dots: list[str] = []
    part: list[tuple[float, float]] = []

    def close() -> None:
        if len(part) == 1:
            dots.append(f"M{part[0][0]:g} {part[0][1]:g}h0")
        elif part:
            lines.append("M" + "L".join(f"{x:g} {y:g}" for x, y in part))
        part.clear()

    for at, value in zip(chart.moments, series.values, strict=True):
        if value is None or not math.isfinite(value):
            close()
        elif chart.since <= at <= chart.until:
            part.append(place(at, value))
    close()
    return "".join(lines), "".join(dots)


def nice(value: float) -> float:
    """The next number above that has one digit: 1, 2, 4, 5 or 8, times a power of ten."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * 0.999999)


def _parts(top: float) -> int:
    """Into how many parts a scale is cut, so that its marks are short numbers."""
    digit = round(top / 10.0 ** math.floor(math.log10(top) + 1e-9))
    return 5 if digit in (1, 5, 10) else 4

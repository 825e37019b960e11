"""Charts as the coordinates of SVG rectangles. The page draws them, without any script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

_MOST_COLUMNS = 240
WIDTH, HEIGHT = 960.0, 180.0


class Bar(NamedTuple):
    """A rectangle. title: what a pointer over it shows."""

    x: float
    y: float
    width: float
    height: float
    title: str


def over_time(rows: Sequence[dict[str, Any]], zone: str) -> list[Bar]:
    """Columns of the requests by hour; several hours make one column where there are many.

    Args:
        rows: of the list `hour`, in any order.
        zone: the zone of the hours that the titles name.
    """
    found = {datetime.fromisoformat(row["value"]).astimezone(UTC): row["requests"] for row in rows}
    if not found:
        return []
    first, last = min(found), max(found)
    hours = int((last - first).total_seconds() // 3600) + 1
    step = -(-hours // _MOST_COLUMNS)
    columns = [0] * -(-hours // step)
    for when, requests in found.items():
        columns[int((when - first).total_seconds() // 3600) // step] += requests
    most, width = max(columns), WIDTH / len(columns)
    bars = []
    for number, requests in enumerate(columns):
        height = HEIGHT * requests / most
        begin = (first + timedelta(hours=number * step)).astimezone(ZoneInfo(zone))
        title = f"{begin.isoformat(' ', 'minutes')}: {requests:,} requests"
        bars.append(Bar(number * width, HEIGHT - height, max(0.5, width - 1), height, title))
    return bars


def shares(rows: Sequence[dict[str, Any]]) -> list[float]:
    """How long the bar of each row is, percent of the longest."""
    most = max((row["requests"] for row in rows), default=0)
    return [100 * row["requests"] / most if most else 0.0 for row in rows]

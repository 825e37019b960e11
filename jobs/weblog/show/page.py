"""The report as a page of HTML. What clients have sent is in it as text only: all is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...output import charts, pages

if TYPE_CHECKING:
    from .report import Report

_ROWS = 50
_NARROW = ("status", "method")
"""Lists of short values: two of them are beside each other."""
_HOUR_S = 3600


def html_of(report: Report, data: dict[str, Any]) -> str:
    """The page.

    Args:
        report: what it says beside its numbers.
        data: the report as `report.as_data` gives it.
    """
    lists = {
        name: _shown(found, data["requests"])
        for name, found in data["lists"].items()
        if name != "hour" and found["rows"]
    }
    hours = _by_begin(data["lists"].get("hour", {"rows": []})["rows"])
    chart, sent = _over_time(hours, report.zone) if hours else (None, [])
    values = {
        "data": data | {"largest": _at(data["largest"]), "slowest": _at(data["slowest"])},
        "first": report.summary.first,
        "last": report.summary.last,
        "missing": report.missing,
        "busiest": report.busiest(),
        "most_files": _ROWS,
        "groups": _groups(lists),
        "chart": chart,
        "sent": sent,
    }
    return pages.page(Path(__file__).with_name("page.html"), values, report.zone)


def _shown(found: dict[str, Any], requests: int) -> dict[str, Any]:
    """A list with the rows that the page has, each with the length of its bar, and what is left."""
    rows = found["rows"][:_ROWS]
    most = max(row["requests"] for row in rows)
    lengths = [100 * row["requests"] / most if most else 0.0 for row in rows]
    others = requests - sum(row["requests"] for row in rows)
    return {**found, "rows": list(zip(rows, lengths, strict=True)), "others_here": others}


def _by_begin(rows: Sequence[dict[str, Any]]) -> dict[int, tuple[int, int]]:
    """Requests and bytes of each hour, by its begin: epoch, s."""
    return {
        int(datetime.fromisoformat(row["value"]).timestamp()): (row["requests"], row["bytes"])
        for row in rows
    }


def _over_time(hours: Mapping[int, tuple[int, int]], zone: str) -> tuple[charts.Chart, list[int]]:
    """The chart of the requests, and the bytes of each of its columns."""
    requests = {begin: count for begin, (count, _) in hours.items()}
    chart = charts.over_time(requests, _HOUR_S, zone, "request", "requests")
    sent = [0] * len(chart.columns)
    for begin, (_, size) in hours.items():
        sent[chart.place(begin)] += size
    return chart, sent


def _groups(lists: dict[str, Any]) -> list[list[tuple[str, Any]]]:
    """The lists in their order, those of short values beside each other."""
    narrow = [(name, lists[name]) for name in lists if name in _NARROW]
    return [narrow] * bool(narrow) + [[pair] for pair in lists.items() if pair[0] not in _NARROW]


def _at(extremes: dict[str, Any]) -> dict[str, Any]:
    """Extremes whose requests have their moment as epoch, s, too."""
    requests = [
        {**row, "at": row["time"] and datetime.fromisoformat(row["time"]).timestamp()}
        for row in extremes["requests"]
    ]
    return {**extremes, "requests": requests}

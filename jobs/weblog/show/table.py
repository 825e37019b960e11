"""The report as text, for a terminal: nothing in it can move a cursor or change a colour."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from ...output.words import printable, size
from ..count.tops import Entry

if TYPE_CHECKING:
    from .report import Report

_ROWS = 10
_WIDTH = 60


def text_of(report: Report) -> str:
    """The table; each line has its end."""
    return "".join(f"{line}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    summary = report.summary
    if report.missing:
        yield report.missing
    yield (
        f"{summary.lines:,} lines of {report.files:,} file{'s' * (report.files != 1)}:"
        f" {summary.requests:,} requests,"
        f" {summary.unparsable:,} unparsable, {size(summary.size)},"
        f" about {len(summary.visitors):,} visitors"
    )
    if summary.first is not None and summary.last is not None:
        yield "; ".join(_facts(report, summary.first, summary.last))
    for name, top in summary.tops.items():
        entries = top.first(_ROWS)
        heading = name
        if name == "hour" and len(top) > _ROWS:
            entries = sorted(top.first(), key=in_order)[-_ROWS:]
            heading = f"hour (the last {_ROWS} of {len(top):,})"
        elif name == "hour":
            entries.sort(key=in_order)
        yield ""
        yield f"{heading:<{_WIDTH}} {'requests':>14} {'':>6} {'sent':>10}"
        for entry in entries:
            yield _row(entry, summary.requests)
        if len(top) > len(entries) and name != "hour":
            more = "" if not top.lost else f", none with more than {top.lost:,} is missing"
            yield f"... {len(top) - len(entries):,} more{more}"


def _facts(report: Report, first: float, last: float) -> Iterator[str]:
    yield f"{report.when(first)} to {report.when(last)} {report.zone}"
    answered = report.answered()
    if answered:
        yield ", ".join(f"{answered.get(name, 0):,} with {name}" for name in ("4xx", "5xx"))
    if busiest := report.busiest():
        yield f"most in an hour: {busiest.count:,} at {busiest.value}"


def _row(entry: Entry, requests: int) -> str:
    value = printable(entry.value)
    if len(value) > _WIDTH:
        value = value[: _WIDTH - 1] + "…"
    count = f"{entry.count:,}" + ("+" if entry.slack else "")
    return f"{value:<{_WIDTH}} {count:>14} {entry.count / requests:>6.1%} {size(entry.size):>10}"


def in_order(entry: Entry) -> datetime:
    """What to sort hours by: when the clocks go back, the texts are in another order."""
    return datetime.fromisoformat(entry.value)

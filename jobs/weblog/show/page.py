"""The report as a page of HTML. What clients have sent is in it as text only: all is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import markupsafe

from . import charts, files, table

if TYPE_CHECKING:
    from .report import Report

_ROWS = 50


def html_of(report: Report, data: dict[str, Any]) -> str:
    """The page.

    Args:
        report: what it says beside its numbers.
        data: the report as `report.as_data` gives it.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["size"] = table.size
    environment.filters["printable"] = table.printable
    lists = {
        name: {
            **found,
            "rows": list(zip(rows, charts.shares(rows), strict=True)),
            "others_here": data["requests"] - sum(row["requests"] for row in rows),
        }
        for name, found in data["lists"].items()
        if name != "hour"
        for rows in [found["rows"][:_ROWS]]
    }
    hours = data["lists"].get("hour", {"rows": []})["rows"]
    summary = report.summary
    span = [report.when(each) for each in (summary.first, summary.last) if each is not None]
    return environment.get_template("page.html").render(
        data=data,
        missing=report.missing,
        zone=report.zone,
        lists=lists,
        mark=markupsafe.Markup(files.MARK),
        span=span,
        busiest=report.busiest(),
        most_files=_ROWS,
        chart=charts.over_time(hours, report.zone),
        width=charts.WIDTH,
        height=charts.HEIGHT,
    )

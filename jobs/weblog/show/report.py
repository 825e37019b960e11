"""The report of a run: the results of all ranges, each exactly once, as files in a folder."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..count.summary import Summary
from . import page, table


@dataclass(frozen=True)
class Report:
    """What people look at.

    Attributes:
        summary: all ranges together.
        files: how many files there were.
        planned: how many ranges they have; read: how many of them have been counted.
        top: how many values of a list are shown.
        zone: the zone of hours.
    """

    summary: Summary
    files: int
    planned: int
    read: int
    top: int
    zone: str

    @property
    def missing(self) -> str:
        """One line if ranges are missing, else empty."""
        if self.files and self.read >= self.planned:
            return ""
        return (
            f"NOT WHOLE: {self.read:,} of {self.planned:,} ranges were counted."
            " `qm failed RUN` says why, `qm retry RUN` counts them, too"
        )


def write(results: Iterable[tuple[Any, Any]], out: str, by: list[str], top: int, zone: str) -> str:
    """Merge results; write report.txt, .csv, .json and index.html. Returns the table."""
    report = _merged(results, by, top, zone)
    text = table.text_of(report)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "report.txt": text,
        "report.csv": _csv(report),
        "report.json": json.dumps(as_data(report), ensure_ascii=False, indent=1) + "\n",
        "index.html": page.html_of(report, as_data(report)),
    }
    for name, content in files.items():
        unfinished = folder / f".{name}.part"
        unfinished.write_text(content, "utf-8", newline="")
        os.replace(unfinished, folder / name)
    return f"{text}logs: look at {folder / 'index.html'}"


def _merged(results: Iterable[tuple[Any, Any]], by: list[str], top: int, zone: str) -> Report:
    summary = Summary(by)
    files = planned = 0
    seen: set[str] = set()
    for payload, result in results:
        if "range" not in payload:
            files += result.get("files", 0)
            planned += result.get("ranges", 0)
        elif result["range"] not in seen:
            seen.add(result["range"])
            summary.merge(result)
    return Report(summary, files, planned, len(seen), top, zone)


def as_data(report: Report) -> dict[str, Any]:
    """The report as JSON has it. Moments are ISO 8601 in UTC, sizes bytes."""
    summary = report.summary
    return {
        "files": report.files,
        "ranges": {"planned": report.planned, "counted": report.read},
        "lines": summary.lines,
        "requests": summary.requests,
        "unparsable": summary.unparsable,
        "bytes": summary.size,
        "visitors": len(summary.visitors),
        "first": _iso(summary.first),
        "last": _iso(summary.last),
        "lists": {name: _list(report, name) for name in summary.tops},
        "largest": _extremes(summary.largest, "bytes"),
        "slowest": _extremes(summary.slowest, "seconds"),
        "samples": summary.samples,
    }


def _list(report: Report, name: str) -> dict[str, Any]:
    counted = report.summary.tops[name]
    everything = counted.first()
    shown_most = None if name == "hour" else report.top
    entries, unshown = everything[:shown_most], everything[shown_most:] if shown_most else []
    if name == "hour":
        entries.sort(key=table.in_order)
    rows = [
        {"value": e.value, "requests": e.count, "at_most": e.count + e.slack, "bytes": e.size}
        for e in entries
    ]
    shown = sum(entry.count for entry in entries)
    return {
        "rows": rows,
        "others": report.summary.requests - shown,
        "others_at_most_each": max(
            [counted.lost, *(entry.count + entry.slack for entry in unshown)]
        ),
        "exact": not counted.lost,
    }


def _extremes(extremes: Any, unit: str) -> dict[str, Any]:
    names = ("median", "90 %", "99 %")
    return {
        "quantiles": dict(zip(names, extremes.quantiles(), strict=False)),
        "requests": [
            {unit: r.amount, "time": _iso(r.moment), "status": r.status}
            | {"client": r.client, "path": r.path}
            for r in extremes.greatest()
        ],
    }


def _iso(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _csv(report: Report) -> str:
    """All lists in one table. A text that a spreadsheet would run gets a `'` before it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["list", "value", "requests", "at_most", "bytes"])
    for name in report.summary.tops:
        for row in _list(report, name)["rows"]:
            writer.writerow(
                [name, _safe(row["value"]), row["requests"], row["at_most"], row["bytes"]]
            )
    return text.getvalue()


def _safe(value: str) -> str:
    value = table.printable(value)
    formula = value.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))  # noqa: RUF001
    return f"'{value}" if formula and value != "-" else value

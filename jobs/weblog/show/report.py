"""The report of a run: the results of all ranges, each exactly once, as files in a folder."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ...output import folder
from ...output.words import cell, printable
from ..count.summary import Summary
from ..count.tops import Entry
from . import page, table

_SUMS = {"lines": "lines", "requests": "requests", "unparsable": "unparsable", "bytes": "size"}
"""What is known of each file, by what results call it."""


class NotWrittenError(OSError):
    """A file of the report can't be written. One line, with its path and the reason."""


@dataclass(frozen=True)
class Report:
    """What people look at.

    Attributes:
        summary: all ranges together.
        files: how many files there were.
        planned: how many ranges they have; read: how many of them have been counted.
        top: how many values of a list are shown.
        zone: the zone of hours.
        by_file: lines, requests, unparsable lines and bytes by the path that a file had when the
            run began.
    """

    summary: Summary
    files: int
    planned: int
    read: int
    top: int
    zone: str
    by_file: dict[str, dict[str, int]] = field(default_factory=dict)

    def when(self, moment: float) -> str:
        """A moment for people, in the zone of the hours. UTC epoch, s."""
        local = datetime.fromtimestamp(moment, ZoneInfo(self.zone))
        return local.replace(tzinfo=None).isoformat(" ", "seconds")

    def answered(self) -> dict[str, int]:
        """Requests by the first digit of their status: `2xx`. Empty without the list `status`."""
        sums: Counter[str] = Counter()
        for entry in self.summary.tops["status"].first() if "status" in self.summary.tops else []:
            sums[f"{entry.value[0]}xx" if entry.value[:1].isdigit() else "-"] += entry.count
        return dict(sorted(sums.items()))

    def busiest(self) -> Entry | None:
        """The hour with the most requests. None without the list `hour`, or without a request."""
        hours = self.summary.tops["hour"].first(1) if "hour" in self.summary.tops else []
        return hours[0] if hours else None

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
    """Merge results; write report.txt, .csv, .json and index.html. Returns the table.

    Raises:
        NotWrittenError: a file can't be written. Those before it are there.
    """
    report = _merged(results, by, top, zone)
    text = table.text_of(report)
    place = _place(out)
    data = as_data(report)
    written = {
        "report.txt": text,
        "report.csv": _csv(report),
        "report.json": json.dumps(data, ensure_ascii=False, indent=1) + "\n",
        folder.PAGE: page.html_of(report, data),
    }
    for name, content in written.items():
        _put(place / name, content)
    return f"{text}logs: look at {place / folder.PAGE}"


def _place(out: str) -> Path:
    try:
        return Path(folder.made(out, page_of="logs"))
    except ValueError as error:
        raise NotWrittenError(str(error)) from None


def _put(path: Path, text: str) -> None:
    try:
        folder.put(path, text)
    except OSError as error:
        raise NotWrittenError(f"{path} can't be written: {error.strerror}") from None


def _merged(results: Iterable[tuple[Any, Any]], by: list[str], top: int, zone: str) -> Report:
    summary = Summary(by)
    count = planned = 0
    seen: set[str] = set()
    by_file: dict[str, dict[str, int]] = {}
    for payload, result in results:
        if "range" not in payload:
            count += result.get("files", 0)
            planned += result.get("ranges", 0)
        elif result["range"] not in seen:
            seen.add(result["range"])
            summary.merge(result)
            sums = by_file.setdefault(payload["range"]["noted"]["path"], dict.fromkeys(_SUMS, 0))
            for name, key in _SUMS.items():
                sums[name] += result[key]
    return Report(summary, count, planned, len(seen), top, zone, by_file)


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
        "by_status_class": report.answered(),
        "by_file": [{"path": path, **sums} for path, sums in sorted(report.by_file.items())],
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
        "different": None if counted.lost else len(counted),
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
                [name, cell(printable(row["value"])), row["requests"], row["at_most"], row["bytes"]]
            )
    return text.getvalue()

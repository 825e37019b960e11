"""jobs/logs.py: the logs of web servers, counted by all workers together.

    qm submit logs paths='/shared/logs/access*' [by=status,path,client,hour] [since=...] ...

out= has a table, CSV, JSON, and index.html to look at. docs/logs.md has all arguments.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from jobs.output.folder import made
from jobs.weblog.asked import (
    DEFAULT_BY,
    NO_REGEX,
    UTC,
    Asked,
    ByList,
    Count,
    FormatName,
    Megabytes,
    PathList,
    Pattern,
    ZoneName,
    moment_of,
)
from jobs.weblog.totals import Totals
from queue_manager import Counts, Options, Task

OPTIONS = Options(
    attempts=6,  # each waits for up to a minute while a file is being packed: docs/logs.md
    timeout_s=6 * 3600,  # a packed file of any size is one task
    memory_bytes=2 << 30,  # a range takes at most a quarter of this: docs/logs.md
)

_totals = Totals()


def tasks(
    paths: PathList,
    format: FormatName = "auto",
    by: ByList = DEFAULT_BY,
    since: datetime | None = None,
    until: datetime | None = None,
    zone: ZoneName = UTC,
    query: bool = True,
    regex: Pattern = NO_REGEX,
    top: Count = 100,
    keep: Count = 10_000,
    megabytes: Megabytes = 64,
    out: str = "/shared/logs-report",
) -> Iterator[Task]:
    """One task, which finds the files. Their ranges follow: a file that grows is cut once."""
    begin, end = _times(since, until, zone)
    made(out, page_of="logs")
    asked = Asked(
        format=format,
        by=by.names(),
        regex=str(regex),
        since=begin,
        until=end,
        zone=str(zone),
        query=query,
        keep=max(keep, top),
        range_bytes=megabytes * 1_000_000,
    )
    patterns = [os.path.abspath(pattern) for pattern in paths.patterns()]
    yield Task({"patterns": patterns, "asked": asked.packed()}, key="plan")


def run_key(since: datetime | None, until: datetime | None, zone: str) -> None:
    """A run has no key of its own. Times that don't go together are refused before there is one."""
    _times(since, until, zone)


def _times(
    since: datetime | None, until: datetime | None, zone: str
) -> tuple[float | None, float | None]:
    begin, end = moment_of(since, zone), moment_of(until, zone)
    if begin is not None and end is not None and begin >= end:
        raise ValueError(f"since={since} is not before until={until}: no request can count")
    return begin, end


def setup() -> None:
    """Import what reads and counts, in a slot. One thread, for a worker has a slot a processor."""
    import pyarrow

    from jobs.weblog import work  # noqa: F401

    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)


def work(payload: dict[str, Any]) -> Any:
    """Plan the run, or count the lines of one range."""
    from jobs.weblog import work

    if "range" in payload:
        return work.count_range(payload)
    return work.spread(payload) if "spread" in payload else work.plan_run(payload)


def collect(payload: dict[str, Any], result: dict[str, Any]) -> None:
    """Count a result, for the line that says how far the run is."""
    _totals.add(payload, result)


def report(counts: Counts) -> str:
    """The line that says how far the run is."""
    return _totals.line(counts)


def finish(
    results: Iterator[tuple[Any, Any]], out: str, by: ByList, top: Count, zone: ZoneName
) -> None:
    """Merge the results of all ranges, and write the report."""
    from jobs.weblog.show.report import NotWrittenError, write

    try:
        print(write(results, out, by.names(), top, str(zone)))
    except NotWrittenError as error:
        print(f"logs: {error}")  # the line above the traceback, for whoever reads the run's log
        raise

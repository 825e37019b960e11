"""`python -m bench.logs.ours FILE`: all tasks of a run of `logs`, one after another.

It prints the counts as JSON, and the most memory that it has had.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import jobs.logs
from jobs.weblog import work
from jobs.weblog.asked import DEFAULT_BY, Asked
from jobs.weblog.count.summary import Summary

from .made import MEMORY

_MOST_FREQUENT = 1000
"""So many values of each list are compared."""


def main(path: str) -> None:
    """Count a file as a slot does."""
    jobs.logs.setup()
    asked = Asked("auto", DEFAULT_BY.names(), range_bytes=64_000_000).packed()
    summary = Summary(DEFAULT_BY.names())
    for task in work.plan_run({"patterns": [path], "asked": asked}).follow:
        summary.merge(work.count_range(task.payload))
    counts = {
        f"{name} {entry.value}": entry.count
        for name, top in summary.tops.items()
        if name != "hour"
        for entry in top.first(_MOST_FREQUENT)
    }
    status = Path("/proc/self/status").read_text()
    most = re.findall(r"VmHWM:\s+(\d+) kB", status)
    print(json.dumps({**counts, "lines x": summary.lines, MEMORY: int(most[0]) * 1024}))


if __name__ == "__main__":
    main(sys.argv[1])

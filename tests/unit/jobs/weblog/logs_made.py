"""Lines of logs, and runs over them without a master."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jobs.weblog import work
from jobs.weblog.asked import NAMES, Asked
from jobs.weblog.show.report import Report, _merged


def line(
    client: str = "192.0.2.1",
    time: str = "01/Oct/2025:13:00:07 +0000",
    request: str = "GET /a HTTP/1.1",
    status: str = "200",
    size: str = "10",
    rest: str = ' "-" "agent"',
    user: str = "-",
) -> str:
    """A line of the combined format, without its end."""
    return f'{client} - {user} [{time}] "{request}" {status} {size}{rest}'


def many(count: int, seed: int = 1) -> list[str]:
    """Lines with some dozens of values each."""
    chance = random.Random(seed)
    return [
        line(
            client=f"192.0.2.{chance.randrange(50)}",
            time=f"01/Oct/2025:{chance.randrange(24):02}:{chance.randrange(60):02}:07 +0000",
            request=f"{chance.choice(['GET', 'POST'])} /{chance.randrange(40)} HTTP/1.1",
            status=chance.choice(["200", "404", "500"]),
            size=str(chance.randrange(5000)),
        )
        for _ in range(count)
    ]


def asked(**more: Any) -> Asked:
    """What a run asks for; by all names."""
    return Asked(**{"format": "auto", "by": list(NAMES), **more})


def run(patterns: Iterable[Path | str], **more: Any) -> Report:
    """A run over files, to the end of all its tasks."""
    payload = {"patterns": [str(pattern) for pattern in patterns], "asked": asked(**more).packed()}
    plan = work.plan_run(payload)
    results = [({}, plan.value)]
    tasks = list(plan.follow)
    while tasks:
        task = tasks.pop()
        if "spread" in task.payload:
            tasks += work.spread(task.payload).follow
        else:
            results.append((task.payload, work.count_range(task.payload)))
    return _merged(results, asked(**more).by, 100, "UTC")


def counts(report: Report, name: str) -> dict[str, int]:
    """How often each value of a list came."""
    return {entry.value: entry.count for entry in report.summary.tops[name].first()}

"""GoAccess beside us: which command counts the same, and what its JSON says.

It counts more than four lists (browsers, systems, referrers, hours of the day), which it always
does, and answers with 404 apart from others.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from ..peers.environment import program

_MOST_ITEMS = 1000
_PATHS = ("requests", "static_requests", "not_found")


def words(log: Path) -> list[str]:
    """The command. Raises MissingError."""
    return [
        program("goaccess"), "--no-global-config", str(log), "--log-format=COMBINED",
        "--no-query-string", "--http-method=no", "--http-protocol=no", "--no-progress",
        f"--max-items={_MOST_ITEMS}", "--output=json",
    ]  # fmt: skip


def counts(output: str) -> dict[str, int]:
    """Counts by list and value, of values that are frequent."""
    data = json.loads(output)
    found: Counter[str] = Counter({"lines x": data["general"]["total_requests"]})
    for panel in _PATHS:
        for item in data[panel]["data"]:
            found[f"path {item['data']}"] += item["hits"]["count"]
    for item in data["hosts"]["data"]:
        found[f"client {item['data']}"] = item["hits"]["count"]
    for group in data["status_codes"]["data"]:
        for item in group["items"]:
            found[f"status {item['data'].split()[0]}"] = item["hits"]["count"]
    return dict(found)

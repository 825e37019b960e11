"""The rows of README's table of other queues: both tables of `make bench-peers` in a short form.

Computes; starts nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from .figures import percentile, short

NAMES = {
    "Quartermaster": "**Quartermaster**",
    "Quartermaster, its executor": "**Quartermaster**, its executor",
    "tutorial": "the tutorial",
    "multiprocessing.Pool": "multiprocessing.Pool",
    "Huey": "Huey",
    "Huey, appendfsync always": "Huey",
    "Dramatiq, appendfsync always": "Dramatiq",
    "Celery, appendfsync always": "Celery",
    "RQ, appendfsync always": "RQ",
    "Dask": "Dask",
    "Ray": "Ray",
    "Procrastinate": "Procrastinate",
}
"""The rows by their names in the whole tables. docs/performance.md has the others, too."""


def rows(record: dict[str, Any]) -> Iterator[str]:
    """Lines of Markdown. record: of peers.json."""
    faults = {found["name"]: found for found in record["faults"]}
    for speed in record["speed"]:
        name = speed["name"]
        if name in NAMES and not speed["missing"]:
            yield "| " + " | ".join(_cells(NAMES[name], speed, faults[name])) + " |"


def _cells(name: str, speed: dict[str, Any], faults: dict[str, Any]) -> list[str]:
    trips_ms = [1000 * took_s for took_s in speed["trips_s"]]
    median, worst = (short(percentile(trips_ms, share)) for share in (0.5, 0.99))
    return [
        f"{name} {speed['version']}".strip(),
        speed["durable"],
        _middle(speed["single"]),
        _middle(speed["bulk"]),
        f"{median} / {worst}",
        _fate(faults["worker"]),
        _fate(faults["broker"]),
    ]


def _middle(rates: list[float]) -> str:
    return short(statistics.median(rates)) if rates else "-"


def _fate(fate: dict[str, Any] | str) -> str:
    """What is left of 200 tasks after a fault, and how many ran twice."""
    if isinstance(fate, str):
        return "-"
    twice = f", {fate['twice']} twice" if fate["twice"] else ""
    again = f" in {short(fate['again_s'])} s" if fate["again_s"] is not None else ""
    return f"{fate['results']}{again}{twice}"

"""A peer's figures and the two tables. Computes; starts nothing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .. import figure


@dataclass
class Speed:
    """What the rounds of one row found, a number a round; rates a second. missing: why nothing."""

    name: str
    version: str = ""
    durable: str = ""
    single: list[float] = field(default_factory=list)
    bulk: list[float] = field(default_factory=list)
    sized: list[float] = field(default_factory=list)
    paused: list[float] = field(default_factory=list)
    trips_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    worker_mb: list[float] = field(default_factory=list)
    missing: str = ""


@dataclass(frozen=True)
class Fate:
    """What a fault did to 200 tasks. again_s: until work went on; None when it never did.

    After a worker's death that is the next start of a task that it interrupted, after a broker's
    the first start of any task since the broker is back. interrupted: False when the killed worker
    had just ended its task, so that there is nothing to run again.
    """

    results: int
    twice: int
    again_s: float | None
    interrupted: bool = True


@dataclass
class Faults:
    """Both faults of one row. words: why there is no Fate."""

    name: str
    worker: Fate | str = ""
    broker: Fate | str = ""


SPEED_COLUMNS = (
    "queue",
    "n * n one by one, tasks/s",
    "n * n in bulk, tasks/s",
    "1 KiB, tasks/s",
    "10 ms sleeps, tasks/s (200 at most)",
    "idle round trip p50, ms",
    "p99, ms",
    "CPU of 1,000 tasks, s",
    "idle worker, MB (PSS)",
    "durable",
    "version",
)
FAULT_COLUMNS = (
    "queue",
    "worker killed: results of 200 after 60 s",
    "run twice",
    "re-run after, s",
    "broker killed: results of 200 after 60 s",
    "run twice",
    "next start after, s",
)


def percentile(values: Iterable[float], share: float) -> float:
    """The least value that at least `share` of all are not above: the nearest-rank method.

    Raises ValueError without values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def speed_table(rows: Sequence[Speed]) -> list[str]:
    """Lines of Markdown: medians of the rounds."""
    return _table(SPEED_COLUMNS, [_speed_cells(row) for row in rows])


def fault_table(rows: Sequence[Faults]) -> list[str]:
    """Lines of Markdown."""
    return _table(
        FAULT_COLUMNS,
        [[row.name, *_fate_cells(row.worker), *_fate_cells(row.broker)] for row in rows],
    )


def _speed_cells(row: Speed) -> list[str]:
    if row.missing:
        return [row.name, row.missing, *[""] * (len(SPEED_COLUMNS) - 2)]
    trips_ms = [1000 * took_s for took_s in row.trips_s]
    return [
        row.name,
        *(_middle(rates) for rates in (row.single, row.bulk, row.sized, row.paused)),
        *(short(percentile(trips_ms, share)) if trips_ms else "-" for share in (0.5, 0.99)),
        _middle(row.cpu_s),
        _middle(row.worker_mb),
        row.durable,
        row.version,
    ]


def _fate_cells(fate: Fate | str) -> list[str]:
    if isinstance(fate, str):
        return [fate or "-", "", ""]
    never = "never" if fate.interrupted else "-"
    again = never if fate.again_s is None else short(fate.again_s)
    return [str(fate.results), str(fate.twice), again]


def _middle(values: Sequence[float]) -> str:
    return short(statistics.median(values)) if values else "-"


def short(value: float) -> str:
    """As many figures as count: 12,345, 12.3, 0.12, 0.0012."""
    return f"{value:.2g}" if abs(value) < 0.1 else figure.short(value)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]

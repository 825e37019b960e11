"""Runs with a limit of one task at a time in each of many groups."""

from __future__ import annotations

from contextlib import ExitStack

from ..brief import sized
from ..figure import Figure
from ..rig import processes
from ..rig.stored import Stored

# Times, because nobody knows how many tasks a run does in them.
WARM_UP_S, MEASURE_S = sized((2.0, 8.0), (0.2, 1.0))
KINDS = sized(((1_000, 100, 1), (100_000, 10, 10)), ((1_000, 50, 1), (5_000, 10, 10)))
"""Each kind: how many groups, tasks in each group, and tasks in a block."""

MOST_MS = 0.3


def measure() -> list[Figure]:
    """Measure one run after the other."""
    return [figure for kind in KINDS for figure in _measure(*kind)]


def _measure(groups: int, each: int, block: int) -> list[Figure]:
    where = f"{groups:,} groups of {each}, one at a time"
    with ExitStack() as stack:
        stored = Stored(stack, job="limited", block=block, groups=groups)
        filled = stored.fill(where, groups * each)
        with processes.worker(stored.folder, stored.port):
            rate = stored.backlog.watch_rate(WARM_UP_S, MEASURE_S)
        rates = Figure(f"{where}, two slots", "tasks/s", (rate,))
        each_ms = Figure(f"{where}, two slots: a task", "ms", (1e3 / rate,), at_most=MOST_MS)
        unbound = [_unbound(f) for f in [*filled, rates, *stored.memory(f"{where}, at work")]]
        return [*unbound, each_ms]


def _unbound(figure: Figure) -> Figure:
    return Figure(figure.name, figure.unit, figure.rounds)

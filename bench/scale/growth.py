"""What a million tasks cost, waiting or done: in rate, in memory, and in the time to start."""

from __future__ import annotations

from contextlib import ExitStack

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import processes
from ..rig.stored import Stored

ROUNDS = sized(3, 1)
FEW, MANY, LEFT = sized((10_000, 1_000_000, 1_000), (10_000, 50_000, 1_000))
WARM_UP, TASKS = sized((200_000, 1_000_000), (10_000, 50_000))
WARM_UP_S, MEASURE_S = sized((1.0, 5.0), (0.2, 1.0))
LEAST_RATIO = 0.8


def measure() -> list[Figure]:
    """Measure waiting tasks, then done ones; first in full blocks, then in blocks of one task."""
    with ExitStack() as stack:
        few, many = Stored(stack), Stored(stack)
        figures = _waiting(few, many)
        many.work_off(LEFT)
        figures += _done(Stored(stack), many)
    with ExitStack() as stack:
        figures += _singles(Stored(stack, block=1))
    return figures


def _waiting(few: Stored, many: Stored) -> list[Figure]:
    few.backlog.fill(FEW)
    where = f"{MANY:,} waiting"
    figures = [*many.fill(where, MANY), *many.starts(where)]
    figures += _rates((few, FEW, f"{FEW:,} waiting"), (many, MANY, where))
    return figures + many.memory(f"{where}, at work")


def _done(few: Stored, many: Stored) -> list[Figure]:
    figures = many.starts(f"{MANY:,} done, {LEFT:,} waiting")
    few.backlog.fill(FEW)
    many.backlog.fill(FEW)
    where = f"{MANY:,} done"
    figures += _rates((few, FEW, f"{FEW:,} waiting"), (many, FEW, where))
    return figures + many.memory(f"{where}, at work")


def _singles(singles: Stored) -> list[Figure]:
    """Measure tasks that are submitted one by one: each block that comes has one task."""
    where = f"{MANY:,} submitted one by one, waiting"
    figures = [*singles.fill(where, MANY), *singles.starts(where)]
    with processes.worker(singles.folder, singles.port):
        rate = singles.backlog.watch_rate(WARM_UP_S, MEASURE_S)
    figures.append(Figure(f"{where}, two slots", "tasks/s", (rate,)))
    singles.work_off(LEFT)
    where = f"{MANY:,} submitted one by one, done"
    return [*figures, *singles.memory(f"{where}, at work"), *singles.starts(where)]


def _rates(low: tuple[Stored, int, str], high: tuple[Stored, int, str]) -> list[Figure]:
    """Measure the tasks per second of both, in turns."""
    pairs = [(_rate(*low[:2]), _rate(*high[:2])) for _ in range(ROUNDS)]
    below = Figure(f"{low[2]}, two slots", "tasks/s", tuple(a for a, _ in pairs))
    above = Figure(f"{high[2]}, two slots", "tasks/s", tuple(b for _, b in pairs))
    return [below, above, ratio(f"{high[2]} / {low[2]}", above, below, at_least=LEAST_RATIO)]


def _rate(stored: Stored, waiting: int) -> float:
    with processes.worker(stored.folder, stored.port):
        rate = stored.backlog.hold(waiting, WARM_UP, TASKS)
    stored.backlog.catch_up()
    stored.backlog.fill(waiting)
    return rate

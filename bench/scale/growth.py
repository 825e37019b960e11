"""What a million tasks cost: waiting or done, in rate, in memory, and in the time to start."""

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
    """Waiting, then done; in full blocks, then in blocks of one task each."""
    with ExitStack() as stack:
        few, many = Stored(stack), Stored(stack)
        found = _waiting(few, many)
        many.work_off(LEFT)
        found += _done(Stored(stack), many)
    with ExitStack() as stack:
        found += _singles(Stored(stack, block=1))
    return found


def _waiting(few: Stored, many: Stored) -> list[Figure]:
    few.backlog.fill(FEW)
    where = f"{MANY:,} waiting"
    found = [*many.fill(where, MANY), *many.starts(where)]
    found += _rates((few, FEW, f"{FEW:,} waiting"), (many, MANY, where))
    return found + many.memory(f"{where}, at work")


def _done(few: Stored, many: Stored) -> list[Figure]:
    found = many.starts(f"{MANY:,} done, {LEFT:,} waiting")
    few.backlog.fill(FEW)
    many.backlog.fill(FEW)
    where = f"{MANY:,} done"
    found += _rates((few, FEW, f"{FEW:,} waiting"), (many, FEW, where))
    return found + many.memory(f"{where}, at work")


def _singles(singles: Stored) -> list[Figure]:
    """Blocks of one task, as follow-ups and puts of stock clients make them."""
    where = f"{MANY:,} blocks of one waiting"
    found = [*singles.fill(where, MANY), *singles.starts(where)]
    with processes.worker(singles.folder, singles.port):
        rate = singles.backlog.watch_rate(WARM_UP_S, MEASURE_S)
    found.append(Figure(f"{where}, two slots", "tasks/s", (rate,)))
    singles.work_off(LEFT)
    where = f"{MANY:,} blocks of one done"
    return [*found, *singles.memory(f"{where}, at work"), *singles.starts(where)]


def _rates(low: tuple[Stored, int, str], high: tuple[Stored, int, str]) -> list[Figure]:
    """Tasks per second of both, a slice of each in turns."""
    pairs = [(_rate(*low[:2]), _rate(*high[:2])) for _ in range(ROUNDS)]
    below = Figure(f"{low[2]}, two slots", "tasks/s", tuple(a for a, _ in pairs))
    above = Figure(f"{high[2]}, two slots", "tasks/s", tuple(b for _, b in pairs))
    return [below, above, ratio(f"{high[2]} / {low[2]}", above, below, least=LEAST_RATIO)]


def _rate(stored: Stored, waiting: int) -> float:
    with processes.worker(stored.folder, stored.port):
        rate = stored.backlog.hold(waiting, WARM_UP, TASKS)
    stored.backlog.catch_up()
    stored.backlog.fill(waiting)
    return rate

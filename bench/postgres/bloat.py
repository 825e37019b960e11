"""A million waiting and ten million done tasks on PostgreSQL, and a snapshot that somebody holds.

Two databases of one server have the same tasks. In one of them another session holds a snapshot
from before the first task on, so vacuum takes no row there that was deleted or replaced since.
"""

from __future__ import annotations

from contextlib import ExitStack

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import postgres, processes
from ..rig.stored import Stored

ROUNDS = sized(3, 1)
DONE, WAITING, STEP = sized((10_000_000, 1_000_000, 1_000_000), (20_000, 20_000, 10_000))
FEW, LEFT = 10_000, 1_000
WARM_UP, TASKS = sized((200_000, 1_000_000), (5_000, 20_000))
LEAST_RATIO = 0.8


def measure() -> list[Figure]:
    """Fill both, then measure the rate of two slots in turns."""
    with ExitStack() as stack:
        server = stack.enter_context(postgres.server(stack.enter_context(processes.scratch())))
        free, held = (server.database(name) for name in ("free", "held"))
        stack.enter_context(server.held_snapshot(held))
        small = Stored(stack, more={"MASTER_STORE": f"{free}?schema=small"})
        small.backlog.fill(FEW)
        stores = [Stored(stack, more={"MASTER_STORE": url}) for url in (free, held)]
        for stored in stores:
            _fill(stored)
        waits = (FEW, WAITING, WAITING)
        rounds = [
            [_rate(*pair) for pair in zip((small, *stores), waits, strict=True)]
            for _ in range(ROUNDS)
        ]
        sizes = [_megabytes(server, url) for url in (free, held)]
        peaks = [stored.peak_mb for stored in stores]
    lots = f"{WAITING:,} waiting, {DONE:,} done"
    names = (f"{FEW:,} waiting, none done", lots, f"{lots}, a snapshot held")
    columns = zip(names, zip(*rounds, strict=True), strict=True)
    few, many, old = (Figure(f"{name}: two slots", "tasks/s", rates) for name, rates in columns)
    return [
        few,
        many,
        old,
        ratio("the many tasks / the few", many, few, at_least=LEAST_RATIO),
        ratio("a snapshot held / none", old, many, at_least=LEAST_RATIO),
        *(
            Figure(f"{name}: the database on disk", "MB", (size,))
            for name, size in zip(names[1:], sizes, strict=True)
        ),
        *(
            Figure(f"{name}: master's memory, peak", "MB", (peak,))
            for name, peak in zip(names[1:], peaks, strict=True)
        ),
    ]


def _fill(stored: Stored) -> None:
    """Submit and do DONE tasks in steps, as a run does them, then submit WAITING ones."""
    for _ in range(DONE // STEP):
        stored.backlog.fill(STEP)
        stored.work_off(LEFT)
    stored.backlog.fill(WAITING)


def _rate(stored: Stored, waiting: int) -> float:
    with processes.worker(stored.folder, stored.port):
        rate = stored.backlog.hold(waiting, WARM_UP, TASKS)
    stored.backlog.catch_up()
    stored.backlog.fill(waiting)
    return rate


def _megabytes(server: postgres.Server, url: str) -> float:
    with server.session(url) as db:
        row = db.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(str(row[0])) / 2**20

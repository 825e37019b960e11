"""Messages below and above 16 KiB. Above it an untuned connection waits 40 ms for an ACK."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from queue_manager.server.manager import QueueManager

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import processes, tutorial

ROUNDS = sized(3, 1)
SAMPLES = sized(40, 10)
SIZES = (16_000, 17_000)

Put = Callable[[bytes], object]


def measure() -> list[Figure]:
    """Measure puts of both sizes from each kind of client, in turn."""
    with (
        processes.scratch() as folder,
        processes.master(folder) as (_, port),
        tutorial.plain_server() as plain_port,
    ):
        own = QueueManager(("127.0.0.1", port), processes.AUTHKEY, tls=processes.tls_mode)
        own.connect()
        stock = tutorial.connected(port, processes.AUTHKEY)
        plain = tutorial.connected(plain_port)
        queues = [own.get_task_queue(), stock.get_task_queue(), plain.get_task_queue()]  # type: ignore[attr-defined]
        rounds = [[_round(queue.put) for queue in queues] for _ in range(ROUNDS)]
    figures: list[Figure] = []
    names = ("our client", "stock client", "stock client, plain stock server")
    for index, name in enumerate(names):
        small, large = (
            Figure(f"{name}: put {size:,} bytes", "ms", tuple(r[index][at] for r in rounds))
            for at, size in enumerate(SIZES)
        )
        at_most = 2 if index < 2 else None
        figures += [small, large, ratio(f"{name}: 17,000 / 16,000", large, small, at_most=at_most)]
    return figures


def _round(put: Put) -> list[float]:
    """Medians in milliseconds, the unit of the table."""
    took_s: list[list[float]] = [[] for _ in SIZES]
    bodies = [bytes(size) for size in SIZES]
    put(bodies[0])
    for _ in range(SAMPLES):
        for times_s, body in zip(took_s, bodies, strict=True):
            began = time.perf_counter()
            put(body)
            times_s.append(time.perf_counter() - began)
    return [1000 * statistics.median(times_s) for times_s in took_s]

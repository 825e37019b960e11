"""An open load on a peer: tasks are due at a steady rate, whatever becomes of those before them.

Runs in the peer's environment: standard library only. For clients that two threads may use.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Any


def offered(client: Any, rate: int, count: int, block_s: float) -> list[float]:
    """The seconds of each task from when it was due until its result is here.

    block_s: the tasks of this time are submitted together; 0 is one by one. Results are awaited in
    the order of their tasks.

    Raises:
        RuntimeError: a wrong result.
    """
    submit = getattr(client, "in_bulk", client.one_by_one) if block_s else client.one_by_one
    handles: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    began = time.perf_counter() + 1 / rate
    together = max(1, round(rate * block_s))

    def feed() -> None:
        for first in range(0, count, together):
            numbers = list(range(first, min(first + together, count)))
            wait_s = began + numbers[-1] / rate - time.perf_counter()
            time.sleep(max(0.0, wait_s))
            for pair in zip(numbers, submit("square", numbers), strict=True):
                handles.put(pair)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    waits = []
    for _ in range(count):
        number, handle = handles.get()
        if client.collect([handle]) != [number * number]:
            raise RuntimeError("another task's result")
        waits.append(time.perf_counter() - (began + number / rate))
    feeder.join()
    return waits

"""0, 1, 2, ...; from the tenth on, work() waits for the file `gate` where one is named."""

import os
import time


def tasks(count: int = 10, yield_s: float = 0.0, gate: str = ""):
    for n in range(count):
        time.sleep(yield_s)
        yield [n, gate] if gate and n >= 10 else n


def work(item):
    n, gate = item if isinstance(item, list) else (item, None)
    while gate and not os.path.exists(gate):
        time.sleep(0.01)
    return n * n

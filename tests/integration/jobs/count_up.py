"""0, 1, 2, ...; tasks() and work() take a while where they are told to."""

import time


def tasks(count: int = 10, pause_s: float = 0.0, yield_s: float = 0.0):
    for n in range(count):
        time.sleep(yield_s)
        yield [n, pause_s] if pause_s else n


def work(item):
    n, pause_s = item if isinstance(item, list) else (item, 0.0)
    time.sleep(pause_s)
    return n * n

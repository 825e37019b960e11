"""Every result is given to collect(), which writes that down."""

import random
import time

from diary import answer, execution, note


def tasks(tag: str, count: int = 300, mean_s: float = 0.005, pause_s: float = 0.008):
    lengths = random.Random(tag)
    for n in range(count):
        yield [tag, str(n), min(lengths.expovariate(1 / mean_s), 10 * mean_s), pause_s]


def work(task):
    tag, item, length_s, _ = task
    with execution(tag, item):
        time.sleep(length_s)
    return answer(tag, item)


def collect(task, result):
    tag, item, _, pause_s = task
    right = "right" if list(result) == answer(tag, item) else "wrong"
    note("C", tag, item, right)
    time.sleep(pause_s)

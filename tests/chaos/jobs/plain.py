"""Tasks of varied lengths, with the default options."""

import random
import time

from diary import answer, execution


def tasks(tag: str, count: int, mean_s: float = 0.01, long_every: int = 0, long_s: float = 2.0):
    lengths = random.Random(tag)
    for n in range(count):
        if long_every and n % long_every == 0:
            yield [tag, str(n), long_s]
        else:
            yield [tag, str(n), min(lengths.expovariate(1 / mean_s), 10 * mean_s)]


def work(task):
    tag, item, length_s = task
    with execution(tag, item):
        time.sleep(length_s)
    return answer(tag, item)

"""Priorities and delays; when each task was yielded is written down."""

import time

from diary import answer, execution, note

from queue_manager import Task


def tasks(tag: str, count: int = 60):
    for n in range(count):
        delay_s = float(n % 3) if n % 4 == 0 else 0.0
        note("Y", tag, n, delay_s)
        yield Task([tag, str(n)], priority=n % 5 - 2, delay_s=delay_s)


def work(task):
    tag, item = task
    with execution(tag, item):
        time.sleep(0.01)
    return answer(tag, item)

"""Unkeyed tasks slowly, and with each result two more with keys; a quota for each kind."""

import time

from queue_manager import Quota, Result, Task


def tasks(count: int, most: int, yield_s: float = 0.0, work_s: float = 0.0):
    for n in range(count):
        time.sleep(yield_s)
        yield Task(["first", n, work_s], quota=Quota("first", most))


def work(task):
    kind, n, work_s = task
    time.sleep(work_s)
    if kind == "second":
        return n
    quota, numbers = Quota("second", 6), (2 * n, 2 * n + 1)
    follow = [Task(["second", m, work_s], key=f"k{m}", quota=quota) for m in numbers]
    return Result(n, follow=follow)

"""One group: two at once, a start every 0.3 s."""

import time

from steps import step

from queue_manager import Limit, Options, Task

OPTIONS = Options(losses=20, per_group=Limit(at_once=2, every_s=0.3))


def tasks(log: str, count: int = 14):
    for n in range(count):
        yield Task([n, log], group="one")


def work(task):
    n, log = task
    step(log, "S", n)
    time.sleep(0.7)
    step(log, "E", n)
    return n

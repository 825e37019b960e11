"""Three groups, each at most two at once and one start in 0.2 s, over all workers."""

import time

from diary import answer, execution

from queue_manager import Limit, Options, Task

AT_ONCE, EVERY_S = 2, 0.2
OPTIONS = Options(losses=30, per_group=Limit(at_once=AT_ONCE, every_s=EVERY_S))


def tasks(tag: str, count: int = 30):
    for n in range(count):
        yield Task([tag, f"g{n % 3}:{n}"], group=f"g{n % 3}")


def work(task):
    tag, item = task
    with execution(tag, item):
        time.sleep(0.3)
    return answer(tag, item)

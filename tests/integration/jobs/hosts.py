"""A small crawl: the first task of a group opens it; one of group `busy` asks for a pause."""

import time
from pathlib import Path

from steps import step

from queue_manager import Limit, Options, Result, Retry, Task

OPTIONS = Options(losses=20, per_group=Limit(at_once=1, every_s=0.01))


def tasks(log: str, count: int, pause_s: float):
    for group in ("open", "busy"):
        yield Task([group, 0, log, count, pause_s], group=group)


def work(task):
    group, n, log, count, pause_s = task
    name = f"{group}{n}"
    step(log, "S", name)
    if n == 0:
        follow = [Task([group, m, log, count, pause_s], group=group) for m in range(1, count + 1)]
        return Result(0, follow=follow, limits={group: Limit(at_once=3, every_s=0.1)})
    asked = Path(log + ".asked")
    if name == "busy1" and not asked.exists():
        asked.touch()
        step(log, "P", name)
        raise Retry(pause_s, whole_group=True)
    time.sleep(0.5)
    step(log, "E", name)
    return n

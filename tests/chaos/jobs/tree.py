"""Follow-ups with keys that form a tree; each level has one child that all its parents name."""

import time

from diary import answer, execution

from queue_manager import Result, Task

BRANCHES = 3


def tasks(tag: str, depth: int = 4):
    yield Task([tag, "r", depth], key="r")


def work(task):
    tag, item, depth = task
    with execution(tag, item):
        time.sleep(0.01)
    if not depth:
        return answer(tag, item)
    names = [f"{item}.{n}" for n in range(BRANCHES)]
    follow = [Task([tag, name, depth - 1], key=name) for name in names]
    shared = f"shared{depth}"
    return Result(answer(tag, item), follow=[*follow, Task([tag, shared, 0], key=shared)])

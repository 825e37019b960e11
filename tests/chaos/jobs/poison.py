"""Tasks that kill their process, fail or are refused for good, among innocent ones."""

import ctypes
import os
import signal
import time

from diary import answer, execution, note

from queue_manager import Options, Reject

OPTIONS = Options(attempts=2)
BAD = ("segfault", "exit", "kill", "raise", "reject")


def tasks(tag: str, count: int = 40):
    for n in range(count):
        kind = BAD[n // 8 % len(BAD)] if n % 8 == 3 else "good"
        yield [tag, f"{kind}{n}", kind]


def work(task):
    tag, item, kind = task
    if kind == "good":
        with execution(tag, item):
            time.sleep(0.01)
        return answer(tag, item)
    note("S", tag, item)
    note("F", tag, item)
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "exit":
        os._exit(3)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "reject":
        raise Reject("not this one")
    raise ValueError("a bad task")

"""Task 2 raises, task 3 kills its process, task 4 is rejected."""

import os
import signal
import sys

from queue_manager import Options, Reject, Task

OPTIONS = Options(attempts=1)


def tasks(count: int = 6):
    for n in range(1, count + 1):
        yield Task(n, key=f"k{n}")


def work(n):
    print(f"looking at {n}")
    if n == 2:
        print("this is odd", file=sys.stderr)
        raise ValueError("2 is even")
    if n == 3:
        print("goodbye", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 4:
        raise Reject("not four")
    return n * n

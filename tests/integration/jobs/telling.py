"""A run of some seconds with one dead letter, whose report() says how far it is."""

import os
import sys
import threading
import time

from queue_manager import Options

OPTIONS = Options(attempts=1)
threads = set()


def tasks(count: int = 70):
    return iter(range(count))


def work(n):
    time.sleep(0.1)
    if n == 3:
        raise ValueError("not 3")


def collect(n, result):
    threads.add(threading.get_ident())


def report(counts):
    threads.add(threading.get_ident())
    assert counts.done + counts.dead < counts.tasks, "all has ended"
    left = "?" if counts.left_s is None else f"{counts.left_s:.1f} s"
    return f"report {counts.done}+{counts.dead} of {counts.tasks} by {os.getpid()}, left {left}"


def finish(results):
    print("finished in", len(threads), "thread", file=sys.stderr, flush=True)

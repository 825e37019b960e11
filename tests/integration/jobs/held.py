"""Every task waits for the file `gate`, and says in the file `log` that it began."""

import os
import time


def tasks(gate: str, log: str, count: int = 20):
    for n in range(count):
        yield [n, gate, log]


def work(item):
    n, gate, log = item
    with open(log, "a") as began:
        began.write(f"{n} {os.getpid()}\n")
    while not os.path.exists(gate):
        time.sleep(0.01)
    return n

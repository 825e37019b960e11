"""finish() writes what it was given into the folder `out`, and waits there for the file `gate`."""

import os
import time

from queue_manager import Options

OPTIONS = Options(attempts=1)


def tasks(out: str, count: int = 10, odd: bool = True, hold: bool = False):
    for n in range(count):
        yield [n, out, odd, hold]


def work(item):
    n, out, odd, hold = item
    if n % 2 and not odd and not os.path.exists(f"{out}/mended"):
        raise ValueError(f"{n} is odd")
    while hold and n >= 4 and not os.path.exists(f"{out}/go"):
        time.sleep(0.01)
    return n * n


def collect(item, result):
    write(item[1], "collected", item[0])


def finish(results, out, count, late="by default"):
    write(out, "begun", count, late)
    while not os.path.exists(f"{out}/gate"):
        time.sleep(0.01)
    write(out, "finished", [(item[0], result) for item, result in results])
    if os.path.exists(f"{out}/raise"):
        raise ValueError("no more room")


def write(out, *words):
    with open(f"{out}/log", "a") as log:
        print(*words, file=log)

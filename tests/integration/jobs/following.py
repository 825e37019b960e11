"""Its tasks are the results of the runs that it is after; `gate` holds them back in the midst."""

import os
import time
from collections.abc import Iterator


def tasks(previous, gate: str = "", add: int = 0):
    runs = [previous] if isinstance(previous, Iterator) else previous
    for run in runs:
        for number, result in enumerate(run):
            while gate and number >= 5 and not os.path.exists(gate):
                time.sleep(0.01)
            yield result + add


def work(result):
    return -result

"""A job whose collect() takes its time, and says which results it was given."""

import time


def tasks(count: int = 300):
    return iter(range(count))


def work(n):
    return n


def collect(n, result):
    time.sleep(0.005)
    # One write: with PYTHONUNBUFFERED a `print` of two words is four, and a kill may come between.
    print(f"collected {n}\n", end="", flush=True)

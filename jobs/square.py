# jobs/square.py
import random


def tasks(count: int = 10):  # in the runner: the inputs, lazily
    for _ in range(count):
        yield random.randint(0, 10_000)


def work(n):  # in a slot: one input -> one result
    return n * n


def collect(n, result):  # in the runner, optional: every result
    print(f"{n} * {n} = {result}")

"""A run that stays open without tasks of its own until the fifo `until` is written to."""


def tasks(until: str):
    with open(until) as fifo:
        fifo.read()
    yield from ()


def work(n):
    return n * n

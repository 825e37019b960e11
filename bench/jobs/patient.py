"""A run that stays open without tasks of its own until the fifo `until` is written to."""

from collections.abc import Iterator


def tasks(until: str) -> Iterator[int]:
    with open(until) as fifo:
        fifo.read()
    yield from ()


def work(n: int) -> int:
    return n * n

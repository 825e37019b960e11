"""A run that has no tasks of its own, and stays open until somebody writes to the fifo `until`."""

from collections.abc import Iterator


def tasks(until: str) -> Iterator[int]:
    with open(until) as fifo:
        fifo.read()
    yield from ()


def work(n: int) -> int:
    return n * n

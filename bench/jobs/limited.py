"""The job `patient` with a limit: one task of each group at a time."""

from collections.abc import Iterator

from queue_manager import Limit, Options

OPTIONS = Options(per_group=Limit(at_once=1))


def tasks(until: str) -> Iterator[int]:
    with open(until) as fifo:
        fifo.read()
    yield from ()


def work(n: int) -> int:
    return n * n

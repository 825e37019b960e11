"""The work of the benchmark of peers; the run is open until the fifo `until` is written to.

A number is squared, a text is measured; another payload names the work: (name, payload).
"""

from collections.abc import Iterator
from typing import Any

from bench.peers import work as works


def tasks(until: str) -> Iterator[int]:
    with open(until) as fifo:
        fifo.read()
    yield from ()


def work(payload: int | str | tuple[str, Any]) -> Any:
    if isinstance(payload, int):
        return works.square(payload)
    if isinstance(payload, str):
        return works.sized(payload)
    name, argument = payload
    return works.WORK[name](argument)

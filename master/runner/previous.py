"""The results of the runs that a run is after, read page by page while somebody takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.wire.messages import AskResults, Results
from queue_manager.wire.records import ResultBlock

from .session import RunnerSession


def previous(session: RunnerSession, runs: Sequence[int]) -> Any:
    """What `tasks(previous)` gets: the results of one run, or a list of the results of each."""
    each = [results_of(session, run) for run in runs]
    return each[0] if len(each) == 1 else each


def results_of(session: RunnerSession, run: int) -> Iterator[Any]:
    """The results of a run in the order of its tasks. At most two pages are in memory.

    Raises:
        ProtocolError: a result can't be decoded.
    """
    asked: Future[Results] | None = None
    while True:
        page = (asked or _ask(session, run, 0)).result()
        # The next page comes while this one is used.
        asked = None if page.complete else _ask(session, run, page.last)
        for block in page.blocks:
            yield from _values(run, block)
        if asked is None:
            return


def _ask(session: RunnerSession, run: int, after: int) -> Future[Results]:
    return session.request(lambda seq: AskResults(seq, run, after), Results)


def _values(run: int, block: ResultBlock) -> Iterator[Any]:
    for ended in block.ended:
        values = codec.decode_each(ended.results, 0, ended.stop - ended.start)
        for position, value in enumerate(values, ended.start):
            if type(value) is codec.Undecodable:
                task = block.first + position
                raise ProtocolError(f"run {run}, the result of task {task}: {value.error}")
            yield value

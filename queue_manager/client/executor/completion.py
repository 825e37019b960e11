"""The thread that ends futures: results are decoded in it, and callbacks are called.

It is not the thread of the loop, so a callback may wait for the master, or take its time. As that
of `concurrent.futures.ProcessPoolExecutor` it is no daemon: a program ends when its calls have.
"""

from __future__ import annotations

import itertools
import queue
import threading
from typing import TYPE_CHECKING, Any

from ... import codec
from ...errors import ProtocolError
from ...wire.messages import Page
from ..exceptions import exception_of
from ..loop_thread import holds_loop_lock
from ..runs.outcomes import HELD_BYTES, page_bytes
from .broken import BrokenQueueError, broken
from .future import QueueFuture, safely

if TYPE_CHECKING:
    from .calls import Calls

_numbers = itertools.count(1)


class Completion:
    """Ends the futures of one executor."""

    def __init__(self) -> None:
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._given_bytes = self._told_bytes = 0  # each is written in one thread
        self._held: set[Calls] = set()
        self._thread = threading.Thread(
            target=self._run, name=f"quartermaster-executor-{next(_numbers)}"
        )

    def start(self) -> None:
        """Begin. Whoever calls this sees to it that `end` is called, also after an interrupt."""
        self._thread.start()

    def page(self, calls: Calls, page: Page) -> None:
        """Outcomes of calls have come. Called in the loop."""
        self._given_bytes += page_bytes(page)
        self._news.put((calls, page))

    def is_full(self, calls: Calls) -> bool:
        """Whether no further page should be asked for. If so, `calls.has_room` is called later."""
        self._held.add(calls)  # first, so that it hears of what is told from now on
        full = self._given_bytes - self._told_bytes > HELD_BYTES
        if not full:
            self._held.discard(calls)
        return full

    def failed(self, futures: list[QueueFuture], error: BaseException | None) -> None:
        """Calls have no results, all for the same reason. None: they were cancelled."""
        self._news.put((futures, error))

    def lost(self, calls: Calls, error: BaseException) -> None:
        """Nothing more comes of these calls. What has come before is told before."""
        self._news.put((calls, error))

    def end(self) -> None:
        """Nothing more comes."""
        self._news.put(None)

    def join(self) -> None:
        """Wait for the end. A callback, which is in this thread, does not, nor does a finalizer."""
        if not holds_loop_lock() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _tell_held(self) -> None:
        """Have those look again who have found this full."""
        for calls in list(self._held):
            self._held.discard(calls)
            calls.has_room()

    def _run(self) -> None:
        while True:
            news = self._news.get()
            if news is None:
                return
            first, second = news
            if isinstance(second, Page):
                _take_page(first, second)
                self._told_bytes += page_bytes(second)
                self._tell_held()
            else:
                _end_all(first if isinstance(first, list) else first.left(), second)
            del news, first, second  # whoever has the future alone decides how long results live


def _end_all(futures: list[QueueFuture], error: BaseException | None) -> None:
    for future in futures:
        if error is None:
            safely(future.is_cancelled)
        else:
            safely(future.end, None, error)
        del future


def _take_page(calls: Calls, page: Page) -> None:
    """End the futures of a page. If it can't be read, all futures of its run end with that error.

    Else nobody would hear of the error, and whoever waits would wait for ever.
    """
    try:
        _end_page(calls, page)
    except Exception as trouble:
        error = broken(trouble)
        calls.abandon(error)
        _end_all(calls.left(), error)


def _end_page(calls: Calls, page: Page) -> None:
    """Whatever may raise comes before the futures are taken, so none of them is lost."""
    for part in page.outcomes:
        values = _values(part.results, part.stop - part.start)
        futures = calls.taken(part.first + part.start, part.first + part.stop)
        for future, value in zip(futures, values, strict=True):
            if future is None:
                continue
            if type(value) is codec.Undecodable:
                safely(future.end, None, value.told("the result", "program"))
            else:
                safely(future.end, value)
    for letter in page.dead:
        error = exception_of(letter)
        for future in calls.taken(letter.task, letter.task + 1):
            if future is not None:
                safely(future.end, None, error)
    for start, stop in page.cancelled:
        for future in calls.taken(start, stop):
            if future is None:
                continue
            if future.unwanted or calls.cancelling:
                safely(future.is_cancelled)
            else:
                safely(future.end, None, BrokenQueueError(calls.ended_by_others))


def _values(results: bytes, count: int) -> list[Any]:
    try:
        values = codec.decode_batch(results)
    except ProtocolError:
        return codec.decode_each(results, 0, count)
    if len(values) != count:
        raise ProtocolError(f"the master sent {len(values)} results of {count} tasks")
    return values

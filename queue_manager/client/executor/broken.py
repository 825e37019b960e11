"""The error of calls whose results can't come any more."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor

from ...errors import QueueError
from ...terminal import text_of


class BrokenQueueError(QueueError, BrokenExecutor):
    """The master takes no more calls of an executor, or its client was closed.

    A master that is away for a while is none: its executors wait for it. It stands here and not in
    `queue_manager.errors`, because its parent needs `concurrent.futures`, which workers do without.
    """


def broken(error: Exception) -> BrokenQueueError:
    """The same error for futures. One that is none of the queue's own has its class in the text."""
    own = isinstance(error, QueueError)
    made = BrokenQueueError(str(error) if own else f"{type(error).__name__}: {text_of(error)}")
    made.__cause__ = None if own else error
    return made

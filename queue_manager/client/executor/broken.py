"""The error of calls whose results can't come any more."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor

from ...errors import QueueError


class BrokenQueueError(QueueError, BrokenExecutor):
    """The master takes no more calls of an executor, or its client was closed.

    A master that is away for a while is none: its executors wait for it. It stands here and not in
    `queue_manager.errors`, because its parent needs `concurrent.futures`, which workers do without.
    """

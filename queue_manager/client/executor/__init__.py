"""A `concurrent.futures.Executor` whose calls run in the workers of a master."""

from .broken import BrokenQueueError
from .executor import QueueExecutor

__all__ = ["BrokenQueueError", "QueueExecutor"]

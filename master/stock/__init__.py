"""The two queues as clients of the standard library see them, shaped like `queue.Queue`.

A connection holds at most one open lease. Its next put on the result queue settles that lease only
if exactly one task was taken since the put before: a script that catches an exception and skips a
task must not have every later result recorded on the wrong one.
"""

from .results import LOST_COUNT, ResultQueue
from .sessions import StockSession, StockSessions
from .tasks import SKIPPED, TaskQueue

__all__ = ["LOST_COUNT", "SKIPPED", "ResultQueue", "StockSession", "StockSessions", "TaskQueue"]

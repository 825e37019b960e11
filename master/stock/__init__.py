"""The two queues as clients of the standard library see them, shaped like `queue.Queue`.

What a result is of is told by the order of calls on one connection alone (`rounds`): a script that
catches an exception and skips a task must not have every later result recorded on the wrong one.
"""

from .results import ResultQueue
from .rounds import SKIPPED, UNEVEN, Rounds
from .sessions import StockSession, StockSessions
from .tasks import TaskQueue

__all__ = [
    "SKIPPED",
    "UNEVEN",
    "ResultQueue",
    "Rounds",
    "StockSession",
    "StockSessions",
    "TaskQueue",
]

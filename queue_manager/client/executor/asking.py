"""What a thread has asked the master of its calls, and how long it waits for the answer."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import CancelledError
from typing import Any, Generic, NamedTuple, TypeVar

from ...errors import QueueError
from ..answer import Answer

R = TypeVar("R")


class Asking(NamedTuple, Generic[R]):
    """A question.

    answer: comes from the master. behind: the question waits for calls that are on their way to the
    master. Such an answer may be late while all others come at once.
    """

    answer: Answer[R]
    behind: bool = False


class Patience:
    """Waits for answers. A master that owes a late one is not waited for until it has given it."""

    def __init__(self) -> None:
        self._late: dict[bool, Answer[Any]] = {}

    def wait(self, asking: Asking[R], until: float) -> R | None:
        """The answer. until: how long to wait for it, as of `time.monotonic`.

        None: it has not come, or the run has just ended.
        """
        if self._is_owed(False) or (asking.behind and self._is_owed(True)):
            return None
        # A TimeoutError that comes out of the wait is one of a signal's handler.
        if not asking.answer.wait(until - time.monotonic()):
            self._late[asking.behind] = asking.answer
            return None
        with contextlib.suppress(QueueError, CancelledError, TimeoutError):
            return asking.answer.result()
        return None

    def _is_owed(self, behind: bool) -> bool:
        late = self._late.get(behind)
        return late is not None and not late.done()

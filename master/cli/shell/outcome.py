"""What became of one command: a result, or why there is none."""

from __future__ import annotations

import signal
from typing import Any, NamedTuple

from queue_manager.client.exceptions import RemoteTraceback
from queue_manager.terminal import text_of


class Outcome(NamedTuple):
    """One command.

    given: its input. result: as `queue_manager.shell.job` returns it; None: there is none, and
    `error` says why.
    """

    seq: int
    given: str
    command: str | bytes
    result: dict[str, Any] | None
    error: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the command's exit code is 0."""
        return self.result is not None and self.result.get("exit_code") == 0

    @property
    def signal_number(self) -> int:
        """The signal that has ended it; 0: none has."""
        name = (self.result or {}).get("signal")
        if not name:
            return 0
        try:
            return int(signal.Signals[name])
        except KeyError:
            return int(name.rpartition(" ")[2])


def task_of(error: BaseException) -> int | None:
    """The number of the task that has failed so; None: the error is of no task that has run."""
    cause = error.__cause__
    return cause.task if isinstance(cause, RemoteTraceback) else None


def line_of(error: BaseException) -> str:
    """An error of a task, on one line."""
    return text_of(error) or type(error).__name__

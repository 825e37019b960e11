"""Makes the exception of a dead letter: of the class that its task raised, where that is safe.

What travels is names and plain data. Nothing is imported for it, and nothing is unpickled.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any

from .. import errors
from ..errors import TaskError
from ..job.raised import Raised, read_raised
from ..wire.records import DeadLetter, TaskStatus

_STOPS = (StopIteration, StopAsyncIteration)
"""Raised in an iterator of results, they would end it without a word."""


class RemoteTraceback(Exception):
    """The traceback of a task in its worker: the `__cause__` of the exception in the client.

    It is shown as that of `concurrent.futures.ProcessPoolExecutor` is. task: the task's number.
    """

    def __init__(self, text: str, task: int = 0) -> None:
        super().__init__(text)
        self.task = task

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def exception_of(letter: DeadLetter | TaskStatus) -> Exception:
    """The exception of a task that has failed for good, new at each call. It is not raised.

    - A built-in exception is itself, as is one of a class that this process has imported already,
      if the class takes the args.
    - `SystemExit`, `KeyboardInterrupt` and the like do not end the client: a `TaskError` says so.
    - `Reject` and `Retry` are themselves. A task that took too long is a `TimeLimitError`, one that
      ended its slot or its worker a `WorkerDiedError`.
    - Any other is a `TaskError`, which has the name of the class, the text and the traceback.

    Its `__cause__` is the traceback in the worker.
    """
    raised = read_raised(letter.raised)
    made = None if raised is None else _make(raised, letter.error)
    if made is None:
        made = _stand_in(raised, letter)
    made.__cause__ = RemoteTraceback(_remote_text(letter), letter.task)
    return made


def _make(raised: Raised, line: str) -> Exception | None:
    """The exception itself. None: its class is not here, is not safe, or does not take the args."""
    kind = _class_of(raised)
    if kind is None:
        return None
    args = raised.args
    if raised.module == errors.__name__ and not args:
        args = (line,)  # the queue itself has reported it, in one line
    try:
        made = kind(*args)
        if len(made.args) == len(args) and not isinstance(made, OSError):
            made.args = args  # a class may make its text of its arguments, and would do so twice
    except Exception:
        return None
    return made if isinstance(made, Exception) else None


def _class_of(raised: Raised) -> type[Exception] | None:
    module = builtins if raised.module == "builtins" else sys.modules.get(raised.module)
    found: Any = module
    for name in raised.qualname.split("."):
        # No getattr: a module or a class may have code that runs, or imports, for a name.
        found = getattr(found, "__dict__", {}).get(name)
    if not isinstance(found, type) or not issubclass(found, Exception):
        return None
    return None if issubclass(found, _STOPS) else found


def _stand_in(raised: Raised | None, letter: DeadLetter | TaskStatus) -> TaskError:
    if raised is None:
        return TaskError("", letter.error, letter.evidence)
    name = raised.qualname.rpartition(".")[2]
    text = "" if letter.error == name else letter.error.removeprefix(f"{name}: ")
    where = "" if raised.module == "builtins" else f"{raised.module}."
    return TaskError(f"{where}{raised.qualname}", text, letter.evidence)


def _remote_text(letter: DeadLetter | TaskStatus) -> str:
    """The traceback and where it was, or the one line where there is none."""
    text = letter.evidence or f"{letter.error}\n"
    where = f" on {letter.worker}" if letter.worker else ""
    tries = f"{letter.attempts} attempt{'s' * (letter.attempts != 1)}"
    end = "" if text.endswith("\n") else "\n"
    return f"{text}{end}(task {letter.task}, {tries}{where})\n"

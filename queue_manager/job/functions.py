"""Whether the functions of a job are written so that they can be called.

This is checked when a job is submitted, so that the submit fails and no run stalls. No function is
called for the check.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .arguments import finish_trouble, report_trouble
from .run_key import run_key_trouble

Function = Callable[..., Any]


def functions_trouble(functions: dict[str, Function | None]) -> str:
    """Describe the first trouble in one line; empty if there is none.

    functions: by name. `work` must be there; the others may be None or missing.
    """
    work, tasks, finish = functions["work"], functions.get("tasks"), functions.get("finish")
    assert work is not None
    troubles = [_work(work), _tasks(tasks) if tasks is not None else ""]
    if (setup := functions.get("setup")) is not None:
        troubles.append(_setup(setup, work))
    if (collect := functions.get("collect")) is not None:
        troubles.append(_collect(collect))
    if finish is not None:
        troubles.append(finish_trouble(finish, tasks))
    if (report := functions.get("report")) is not None:
        troubles.append(report_trouble(report))
    if (run_key := functions.get("run_key")) is not None:
        troubles.append(run_key_trouble(run_key, tasks))
    return next(filter(None, troubles), "")


def _work(work: Function) -> str:
    if yields(work):
        return "work() has a yield, and so gives no result: it must return one"
    if _is_async(work) and not inspect.iscoroutinefunction(work):
        return "work is an object with an async __call__: write async def work(payload)"
    return "" if _takes(work, 1) else "work() takes the payload and nothing else: def work(payload)"


def _tasks(tasks: Function) -> str:
    if _is_async(tasks):
        return (
            "tasks() is async, which nobody awaits: write def tasks() with a plain yield;"
            " asyncio.run(...) in it may wait for what is async"
        )
    for name, parameter in _parameters(tasks).items():
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is parameter.empty:
            return f"tasks() takes {name!r} by position alone: its arguments are given by name"
    return ""


def _setup(setup: Function, work: Function) -> str:
    if yields(setup):
        return "setup() has a yield, and so would not run: write it without"
    if _is_async(setup) and not _is_async(work):
        return "setup() is async and work() is not: make both async, or none"
    return "" if _takes(setup, 0) else "setup() takes no arguments: def setup()"


def _collect(collect: Function) -> str:
    if _is_async(collect) or yields(collect):
        return "collect() is a plain function, neither async nor with a yield"
    if not _takes(collect, 2):
        return "collect() takes payload and result: def collect(payload, result)"
    return ""


def _called(function: Function) -> Function:
    """The function that a call runs. For an object with `__call__` it is that method."""
    plain: Function = inspect.unwrap(function)
    if inspect.isroutine(plain) or isinstance(plain, type) or hasattr(plain, "func"):
        return plain
    called: Function = type(plain).__call__
    return called


def _is_async(function: Function) -> bool:
    called = _called(function)
    return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)


def yields(function: Function) -> bool:
    """Whether a call gives a generator, and no result."""
    called = _called(function)
    return inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called)


def _takes(function: Function, count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a function in C that has no signature
        pass
    return True


def _parameters(function: Function) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)

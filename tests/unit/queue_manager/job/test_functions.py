"""Functions of a job that can't be called as they will be are refused when it is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from queue_manager.job.functions import functions_trouble

Functions = dict[str, Callable[..., Any] | None]


def defined(source: str) -> Functions:
    """The functions of a job."""
    space: dict[str, Any] = {}
    exec("import asyncio, functools\n" + source, space)
    names = ("work", "tasks", "setup", "collect", "finish", "report")
    found = {name: space.get(name) for name in names}
    if found["work"] is None:
        found["work"] = len
    return found


@pytest.mark.parametrize(
    "source",
    [
        "async def work(n): return n\nasync def setup(): pass",
        "def work(n, more=1): return n",
        "def work(*payload): return n",
        "work = functools.partial(pow, 2)",
        "class Work:\n def __call__(self, n): return n\nwork = Work()",
        "class work:\n def __init__(self, n): pass",
        "work = print\nsetup = print\ncollect = print",
        "def tasks(count=1): yield count",
        "def tasks(x=1, /, y=2): yield x",
        "def tasks(*words, **named): yield 1",
        "def tasks(): return [1, 2]",
        "class Tasks:\n def __call__(self, a): yield a\ntasks = Tasks()",
        "def setup(again=False): pass",
        "def collect(payload, result, more=None): pass",
        "def finish(results, count=1): pass\ndef report(counts): pass",
    ],
)
def test_what_can_be_called_is_taken(source: str) -> None:
    assert functions_trouble(defined(source)) == ""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def tasks(x, /): yield x", "tasks() takes 'x' by position alone: its arguments are"),
        ("async def tasks(): yield 1", "tasks() is async, which nobody awaits: write def tasks()"),
        ("async def tasks(): return [1]", "tasks() is async"),
        ("class T:\n async def __call__(self): yield 1\ntasks = T()", "tasks() is async"),
        ("async def t(a): yield a\ntasks = functools.partial(t, 1)", "tasks() is async"),
        ("def work(): pass", "work() takes the payload and nothing else: def work(payload)"),
        ("def work(a, b): pass", "work() takes the payload and nothing else"),
        ("def work(*, n): pass", "work() takes the payload and nothing else"),
        ("def work(n): yield n", "work() has a yield, and so gives no result"),
        ("async def work(n): yield n", "work() has a yield, and so gives no result"),
        ("class W:\n async def __call__(self, n): pass\nwork = W()", "work is an object with an"),
        ("async def setup(): pass", "setup() is async and work() is not"),
        ("def setup(): yield 1", "setup() has a yield"),
        ("def setup(device): pass", "setup() takes no arguments: def setup()"),
        ("async def collect(a, b): pass", "collect() is a plain function"),
        ("def collect(a, b): yield a", "collect() is a plain function"),
        ("def collect(result): pass", "collect() takes payload and result"),
        ("async def finish(results): yield 1", "finish() is a plain function"),
        ("async def report(counts): yield ''", "report() is a plain function"),
    ],
)
def test_what_cannot_be_called_is_one_line_that_says_how_it_is_written(
    source: str, says: str
) -> None:
    assert functions_trouble(defined(source)).startswith(says)

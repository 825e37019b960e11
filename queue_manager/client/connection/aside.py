"""A blocking function beside the loop, in a daemon thread of its own.

The loop's executor takes nothing more once the main thread has ended, though other threads of the
program go on. It also makes the end of the program wait for whatever it does.

Python 3.12 starts no thread any more once the main thread has ended, though the program may go on
with others, or wait for the calls of an executor. A spare thread does the work then.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import ConnectionLostError

R = TypeVar("R")


async def aside(
    function: Callable[..., R], *arguments: Any, undo: Callable[[R], object] = lambda _: None
) -> R:
    """What a blocking function returns.

    When this is cancelled, the function goes on, and nobody waits for it. undo: gets what it then
    returns.

    Raises what the function raises; ConnectionLostError if no thread can be started, and there is
    no spare one.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[R] = loop.create_future()
    outcome: list[R] = []

    def settle(error: BaseException | None) -> None:
        if done.done():
            if error is None:
                undo(outcome[0])
        elif error is None:
            done.set_result(outcome[0])
        else:
            done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            outcome.append(function(*arguments))
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(settle, error)
        except RuntimeError:  # the loop was closed meanwhile
            if error is None:
                undo(outcome[0])

    try:
        threading.Thread(target=run, name="quartermaster-aside", daemon=True).start()
    except RuntimeError as error:  # too many threads, or Python itself ends
        if _spare is None:
            raise ConnectionLostError(f"no thread can be started: {error}") from None
        _spare.put(run)
    return await done


_spare: queue.SimpleQueue[Callable[[], None]] | None = None
"""What the spare thread does, one after the other, if there is such a thread."""


def keep_spare() -> None:
    """Have a spare thread in this process from now on.

    Whoever has a thread for its loop calls this. A program whose loop is in its only thread has no
    loop any more when that has ended.
    """
    global _spare
    if _spare is None:
        work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(
            target=_serve, args=[work], name="quartermaster-spare", daemon=True
        ).start()
        _spare = work


def _serve(work: queue.SimpleQueue[Callable[[], None]]) -> None:
    while True:
        work.get()()


def _forked() -> None:
    global _spare
    _spare = None  # the child of a fork has no thread of its parent's


os.register_at_fork(after_in_child=_forked)

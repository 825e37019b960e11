"""A blocking function beside the loop, in a daemon thread of its own.

The loop's executor takes nothing more once the main thread has ended, though other threads of the
program go on. It also makes the end of the program wait for whatever it does.
"""

from __future__ import annotations

import asyncio
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

    Raises what the function raises; ConnectionLostError if no thread can be started.
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
        raise ConnectionLostError(f"no thread can be started: {error}") from None
    return await done

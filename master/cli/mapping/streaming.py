"""A map over inputs that come at their own pace, such as those of a pipe.

The inputs are read in a thread of their own: results are written while the next input is still to
come. Knows nothing of files or forms.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from queue_manager.client.asynchronous import GOODBYE_S, AsyncClient
from queue_manager.client.synchronous import Client

AHEAD = 8_192
"""So many inputs, and so many results, are between two threads at most."""

_AT_ONCE = 256
"""After so many inputs the loop is given to others."""

_ROOM_S = 0.01


@dataclass(frozen=True)
class _Over:
    """There are no more values. error: why."""

    error: BaseException | None = None


def streamed(
    client: Client, function: Callable[..., Any], inputs: Iterable[Any], **how: Any
) -> Iterator[Any]:
    """As `client.map`, with inputs that may block. how: further arguments of that."""
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    thread, inner = client._here()
    answer = thread.begin(_map(inner, results, function, inputs, how))
    try:
        while type(value := results.get()) is not _Over:
            yield value
        if value.error is not None:
            raise value.error
    finally:
        thread.soon(answer.cancel)
        answer.wait(GOODBYE_S)


async def _map(
    client: AsyncClient,
    results: queue.SimpleQueue[Any],
    function: Callable[..., Any],
    inputs: Iterable[Any],
    how: dict[str, Any],
) -> None:
    """In the loop: the results go into the queue, and then why there are no more."""
    try:
        values: AsyncGenerator[Any, None] = client.map(function, _Reader(inputs).items(), **how)
        async with contextlib.aclosing(values):
            async for value in values:
                results.put(value)
                while results.qsize() > AHEAD:
                    await asyncio.sleep(_ROOM_S)
    except Exception as error:
        results.put(_Over(error))
    except BaseException:
        results.put(_Over())
        raise
    else:
        results.put(_Over())


class _Reader:
    """Reads inputs in a thread, and gives them out in the loop."""

    def __init__(self, inputs: Iterable[Any]) -> None:
        self._inputs = inputs
        self._loop = asyncio.get_running_loop()
        self._items: deque[Any] = deque()
        self._came = asyncio.Event()
        self._room = threading.Event()
        self._told = False

    async def items(self) -> AsyncGenerator[Any, None]:
        """The inputs. Raises what reading them has raised, behind those before."""
        threading.Thread(target=self._read, name="inputs", daemon=True).start()
        given = 0
        while True:
            if not self._items:
                self._told = False
                if not self._items:  # it may have come before the thread could see that
                    await self._came.wait()
                self._came.clear()
                continue
            item = self._items.popleft()
            self._room.set()
            if type(item) is _Over:
                if item.error is not None:
                    raise item.error
                return
            yield item
            given += 1
            if given % _AT_ONCE == 0:
                await asyncio.sleep(0)

    def _read(self) -> None:
        try:
            for item in self._inputs:
                while len(self._items) > AHEAD:
                    self._room.clear()
                    if len(self._items) > AHEAD:
                        self._room.wait()
                self._put(item)
        except BaseException as error:  # whatever it is, the map raises it
            self._put(_Over(error))
        else:
            self._put(_Over())

    def _put(self, item: Any) -> None:
        self._items.append(item)
        if not self._told:
            self._told = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._came.set)

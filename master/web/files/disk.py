"""Looks at files in threads of their own, for a while at most.

A network disk may hang. Then a look never ends, and its thread neither: the threads in which
log-outs are written, say, must not be among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from queue_manager.errors import RefusedError

_THREADS = 4
_WITHIN_S = 3.0
_YOUNG_S = 2.0

R = TypeVar("R")


class SlowDiskError(RefusedError):
    """The disk does not answer in time."""

    def __init__(self) -> None:
        super().__init__("the disk with the files does not answer: try again in a moment")


class Disk:
    """within_s: how long a look may take, with its wait for a thread. young_s: how long what was
    seen is shared."""

    def __init__(self, within_s: float = _WITHIN_S, young_s: float = _YOUNG_S) -> None:
        self._within_s, self._young_s = within_s, young_s
        self._threads = ThreadPoolExecutor(_THREADS, "files")
        self._kept: dict[Hashable, asyncio.Future[Any]] = {}

    async def look(
        self, function: Callable[..., R], *args: Any, late: Callable[[], object] | None = None
    ) -> R:
        """What a function returns, which looks at files.

        late: is called when the function has ended, though nobody waits for it any more.

        Raises SlowDiskError, and what the function raises.
        """
        future = self._threads.submit(function, *args)
        waits = asyncio.wrap_future(future)
        try:
            done, _ = await asyncio.wait([waits], timeout=self._within_s)
            if done:
                return waits.result()
        finally:
            if not waits.done():
                waits.cancel()  # takes it out of the queue, unless it has begun
                if late is not None:
                    future.add_done_callback(lambda _: late())
        raise SlowDiskError

    async def recent(self, key: Hashable, function: Callable[..., R], *args: Any) -> R:
        """As `look`, unless somebody has looked for the same a moment ago, or just looks.

        key: the same for looks that see the same.
        """
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = asyncio.ensure_future(self.look(function, *args))
            kept.add_done_callback(lambda future: self._seen(key, future))
        return await asyncio.shield(kept)

    def _seen(self, key: Hashable, future: asyncio.Future[Any]) -> None:
        if not future.cancelled():
            future.exception()  # whoever has asked may have gone
        future.get_loop().call_later(self._young_s, self._kept.pop, key, None)

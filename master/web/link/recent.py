"""Answers that are a moment old at most, so that many pages ask the master once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec

from queue_manager.wire.limits import LAST_NUMBER
from queue_manager.wire.messages import (
    AskRun,
    AskRuns,
    AskSessions,
    AskStatus,
    Request,
    RunList,
    RunShown,
    SessionList,
    Status,
)
from queue_manager.wire.records import RunStatus

YOUNG_S = 0.5
"""How old an answer may be."""

_MOST = 64
"""How many answers are kept. The oldest goes first."""

MOST_BYTES = 32 * 1024 * 1024
"""The same in bytes of payloads, results and texts. One answer may have 14 MiB."""

ENDED_RUNS = 60
"""Among how many of the newest runs the ones that have ended last are looked for."""

R = TypeVar("R")


class Asks(Protocol):
    """What asks the master."""

    async def ask(self, make: Callable[[int], Request], answer: type[R]) -> R:
        """The answer to a request."""
        ...


class Recent:
    """Asks, unless somebody has asked the same a moment ago, or is just asking."""

    def __init__(
        self,
        master: Asks,
        clock: Callable[[], float] = time.monotonic,
        young_s: float = YOUNG_S,
    ) -> None:
        self._master, self._clock, self._young_s = master, clock, young_s
        self._kept: OrderedDict[object, tuple[float, asyncio.Future[Any]]] = OrderedDict()
        self._sizes: dict[object, int] = {}
        """Of the answers that have come, by their keys; the oldest is the first."""

    async def get(self, key: object, make: Callable[[int], Request], answer: type[R]) -> R:
        """The answer to a request. key: the same for requests with the same answer.

        Raises as `Master.ask`.
        """
        since, future = self._kept.get(key, (0.0, None))
        if future is None or (future.done() and self._is_old(since, future)):
            future = asyncio.ensure_future(self._master.ask(make, answer))
            self._sizes.pop(key, None)
            self._kept[key] = self._clock(), future
            self._kept.move_to_end(key)
            future.add_done_callback(partial(self._come, key))
            while len(self._kept) > _MOST:
                self._forget(next(iter(self._kept)))
        return await asyncio.shield(future)

    def _come(self, key: object, future: asyncio.Future[Any]) -> None:
        """An answer has come: it is kept for as long as it is young. Errors are not kept."""
        failed = future.cancelled() or future.exception() is not None
        if self._kept.get(key, (0.0, None))[1] is not future:
            return
        if failed:
            self._forget(key)
            return
        self._sizes[key] = _size_of(future.result())
        while sum(self._sizes.values()) > MOST_BYTES:
            self._forget(next(iter(self._sizes)))
        future.get_loop().call_later(self._young_s, self._end, key, future)

    def _end(self, key: object, future: asyncio.Future[Any]) -> None:
        if self._kept.get(key, (0.0, None))[1] is future:
            self._forget(key)

    def _forget(self, key: object) -> None:
        del self._kept[key]
        self._sizes.pop(key, None)

    def _is_old(self, since: float, future: asyncio.Future[Any]) -> bool:
        failed = future.cancelled() or future.exception() is not None
        return failed or self._clock() - since > self._young_s

    def forget(self) -> None:
        """Something was changed: the next answers are new ones."""
        self._kept.clear()
        self._sizes.clear()

    async def status(self) -> Status:
        """How the master is."""
        return await self.get("status", AskStatus, Status)

    async def active_runs(self) -> list[RunStatus]:
        """The newest runs that go on, the newest first: a page of them."""
        found = await self.get("active runs", partial(AskRuns, ended=0, back=True), RunList)
        return found.runs[::-1]

    async def ended_runs(self) -> list[RunStatus]:
        """The newest `ENDED_RUNS` that do not, the one that has ended last first."""
        ask = partial(AskRuns, after=-LAST_NUMBER, ended=ENDED_RUNS)
        found = await self.get("ended runs", ask, RunList)
        return sorted(found.runs, key=lambda run: run.ended_at or 0.0, reverse=True)

    async def run(self, number: int) -> RunStatus:
        """One run. Raises RefusedError if there is none with this number."""
        return (await self.run_shown(number)).run

    async def run_shown(self, number: int) -> RunShown:
        """As `run`, with what its job has printed."""
        return await self.get(("run", number), partial(AskRun, run=number), RunShown)

    async def sessions(self, after: int = 0) -> SessionList:
        """A page of sessions, as `AskSessions` has it."""
        return await self.get(("sessions", after), partial(AskSessions, after=after), SessionList)


def _size_of(value: Any) -> int:
    """About how many bytes of payloads and texts an answer has."""
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, msgspec.Struct):
        return sum(_size_of(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, dict):
        return sum(map(_size_of, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_size_of, value))
    return 8

"""Runs the turns, one at a time. A turn runs within one call of the loop until it waits or ends.

No asyncio task runs it. So a turn costs the loop no more than a call, and nobody can cancel it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

Running = Coroutine[asyncio.Future[Any], None, None]


class Driver:
    """Begins turns when they are wanted.

    take_turn: makes the coroutine of one turn, which yields each future that it waits for.
    """

    def __init__(self, take_turn: Callable[[], Running]) -> None:
        self._take_turn = take_turn
        self._current: Running | None = None
        self._is_wanted = False
        self._closed = False
        self._idle = asyncio.Event()
        self._timers: dict[Callable[[], None], asyncio.TimerHandle] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether a turn has begun and has not ended."""
        return self._current is not None

    def wake(self) -> None:
        """Have a turn when the loop has read what is there, and no other turn is on its way."""
        if not self._is_wanted and not self._closed:
            self._is_wanted = True
            if self._current is None:
                asyncio.get_running_loop().call_soon(self.begin)

    def after(self, wait_s: float, act: Callable[[], None]) -> None:
        """Plan an act, such as `wake`. Each act has one timer: a new plan replaces the old one."""
        planned = self._timers.pop(act, None)
        if planned is not None:
            planned.cancel()

        def due() -> None:
            del self._timers[act]
            act()

        self._timers[act] = asyncio.get_running_loop().call_later(wait_s, due)

    def is_planned(self, act: Callable[[], None]) -> bool:
        """Whether an act is planned, and not yet due."""
        return act in self._timers

    def begin(self) -> None:
        """Have a turn now, unless one waits."""
        if self._closed or self._current is not None:
            return
        self._is_wanted = False
        self._current = self._take_turn()
        self._go_on()

    async def wait_until_idle(self) -> None:
        """Return when no turn waits."""
        while self._current is not None:
            await self._idle.wait()

    def close(self) -> None:
        """Have no more turns."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()

    def _go_on(self, _: object = None) -> None:
        turn = self._current
        assert turn is not None
        try:
            with collector_paused():
                waits_for = turn.send(None)
        except BaseException as error:
            self._current = None
            self._idle.set()
            if self._is_wanted and not self._closed:
                asyncio.get_running_loop().call_soon(self.begin)
            if not isinstance(error, StopIteration):
                raise
        else:
            self._idle.clear()
            waits_for.add_done_callback(self._go_on)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause Python's cyclic garbage collector.

    Most of what a turn makes stays, and each collection in the turn would look at all of it in
    vain. Between turns the collector runs, so cycles such as those of closed connections go.
    Source: https://docs.python.org/3/library/gc.html#gc.set_threshold
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()

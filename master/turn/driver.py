"""Runs the turns, one at a time. A turn runs within one call of the loop until it waits or ends.

`Gathering` knows when a turn should wait a moment for further senders.

No asyncio task runs it. So a turn costs the loop no more than a call, and nobody can cancel it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

Running = Coroutine[asyncio.Future[Any], None, None]

WAIT_S = 0.001
"""How long a turn waits at most, as short as the loop's timers can be."""

RECENT_S = 0.01
"""Nobody waits for those who have not come for so long."""

PAUSE = 64
"""After a wait in vain, so many turns pass before one more sender than before is waited for."""


async def drive(running: Running) -> None:
    """Run what yields the futures that it waits for, outside of any turn."""
    with contextlib.suppress(StopIteration):
        while True:
            await asyncio.wait([running.send(None)])


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
        self._gathering = Gathering()

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

    def gather(self, sender: object) -> None:
        """Have a turn for a sender and, within a millisecond, for others who come lately."""
        if self._gathering.came(sender, time.monotonic()):
            self.wake()
        elif not self.is_planned(self._gathered):
            self.after(WAIT_S, self._gathered)

    def _gathered(self) -> None:
        self.wake()

    def after(self, wait_s: float, act: Callable[[], None]) -> None:
        """Plan an act, such as `wake`. Each act has one timer: a new plan replaces the old one."""
        self.give_up(act)

        def due() -> None:
            del self._timers[act]
            act()

        self._timers[act] = asyncio.get_running_loop().call_later(wait_s, due)

    def give_up(self, act: Callable[[], None]) -> None:
        """Plan an act no more, if it is planned."""
        planned = self._timers.pop(act, None)
        if planned is not None:
            planned.cancel()

    def is_planned(self, act: Callable[[], None]) -> bool:
        """Whether an act is planned, and not yet due."""
        return act in self._timers

    def begin(self) -> None:
        """Have a turn now, unless one waits."""
        if self._closed or self._current is not None:
            return
        self._is_wanted = False
        self._gathering.begin(time.monotonic())
        self.give_up(self._gathered)
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


class Gathering:
    """Has a turn wait a moment for as many senders as came together last time, and for one more.

    Many standard-library clients that call one by one come back shortly after their answers, each
    at its own time. A turn for each of them would sync the disk for each. A client alone never
    waits. Source of the idea: `commit_delay` and `commit_siblings` of PostgreSQL. The one more
    lets senders who come in turns, half of them in each, meet in one turn.
    """

    def __init__(self) -> None:
        self._senders: set[int] = set()
        self._target = 1
        self._pause = 0
        self._last = 0.0

    def came(self, sender: object, now: float) -> bool:
        """A sender has come. Returns whether the turn begins now. now: monotonic seconds."""
        self._senders.add(id(sender))
        if now - self._last > RECENT_S:
            self._target = 1
        return len(self._senders) >= self._target

    def begin(self, now: float) -> None:
        """A turn begins with those who have come, for whatever reason."""
        count = len(self._senders)
        if not count:
            return
        self._senders.clear()
        if count < self._target:
            self._pause = PAUSE
        self._pause = max(0, self._pause - 1)
        self._target = count + (count > 1 and not self._pause)
        self._last = now


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

"""Lets only a few processes start at a time: a restarted master may have many to start."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class Gate:
    """Lets `limit` in at a time. Urgent ones go first, others in the order in which they came."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._count = itertools.count()
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []

    async def enter(self, *, urgent: bool = True) -> Ticket:
        """Wait to be let in. Giving the ticket back lets the next one in."""
        if self._free:
            self._free -= 1
        else:
            admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (not urgent, next(self._count), admitted))
            try:
                await admitted
            except asyncio.CancelledError:
                if admitted.done() and not admitted.cancelled():
                    self._leave()
                raise
        return Ticket(self)

    def _leave(self) -> None:
        while self._waiting:
            *_, admitted = heapq.heappop(self._waiting)
            if not admitted.done():
                admitted.set_result(None)
                return
        self._free += 1


class Ticket:
    """The right to start. It is given back once."""

    def __init__(self, gate: Gate) -> None:
        self._gate: Gate | None = gate

    def leave(self) -> None:
        """Let the next one in."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate._leave()

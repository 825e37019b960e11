"""A gate for a few at a time: after a restart of the master many processes are to start at once."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class Gate:
    """Lets so many in. Those that are urgent come first, else who came first."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._count = itertools.count()
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []

    async def enter(self, *, urgent: bool = True) -> Ticket:
        """Wait to be let in; the ticket lets the next one in when it is given back."""
        if self._free:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (not urgent, next(self._count), turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()
                raise
        return Ticket(self)

    def _leave(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Ticket:
    """The right to be behind the gate, which is given back once."""

    def __init__(self, gate: Gate) -> None:
        self._gate: Gate | None = gate

    def leave(self) -> None:
        """Let the next one in."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate._leave()

"""How soon a standby master takes over: the active one killed, stopped in order, or frozen.

A client that knows both masters submits single tasks without a pause. Measured is the time from the
signal until the next submit is acknowledged, which is on disk then.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from queue_manager import codec
from queue_manager.client.connection.link import Link
from queue_manager.errors import QueueError
from queue_manager.wire.messages import Accepted, SubmitTasks
from queue_manager.wire.records import NewBlock

from ..brief import sized
from ..figure import Figure
from ..rig import postgres, processes, run
from ..rig.processes import Process, wait_until
from ..rig.session import client

KILLS, STOPS, FREEZES = sized((20, 20, 10), (1, 1, 1))
MOST_KILLED_S, MOST_STOPPED_S, MOST_FROZEN_S = 1.0, 0.5, 5.0
_GIVE_UP_S = 30.0
_BEFORE = 5
"""So many submits are acknowledged before each signal."""
_RETRY_S = 0.005
_ACTIVE, _STANDS_BY = "this master is the active one", "stands by on"


def measure() -> list[Figure]:
    """Two masters on one database, and one fault after another."""
    with ExitStack() as stack:
        folder = stack.enter_context(processes.scratch())
        server = stack.enter_context(postgres.server(folder))
        pair = _Pair(stack, folder, server.url)
        killed = [pair.fault(signal.SIGKILL) for _ in range(KILLS)]
        stopped = [pair.fault(signal.SIGTERM) for _ in range(STOPS)]
        frozen = [pair.fault(signal.SIGSTOP) for _ in range(FREEZES)]
    return [
        *_figures("the active master killed", killed, MOST_KILLED_S),
        *_figures("the active master stopped in order", stopped, MOST_STOPPED_S),
        *_figures("the active master frozen", frozen, MOST_FROZEN_S),
    ]


def _figures(what: str, took_s: list[float], most_s: float) -> list[Figure]:
    return [
        Figure(f"{what}, until a submit is acknowledged", "s", tuple(took_s)),
        Figure(f"{what}, the longest", "s", (max(took_s),), at_most=most_s),
    ]


class _Pair:
    """An active master and a standby, on two ports that they keep."""

    def __init__(self, stack: ExitStack, folder: Path, url: str) -> None:
        self._stack, self._folder, self._store = stack, folder, {"MASTER_STORE": url}
        self._started = 0
        first, port = self._start(0, stands_by=False)
        second, other = self._start(0, stands_by=True)
        self._masters = {port: first, other: second}
        until = folder / "until"  # nobody ever writes to it
        os.mkfifo(until)
        self._run = run.start(port, ["patient", f"until={until}"])
        self._active = port

    def fault(self, how: signal.Signals) -> float:
        """Send the active master a signal; seconds until a submit of a client's is acknowledged.

        Then there is a standby again: in the place of a dead master, or a frozen one that thaws.
        """
        ended, port = self._masters[self._active], self._active
        took_s = asyncio.run(self._gap(ended, how))
        (self._active,) = self._masters.keys() - {port}
        if how is signal.SIGSTOP:
            before = ended.log.read_text().count(_STANDS_BY)
            ended.process.send_signal(signal.SIGCONT)
            wait_until(lambda: ended.log.read_text().count(_STANDS_BY) > before, "a thawed standby")
        else:
            ended.process.wait(_GIVE_UP_S)
            self._masters[port], _ = self._start(port, stands_by=True)
        return took_s

    async def _gap(self, active: Process, how: signal.Signals) -> float:
        async with client(self._masters, "runner") as link, asyncio.timeout(_GIVE_UP_S):
            acknowledged = 0
            while acknowledged < _BEFORE:
                acknowledged += await self._submitted(link)
            began = time.monotonic()
            active.process.send_signal(how)
            while not await self._submitted(link) or _port(link) == self._active:
                pass  # one that is stopped in order answers a little longer
            return time.monotonic() - began

    async def _submitted(self, link: Link) -> bool:
        """Submit one task. False if its answer has not come: it may be on disk all the same."""
        block = NewBlock(1, codec.encode_batch([7]))
        try:
            await link.request(lambda seq: SubmitTasks(seq, self._run, [block]), Accepted)
        except QueueError:
            await asyncio.sleep(_RETRY_S)
            return False
        return True

    def _start(self, port: int, *, stands_by: bool) -> tuple[Process, int]:
        self._started += 1
        folder = self._folder / f"master-{self._started}"
        folder.mkdir()
        more = {**self._store, "MASTER_NAME": f"master-{self._started}"}
        started = processes.master(folder, port=port, more=more, stands_by=stands_by)
        return self._stack.enter_context(started)


def _port(link: Link) -> int:
    """The port of the master that the last session was with."""
    assert link.masters.last is not None
    return link.masters.last.address[1]

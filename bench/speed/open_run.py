"""A session of ours with a run that stays open: the base of what submits and collects by itself."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path
from typing import Self

from queue_manager.client.connection.link import Link
from queue_manager.wire.messages import Accepted, Hello, Page, Reply
from queue_manager.wire.reach.masters import Masters

from ..rig import processes, run

CONNECT_S = 5.0


class OpenRun:
    """Starts the run, and connects in `with`. `page_came` is called with each page of outcomes."""

    def __init__(self, port: int, folder: Path) -> None:
        self._fifo = folder / "until"
        os.mkfifo(self._fifo)
        self._run = run.start(port, ["patient", f"until={self._fifo}"])
        self._loop = asyncio.new_event_loop()
        hello = Hello("runner", socket.gethostname(), os.getpid())
        self._link = Link(
            Masters([("127.0.0.1", port)]),
            processes.AUTHKEY,
            lambda: hello,
            on_message=self._received,
            mode=processes.tls_mode,
        )
        self._seq = 0

    def __enter__(self) -> Self:
        self._running = self._loop.create_task(self._link.run())
        self._loop.run_until_complete(asyncio.wait_for(self._link.wait_up(), CONNECT_S))
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._closed())
        self._loop.close()
        with open(self._fifo, "w"):  # lets tasks() of the run end
            pass

    async def _closed(self) -> None:
        self._link.close()
        await self._running

    def page_came(self, page: Page, at: float) -> None:
        """A page is here. at: when it came, by `time.perf_counter`."""
        raise NotImplementedError

    def _received(self, message: Reply) -> None:
        if isinstance(message, Page):
            self.page_came(message, time.perf_counter())
        elif not isinstance(message, Accepted):
            raise RuntimeError(f"the master says {message}")

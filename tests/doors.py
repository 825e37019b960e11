"""Two masters in the place of one: doors to a real master, of which each plays a role.

A `Door` is a port. While it is open, whoever comes gets to the master behind it. Else it is as a
master that stands by, that is frozen (its kernel goes on), whose host drops packets, or that is
gone. So two doors to one master are to a client two masters of one database, of which one after the
other is the active one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Literal

from queue_manager.server.arriving.standby import Standby

Role = Literal["open", "standby", "frozen", "dropping", "gone"]


class Door:
    """One port. behind: the port of the master. host: an address of loopback.

    Attributes:
        came: how many connections went through to the master.
        told: how many were told that it stands by.
    """

    def __init__(self, behind: int, role: Role = "standby", host: str = "127.0.0.1") -> None:
        self._behind, self._host = behind, host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._socket = socket.create_server((host, 0), backlog=1_024)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.address = f"{host}:{self.port}"
        self._standby: Standby | None = None
        self._fillers: list[socket.socket] = []
        self._flows = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._told = self.came = 0
        self.role: Role = "frozen"
        self.becomes(role)

    @property
    def told(self) -> int:
        return self._told + (self._standby.answered if self._standby is not None else 0)

    def becomes(self, role: Role) -> None:
        """Change the role. Sessions stay only if it was open, or frozen, and is so afterwards."""
        self._do(self._become, role)

    def end(self) -> None:
        self._do(self._become, "gone")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Callable[[Role], Awaitable[None]], role: Role) -> None:
        asyncio.run_coroutine_threadsafe(_awaited(what, role), self._loop).result(20.0)

    async def _become(self, role: Role) -> None:
        await self._leave(stays=role in ("open", "frozen"))
        if self._socket.fileno() < 0 and role != "gone":
            self._listen()
        self.role = role
        if role == "open":
            self._flows.set()
            self._loop.add_reader(self._socket.fileno(), self._accept)
        elif role == "standby":
            self._standby = Standby(("", 0), self._socket.detach())
            self._standby.start()
        elif role == "dropping":  # its queue of connections is full, so packets of others get lost
            self._socket.listen(0)
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex((self._host, self.port))
                self._fillers.append(filler)
        elif role == "gone":
            self._socket.close()

    async def _leave(self, *, stays: bool) -> None:
        if self._standby is not None:
            self._told += self._standby.answered
            self._socket = socket.socket(fileno=self._standby.hand_on())
            self._standby = None
        if self.role == "dropping":
            for filler in self._fillers:
                filler.close()
            self._fillers.clear()
            self._socket.close()  # with those that wait in its queue
            self._listen()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
        self._flows.clear()
        if not stays:
            pumps = list(self._pumps)
            for pump in pumps:
                pump.cancel()
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)

    def _listen(self) -> None:
        self._socket = socket.create_server((self._host, self.port), backlog=1_024)
        self._socket.setblocking(False)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._socket.accept()
                self.came += 1
                task = self._loop.create_task(self._carry(sock))
                self._pumps.add(task)
                task.add_done_callback(self._pumps.discard)

    async def _carry(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            near = await asyncio.open_connection(sock=sock)
            try:
                far = await asyncio.open_connection("127.0.0.1", self._behind)
            except OSError:
                near[1].transport.abort()
                return
            self._writers |= {near[1], far[1]}
            try:
                await asyncio.gather(self._pump(near[0], far[1]), self._pump(far[0], near[1]))
            finally:
                for writer in (near[1], far[1]):
                    self._writers.discard(writer)
                    writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        await self._flows.wait()
        writer.close()


async def _awaited(what: Callable[[Role], Awaitable[None]], role: Role) -> None:
    await what(role)

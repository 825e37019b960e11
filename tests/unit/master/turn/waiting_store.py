"""A store whose commit waits, as one on another machine: it is done when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from master.changes import Changes
from master.reads import ReadAnswer, ReadRequest
from tests.memory_store import MemoryStore
from tests.unit.master.conftest import JumpingLoop, World


class WaitingStore:
    """A memory store whose commits wait for `let_through`, `fail` or `cancel`; reads too, if asked.

    commits: the tasks of those that are on their way, oldest first.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.commits: list[asyncio.Task[None]] = []
        self._gates: list[asyncio.Future[None]] = []
        self.reads_wait = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, changes: Changes) -> Awaitable[None]:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gates.append(gate)
        task = asyncio.ensure_future(self._commit(gate, changes))
        self.commits.append(task)
        return task

    def read(self, request: ReadRequest) -> Awaitable[ReadAnswer] | ReadAnswer:
        return self._read(request) if self.reads_wait else self._store.read(request)

    async def _read(self, request: ReadRequest) -> ReadAnswer:
        await asyncio.sleep(0.1)
        return self._store.read(request)

    async def _commit(self, gate: asyncio.Future[None], changes: Changes) -> None:
        try:
            await gate
            self._store.commit(changes)
        finally:
            self.commits.remove(asyncio.current_task())  # type: ignore[arg-type]
            self._gates.remove(gate)

    def let_through(self) -> None:
        """The commit that is on its way succeeds."""
        self._gates[0].set_result(None)

    def fail(self, error: Exception) -> None:
        """The commit that is on its way fails, and nothing of it is kept."""
        self._gates[0].set_exception(error)

    def cancel(self) -> None:
        """The commit that is on its way is cancelled, and nothing of it is kept."""
        self.commits[0].cancel()


Scene = Callable[[World, WaitingStore], Coroutine[Any, Any, None]]
Play = Callable[[Scene], None]


def playing(loop: JumpingLoop) -> Play:
    """What plays a scene in a master whose commits wait."""

    def play(scene: Scene) -> None:
        async def whole() -> None:
            store = WaitingStore(MemoryStore())
            world = World(store, loop, "")  # type: ignore[arg-type]
            await scene(world, store)

        loop.run_until_complete(whole())

    return play


async def commit(world: World, store: WaitingStore) -> None:
    """Let all commits through that are on their way or follow from one."""
    await world.turns()
    while store.commits:
        store.let_through()
        await world.turns()


async def new_run(world: World, store: WaitingStore) -> Any:
    """A run that is on disk."""
    starting = asyncio.ensure_future(world.start_run())
    await commit(world, store)
    return await starting

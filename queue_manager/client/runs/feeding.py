"""Gives a run its tasks: payloads become blocks, and blocks become submits.

This module owns what was added and is not known to be on disk. After a lost session it opens the
run again and goes on behind what was accepted. Who adds may do so in another thread than the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from ...errors import ConnectionLostError, NotPlainDataError, QueueError, TooLargeError
from ...job.batching import Batching
from ...job.contract import Task
from ...wire.limits import PART_BYTES
from ...wire.messages import Accepted, RunOpened, SubmitTasks, TasksEnded
from ...wire.records import NewBlock, encoded_bytes
from ..connection.session import Session, open_run
from ..connection.suspicion import Suspicion
from ..loop_thread import loop_lock

SUBMITS_ON_THE_WAY = 4
BLOCKS_A_SUBMIT = 4

AHEAD_BLOCKS, AHEAD_BYTES = 64, 16 * 1024 * 1024
"""Who adds waits while more than this is not on disk."""


class Feed:
    """The tasks on their way to one run.

    Args:
        session: with the master.
        run: its number. Its feeder is a client.
        max_bytes: the most bytes of a payload.
        on_error: is called in the loop when the master takes no more tasks.
        on_room: is called in the loop when there is `room` again.

    accepted: how many tasks without a key the master has, as far as it has said.
    """

    def __init__(
        self,
        session: Session,
        run: int,
        max_bytes: int,
        on_error: Callable[[QueueError], None] = lambda error: None,
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._session, self._run = session, run
        self._on_error, self._on_room = on_error, on_room
        self._loop = asyncio.get_running_loop()
        self._batching = Batching(max_bytes)
        self._lock = loop_lock()
        self._full: deque[NewBlock] = deque()
        self._kicked = False
        self._over = self._stopped = self._was_full = self._ended = False
        self._wake = asyncio.Event()
        self._roomy = asyncio.Event()
        self._moved = asyncio.Event()
        self._sent: deque[_Submit] = deque()
        self._ahead_bytes = 0
        self._working: asyncio.Task[None] | None = None
        self._losses = 0
        self._suspicion = Suspicion()
        self._end = f"run {run} takes no more tasks: the client has left it"
        self.accepted = 0
        self.error: QueueError | None = None

    # --- in the thread of whoever adds ---

    def add(self, item: Any) -> None:
        """Add a payload or a Task. It is sent soon, with others that come close behind it.

        Raises:
            NotPlainDataError: the payload is not plain data.
            TooLargeError: the payload is too large.
            QueueError: the run takes no more tasks, for example because somebody has cancelled it.
        """
        if self._stopped:
            raise self.error or QueueError(self._end)
        with self._lock:
            block = self._batching.add(item)
            if block is not None:
                self._full.append(block)
                self._ahead_bytes += len(block.body)
            if not self._kicked:
                # first: an interrupt may come before the flag
                self._loop.call_soon_threadsafe(self._kick)
                self._kicked = True

    @property
    def room(self) -> bool:
        """Whether more may be added. If not, await `wait_room`."""
        blocks = len(self._full) + BLOCKS_A_SUBMIT * len(self._sent)
        full = blocks >= AHEAD_BLOCKS or self._ahead_bytes >= AHEAD_BYTES
        self._was_full = full and not self._stopped
        return not self._was_full

    # --- in the loop ---

    async def open(self) -> RunOpened:
        """Take the run up. Returns how far it is.

        Raises RefusedError if it is no more.
        """
        opened = await self._opened()
        self.accepted, self._ended = opened.accepted, opened.ended
        self._working = asyncio.create_task(self._work(opened))
        return opened

    async def wait_room(self) -> None:
        """Wait until more may be added. Raises what the master has refused."""
        while not self.room:
            self._roomy.clear()
            await self._roomy.wait()
        self._check()

    async def wait_accepted(self, count: int) -> None:
        """Wait until the master has so many tasks without a key.

        Raises what the master has refused, and QueueError if the feed was closed before.
        """
        while self.accepted < count:
            if self._stopped:
                raise self.error or QueueError(self._end)
            self._moved.clear()
            await self._moved.wait()

    async def end(self) -> None:
        """Wait until all that was added is on disk, and say that there will be no more.

        Raises what the master has refused.
        """
        await self.flush()
        make = partial(TasksEnded, run=self._run)
        try:
            await self._session.call_once(make, Accepted)
        except ConnectionLostError:
            await self._session.come_back()
            opened = await self._opened()
            self._check_ours(opened.accepted)
            if not opened.ended:
                await self._session.call_idempotent(make, Accepted, self._opened)
        self._ended = True

    async def flush(self) -> None:
        """Wait until all that was added is on disk. Nothing may be added behind it.

        Raises what the master has refused.
        """
        self._over = True
        self._wake.set()
        if self._working is not None:
            await asyncio.wait([self._working])
        self._check()

    @property
    def feeds(self) -> bool:
        """Whether it has not said yet that there will be no more tasks."""
        return not self._ended

    async def cut_off(self, error: QueueError) -> None:
        """Send nothing more, and raise the error in whoever adds or waits."""
        self.error, self._stopped = error, True
        await self.close()

    async def close(self) -> None:
        """Send nothing more."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])

    def _check_ours(self, accepted: int) -> None:
        """Raise QueueError if the run has got tasks of somebody else: another client, meanwhile."""
        self._check()
        ours = self._sent[-1].stop if self._sent else self.accepted
        if accepted > ours:
            raise QueueError(
                f"run {self._run} was fed by another call while the master was away:"
                f" it has {accepted:,} inputs, and this call gave {ours:,}"
            )

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def _kick(self) -> None:
        with self._lock:
            self._kicked = False
        self._wake.set()

    async def _opened(self) -> RunOpened:
        self._losses = self._session.losses
        return await open_run(self._session, self._run)

    async def _work(self, opened: RunOpened) -> None:
        try:
            while True:
                try:
                    if opened.ended:
                        self._end = (
                            f"run {self._run} has ended with {opened.accepted:,} inputs, and takes"
                            f" no more: forget it (`qm forget {self._run}`), or take another key"
                        )
                        return
                    await self._submit_all()
                    return
                except ConnectionLostError as error:
                    if self._sent:  # else no task of ours can be at fault
                        self._suspicion.lost(error)
                await self._session.come_back()
                opened = await self._opened()
                self._drop_accepted(opened.accepted)
        except Exception as reason:  # whoever waits for room, or for results, must hear of any
            if not isinstance(reason, QueueError):
                reason = QueueError(f"{type(reason).__name__}: {reason}")
            self.error = reason
            self._on_error(reason)
        finally:
            self._stopped = True
            self._moved.set()
            self._tell_room()

    def _tell_room(self) -> None:
        if self._was_full and self.room:
            self._roomy.set()
            self._on_room()

    def _drop_accepted(self, accepted: int) -> None:
        """Drop what the master has. Behind that, tasks with keys come again, and it knows them."""
        self._check_ours(accepted)
        known = [n for n, one in enumerate(self._sent, 1) if one.unkeyed and one.stop <= accepted]
        for _ in range(known[-1] if known else 0):
            self._drop_first()
        self.accepted = accepted
        self._moved.set()

    async def _submit_all(self) -> None:
        """Submit all that was not accepted and all that comes, until `flush` and to its end."""
        self._suspicion.sent()
        on_the_way = deque(self._send(submit) for submit in self._sent)
        try:
            while True:
                while on_the_way and on_the_way[0].done():
                    on_the_way.popleft().result()
                    self._answered()
                if self._session.losses != self._losses:
                    raise ConnectionLostError("the master was away")
                while len(on_the_way) < SUBMITS_ON_THE_WAY:
                    submit = self._next(not on_the_way)
                    if submit is None:
                        break
                    self._sent.append(submit)
                    on_the_way.append(self._send(submit))
                if self._over and not on_the_way:
                    return
                await self._wake.wait()
                self._wake.clear()
        finally:
            for answer in on_the_way:
                answer.cancel()
            await asyncio.gather(*on_the_way, return_exceptions=True)

    def _send(self, submit: _Submit) -> asyncio.Task[Accepted]:
        make = partial(SubmitTasks, run=self._run, blocks=submit.blocks)
        answer = asyncio.create_task(self._session.call_once(make, Accepted))
        answer.add_done_callback(lambda _: self._wake.set())
        return answer

    def _answered(self) -> None:
        submit = self._drop_first()
        self._suspicion.cleared()
        self.accepted += submit.unkeyed
        self._moved.set()
        self._tell_room()

    def _drop_first(self) -> _Submit:
        """The first submit is on disk. The thread that adds counts its bytes, too."""
        with self._lock:
            submit = self._sent.popleft()
            self._ahead_bytes -= submit.size_bytes
        return submit

    def _next(self, idle: bool) -> _Submit | None:
        """The next submit: full blocks, or whatever there is if nothing is on its way."""
        with self._lock:
            if (idle or self._over) and len(self._full) < BLOCKS_A_SUBMIT:
                block = self._batching.flush()
                if block is not None:
                    self._full.append(block)
                    self._ahead_bytes += len(block.body)
            elif len(self._full) < BLOCKS_A_SUBMIT:
                return None
            blocks: list[NewBlock] = []
            room_bytes = PART_BYTES
            while self._full and len(blocks) < BLOCKS_A_SUBMIT:
                room_bytes -= encoded_bytes(self._full[0])
                if blocks and room_bytes < 0:
                    break
                blocks.append(self._full.popleft())
        if not blocks:
            return None
        first = self._sent[-1].stop if self._sent else self.accepted
        return _Submit(blocks, first)


class _Submit:
    """Blocks that are sent together. stop: how many unkeyed tasks there are up to its end."""

    def __init__(self, blocks: list[NewBlock], first: int) -> None:
        self.blocks = blocks
        self.unkeyed = sum(block.count for block in blocks if block.keys is None)
        self.stop = first + self.unkeyed
        self.size_bytes = sum(len(block.body) for block in blocks)


def is_keyed(item: Any) -> bool:
    """Whether an input has a key of its own."""
    return type(item) is Task and item.key is not None


def add_input(feed: Feed, item: Any, number: int) -> None:
    """Add an input of a program's. number: from 1 on; an error of its value says it.

    Raises as `Feed.add`.
    """
    try:
        feed.add(item)
    except (NotPlainDataError, TooLargeError) as error:
        raise type(error)(f"input {number:,}: {error}") from error

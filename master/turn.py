"""The turn of the master's loop: stage all that came, commit once, make it visible, answer.

Owns the order of these steps and who waits for a lease; what a message means is its sender's room
(`workers`, `runs`, `stock`). One thread: no locks, and no race between commit and admission.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from queue_manager.errors import QueueError, StoreError
from queue_manager.records import Lease as LeaseMessage

from .broker import Broker, Lease
from .changes import QUEUE_RUN, Changes
from .run import WINDOW_TASKS, Run
from .store import Store

log = logging.getLogger("quartermaster.master")

BODIES_BYTES = 64 * 1024 * 1024
RETRY_S = 0.5

Answer = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One message's part in a turn.

    stage: changes the broker and returns what to answer once that is on disk; it may raise a
        QueueError. refuse: answers with one line when it can't be carried out. None means that it
        must be carried out: it is staged again until the store takes it.
    """

    stage: Callable[[float, float], Answer | None]
    refuse: Callable[[str], None] | None = None


class Follower(Protocol):
    """Who acts at the end of each turn, on what became visible in it."""

    def turned(self, changes: Changes, now: float) -> None:
        """The changes of a turn are visible. now: monotonic seconds."""


class Turn:
    """Broker and store, one turn at a time.

    followers are called after each commit, in their order: those who hand out leases first, so
    that an answer can carry the leases of its own turn.
    """

    def __init__(self, broker: Broker, store: Store) -> None:
        self.broker = broker
        self.store = store
        self.followers: list[Follower] = []
        self.bodies = Bodies(store)
        self.trouble = ""
        self._steps: list[Step] = []
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None

    def post(self, step: Step) -> None:
        """Take a step in the next turn, which begins when the loop has read what is there."""
        self._steps.append(step)
        self.wake()

    def wake(self) -> None:
        """Have a turn soon, with or without a step."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        steps, self._steps = self._steps, []
        now, wall = time.monotonic(), time.time()
        self.broker.wake(now)
        answers = self._stage(steps, now, wall)
        changes = self.broker.changes
        try:
            if changes.urgent:
                self.store.commit(changes)
                self.trouble = ""
        except StoreError as error:
            self._roll_back(steps, str(error))
            return
        self.broker.committed()
        self._make_visible(changes, now)
        for answer in answers:
            answer()
        self._set_timer(now)

    def _stage(self, steps: list[Step], now: float, wall: float) -> list[Answer]:
        answers = []
        for step in steps:
            try:
                answer = step.stage(now, wall)
            except QueueError as error:
                (step.refuse or log.error)(str(error))
            except Exception as error:
                log.exception("an error of ours")
                (step.refuse or log.error)(f"the master failed at this: {error!r}")
            else:
                if answer is not None:
                    answers.append(answer)
        self.broker.finish_runs(wall)
        return answers

    def _roll_back(self, steps: list[Step], error: str) -> None:
        if error != self.trouble:
            self.trouble = error
            log.error("%s; submits are refused and outcomes wait until it can", error)
        self.broker.rolled_back()
        again = [step for step in steps if step.refuse is None]
        for step in steps:
            if step.refuse is not None:
                step.refuse(error)
        if again:
            asyncio.get_running_loop().call_later(RETRY_S, self._again, again)

    def _again(self, steps: list[Step]) -> None:
        self._steps[:0] = steps
        self.wake()

    def _make_visible(self, changes: Changes, now: float) -> None:
        for block in changes.blocks:
            self.bodies.add(block.id, block.body)
        self.refill()
        for follower in self.followers:
            follower.turned(changes, now)

    def refill(self) -> None:
        """Read waiting blocks ahead where the window runs low."""
        for run, priority, after in self.broker.refills():
            blocks, last = self.store.read_waiting(run.id, priority, after, WINDOW_TASKS)
            for block in blocks:
                self.bodies.add(block.id, block.body)
            self.broker.refill(run, priority, blocks, last)

    def _set_timer(self, now: float) -> None:
        due = self.broker.next_due
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, due - now), self.wake)

    # --- what several rooms need ---

    def lease_message(self, lease: Lease) -> LeaseMessage:
        """A lease as it travels to a worker."""
        run = lease.run
        (start, stop), *_ = lease.open
        return LeaseMessage(
            lease.number,
            run.id,
            run.job,
            lease.first,
            start,
            stop,
            self.bodies.get(lease.block),
            run.options.timeout_s,
        )

    def stock_runs(self) -> list[Run]:
        """The runs whose tasks stock clients may take."""
        broker = self.broker
        return [
            run
            for run in broker.runs.values()
            if run.id == QUEUE_RUN or (run.active and run.job and run.job == broker.stock_job)
        ]


class Bodies:
    """Payloads of blocks that are or were lately in use; at most 64 MiB, the rest on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bodies: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    def add(self, block: int, body: bytes) -> None:
        """Keep the payloads of a block while there is room."""
        if block in self._bodies:
            return
        self._bodies[block] = body
        self._bytes += len(body)
        while self._bytes > BODIES_BYTES and len(self._bodies) > 1:
            _, dropped = self._bodies.popitem(last=False)
            self._bytes -= len(dropped)

    def get(self, block: int) -> bytes:
        """The payloads of a block."""
        body = self._bodies.get(block)
        if body is None:
            body = self._store.read_body(block)
            self.add(block, body)
        else:
            self._bodies.move_to_end(block)
        return body

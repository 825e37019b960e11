"""Hears how the tasks of a run end: results, dead letters and cancelled tasks, as they come.

This module owns the pages. It decodes nothing, and knows no order but that of completion.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ...errors import ConnectionLostError, RefusedError
from ...wire.messages import Collect, Page
from ...wire.records import DeadLetter
from ..connection.session import Session, open_run

HELD_BYTES = 8 * 1024 * 1024
"""No further page is asked for while whoever hears the outcomes has not taken so much."""

MANY, GATHER_S = 16, 0.002
"""A page of fewer than `MANY` outcomes costs more than the outcomes do. The next one is asked for
`GATHER_S` later."""


STAY_S = 5.0
"""How often a program that takes no outcomes looks whether the session was lost."""


class Part(NamedTuple):
    """Results of `tasks` consecutive tasks from number `task` on: in a batch, from `start` on."""

    task: int
    tasks: int
    results: bytes
    start: int = 0


class Cancelled(NamedTuple):
    """`tasks` consecutive tasks from number `task` on that were cancelled before they began."""

    task: int
    tasks: int


Outcome = Part | DeadLetter | Cancelled


class Reread(NamedTuple):
    """Outcomes in the order of tasks. stop: nothing was read of this task and those behind it."""

    outcomes: list[Outcome]
    stop: int


_OUTCOME_BYTES = 256
"""What an outcome takes beside its bytes, about: a run may have very many of very few."""


def count_of(outcome: Outcome) -> int:
    """How many tasks an outcome is of."""
    return 1 if isinstance(outcome, DeadLetter) else outcome.tasks


def size_of(outcome: Outcome) -> int:
    """How many bytes of results, or of what is known of a failure, an outcome holds."""
    if isinstance(outcome, Part):
        return len(outcome.results)
    if isinstance(outcome, Cancelled):
        return 0
    texts = (outcome.error, outcome.evidence, outcome.printed)
    return sum(map(len, texts)) + len(outcome.raised)


def bytes_of(outcome: Outcome) -> int:
    """How many bytes an outcome takes here, about. Cancelled tasks count for nothing."""
    return 0 if isinstance(outcome, Cancelled) else size_of(outcome) + _OUTCOME_BYTES


def divided(outcome: Outcome, tasks: int) -> tuple[Outcome, Outcome]:
    """Its first tasks, so many, and the others. A dead letter is of one task and has no parts."""
    assert not isinstance(outcome, DeadLetter)
    task, rest = outcome.task + tasks, outcome.tasks - tasks
    if isinstance(outcome, Cancelled):
        return Cancelled(outcome.task, tasks), Cancelled(task, rest)
    head = outcome._replace(tasks=tasks)
    return head, Part(task, rest, outcome.results, outcome.start + tasks)


def page_bytes(page: Page) -> int:
    """How many bytes the outcomes of a page hold."""
    return sum(len(one.results) for one in page.outcomes) + sum(map(size_of, page.dead))


class Staying:
    """Keeps a run of this program over losses of the session while no page is asked for.

    The master would remove it. on_back: is called when the run was opened in a new session.
    """

    def __init__(
        self, session: Session, run: int, on_back: Callable[[], None] = lambda: None
    ) -> None:
        self._session, self._run, self._on_back = session, run, on_back
        self._losses = session.losses

    async def until(self, taken: asyncio.Event) -> None:
        """Wait until something was taken, or for `STAY_S`."""
        taken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STAY_S):  # `wait_for` of Python 3.11 may lose a cancel
                await taken.wait()
        await self.open()

    async def open(self) -> None:
        """Open the run again if the session was lost meanwhile.

        Raises RefusedError if the run is no more.
        """
        if self._session.losses != self._losses:
            self._losses = self._session.losses
            await open_run(self._session, self._run)
            self._on_back()


class Outcomes:
    """The outcomes of a run, from the first on.

    Args:
        session: with the master.
        run: its number.
        deliver: gets the outcomes of each page, and None when there are no more. A task that was
            tried again after a failure has two of them.
    """

    def __init__(
        self, session: Session, run: int, deliver: Callable[[list[Outcome] | None], None]
    ) -> None:
        self._session, self._run, self._deliver = session, run, deliver
        self._held_bytes = 0
        self._staying = Staying(session, run)
        self._taken = asyncio.Event()

    def took(self, size_bytes: int) -> None:
        """So many bytes of results were taken out of what was delivered."""
        self._held_bytes -= size_bytes
        self._taken.set()

    async def collect(self) -> Page:
        """Deliver everything until the run has ended. Returns the last page.

        Raises RefusedError if the run is no more.
        """
        after = 0
        while True:
            await self._staying.open()
            page = await next_page(self._session, self._run, after)
            after = page.last
            outcomes = _in_order(page)
            self._held_bytes += sum(map(bytes_of, outcomes))
            self._deliver(outcomes)
            if page.complete:
                self._deliver(None)
                return page
            if len(page.outcomes) < MANY:
                await asyncio.sleep(GATHER_S)
            while self._held_bytes > HELD_BYTES:
                await self._staying.until(self._taken)

    async def stay(self) -> None:
        """Open the run again after each loss of the session, until this is cancelled.

        If that fails, this ends: whoever reads the run again is told then.
        """
        with contextlib.suppress(RefusedError, ConnectionLostError):
            while True:
                await self._staying.until(asyncio.Event())


async def next_page(
    session: Session, run: int, after: int, on_back: Callable[[], None] = lambda: None
) -> Page:
    """The outcomes of a run behind the sequence number `after`, over any loss of the session.

    on_back: is called when the master is there again, and knows that this program is.

    Raises RefusedError if the run is no more.
    """
    make = partial(Collect, run=run, after=after, dead=True, bodies=False)

    async def again() -> None:
        await open_run(session, run)
        on_back()

    return await session.call_idempotent(make, Page, again)


def _in_order(page: Page) -> list[Outcome]:
    """What a page has, in order of completion. Cancelled tasks come last."""
    outcomes: list[Outcome] = [
        Part(one.first + one.start, one.stop - one.start, one.results) for one in page.outcomes
    ]
    if page.dead:
        numbers = [one.seq for one in page.outcomes] + [letter.seq for letter in page.dead]
        both = sorted(zip(numbers, [*outcomes, *page.dead], strict=True), key=lambda one: one[0])
        outcomes = [outcome for _, outcome in both]
    outcomes += [Cancelled(start, stop - start) for start, stop in page.cancelled]
    return outcomes

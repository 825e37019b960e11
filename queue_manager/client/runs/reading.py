"""Reads results and dead letters of a run in task order, page by page, also while it goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ... import codec
from ...errors import QueueError
from ...wire.failures import FailureFilter
from ...wire.messages import AskResults, AskTask, Results, TaskShown
from ...wire.records import DeadLetter, ResultBlock, RunStatus, TaskStatus
from ..connection.session import Session, is_over
from ..exceptions import exception_of
from .reasons import saying_why


@dataclass(frozen=True)
class Failure:
    """A task that will not be tried again.

    payload: its input. exception: what its last try raised. evidence: its traceback, or the end of
    its stderr. worker: the worker of the last try. printed: the end of what that try printed.
    """

    task: int
    key: str | None
    payload: Any
    exception: BaseException
    error: str
    attempts: int
    losses: int
    evidence: str
    worker: str
    printed: str


_FEW = 3
"""So many dead letters of a page are asked for one by one. A page of them has their payloads."""

_LONGEST_PAUSE_S = 2.0
"""How long a task that takes long is left alone before its page is read again."""

Values = list[Any]
"""Results in task order, some at a time. An exception stands for a failure."""


async def results(session: Session, run: int) -> AsyncGenerator[Values, None]:
    """The results of all tasks of a run, in task order. Waits for those that are not there yet.

    Raises:
        RefusedError: there is no such run.
        QueueError: it was cancelled before all its tasks had ended.
    """
    following, after, pause_s = 1, 0, 0.0
    async with saying_why(session, run), contextlib.aclosing(session.watch(run)) as news:
        async for status in news:
            place = after
            while True:
                make = partial(AskResults, run=run, after=place)
                page = await session.call_idempotent(make, Results)
                found = [one for block in page.blocks for one in _ended(block, following)]
                if found and found[0][0] == following:
                    after = place  # nothing before this page is missing
                ready = await _told(session, run, _contiguous(found, following), place)
                following += len(ready)
                if ready:
                    pause_s = 0.0
                    yield ready
                # A page passes over tasks that have not ended, behind its last result too. So the
                # next news begin with this page, until a page behind it goes on without a hole.
                unsure = not found and place != after
                if page.complete or unsure or len(ready) < len(found):
                    break
                place = page.last
            if is_over(status):
                break
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s + 0.1)
    if following <= status.tasks:
        raise QueueError(f"run {run} was cancelled before all its tasks were done")


async def ended(session: Session, run: int) -> RunStatus:
    """Wait for the end of a run. Returns how it has ended.

    Raises RefusedError: there is no such run, or it is no more.
    """
    async with saying_why(session, run), contextlib.aclosing(session.watch(run)) as news:
        async for status in news:
            if is_over(status):
                return status
    raise QueueError(f"run {run} is no more")


def _contiguous(values: list[tuple[int, Any]], following: int) -> Values:
    """Those values that come one behind the other from task `following` on."""
    ready: Values = []
    for task, value in values:
        if task != following + len(ready):
            break
        ready.append(value)
    return ready


def _ended(block: ResultBlock, least: int) -> Iterator[tuple[int, Any]]:
    """The ended tasks of a block from number `least` on, in order."""
    found: list[tuple[int, Any]] = []
    for part in block.ended:
        first = part.first + part.start
        values = codec.decode_each(part.results, 0, part.stop - part.start)
        found += [(task, _read(value)) for task, value in enumerate(values, first) if task >= least]
    found += [(letter.task, letter) for letter in block.dead]
    return iter(sorted((one for one in found if one[0] >= least), key=lambda one: one[0]))


@dataclass(frozen=True)
class _Failed:
    """A dead letter in the place of a result."""

    error: BaseException


def _read(value: Any) -> Any:
    if type(value) is codec.Undecodable:
        return _Failed(value.told("the result", "program"))
    return value


async def _told(session: Session, run: int, values: Values, place: int) -> Values:
    """The same values, with the exceptions of dead letters: a page of results has no evidence.

    place: the page of these results was asked for behind it.
    """
    letters = [value.task for value in values if type(value) is DeadLetter]
    known: dict[int, DeadLetter | TaskStatus] = {}
    if len(letters) > _FEW:
        known.update(await letters_of(session, run, letters[-1], place))
    for task in letters:
        if task not in known:
            shown = await session.call_idempotent(partial(AskTask, run=run, task=task), TaskShown)
            if shown.task.error:  # else it was retried meanwhile
                known[task] = shown.task
    return [
        _Failed(exception_of(known.get(value.task, value))) if type(value) is DeadLetter else value
        for value in values
    ]


async def letters_of(session: Session, run: int, last: int, place: int) -> dict[int, DeadLetter]:
    """The dead letters behind a place, with their evidence, up to task `last` at least."""
    found: dict[int, DeadLetter] = {}
    while True:
        page = await session.call_idempotent(
            partial(AskResults, run=run, after=place, dead=True), Results
        )
        found.update((letter.task, letter) for block in page.blocks for letter in block.dead)
        place = page.last
        if page.complete or max(found, default=0) >= last:
            return found


async def failures(
    session: Session, run: int, only: FailureFilter | None = None
) -> AsyncGenerator[list[Failure], None]:
    """The dead letters of a run as it is now, in task order. only: which of them; None: all.

    Raises RefusedError if there is no such run.
    """
    after = 0
    while True:
        make = partial(AskResults, run=run, after=after, dead=True, only=only)
        page = await session.call_idempotent(make, Results)
        found = [_failure(block, letter) for block in page.blocks for letter in block.dead]
        if found:
            yield found
        after = page.last
        if page.complete:
            return


def _failure(block: ResultBlock, letter: DeadLetter) -> Failure:
    place = letter.task - block.first
    [payload] = codec.decode_each(block.body, place, place + 1)
    return Failure(
        letter.task,
        None if block.keys is None else block.keys[place],
        payload,
        exception_of(letter),
        letter.error,
        letter.attempts,
        letter.losses,
        letter.evidence,
        letter.worker,
        letter.printed,
    )


def opened(values: Values, return_exceptions: bool) -> Iterator[Any]:
    """The same values. A failure is raised in its turn, unless exceptions are to be returned."""
    for value in values:
        if type(value) is not _Failed:
            yield value
        elif return_exceptions:
            yield value.error
        else:
            raise value.error

"""The first step of a turn: all that its steps have to know is read, in a few requests for all.

Owns what becomes of a step that the store can't serve; all other steps go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator, Iterator
from dataclasses import dataclass, field
from types import coroutine
from typing import TypeVar

from queue_manager.errors import StoreError

from ..reads import ReadRequest
from ..store.contract import Store
from .known import Known
from .steps import HeldSteps, Step

T = TypeVar("T")

READS = 4_096
"""About how many things a turn reads for its steps. The other steps have the next turn."""


@dataclass(slots=True)
class Prepared:
    """What the first step of a turn leaves for the second.

    ready: the steps that may be staged, in their order. unserved: those that wait because
    the store can't serve them, and those behind them of the same sender. refused: those that are
    not to wait, or that can't even ask. left: the steps that have to wait for the next turn.
    """

    known: Known = field(default_factory=Known)
    ready: list[Step] = field(default_factory=list)
    unserved: dict[Step, StoreError] = field(default_factory=dict)
    refused: dict[Step, Exception] = field(default_factory=dict)
    left: list[Step] = field(default_factory=list)


@dataclass(slots=True)
class _Need:
    """A step and what it asks for now."""

    step: Step
    requests: Iterator[ReadRequest]
    request: ReadRequest


async def prepare(store: Store, held: HeldSteps, steps: list[Step], now: float) -> Prepared:
    """Read what steps need. now: monotonic seconds, by which steps have been held for so long."""
    found = Prepared()
    needs = _first_needs(steps, found)
    while needs:
        for need, error in await _read(store, found.known, needs):
            if _is_late(held, need.step, now):
                await _read_in_part(store, found.known, need.request, error)
            elif need.step.retry_on_store_error:
                found.unserved[need.step] = error
            else:
                found.refused[need.step] = error
        needs = [more for need in needs if (more := _next_need(need, found)) is not None]
    if not found.unserved and not found.refused:
        found.ready = steps[: len(steps) - len(found.left)]
    else:
        _sort_out(steps, found)
    return found


def _first_needs(steps: list[Step], found: Prepared) -> list[_Need]:
    needs: list[_Need] = []
    size = 0
    for place, step in enumerate(steps):
        if step.needs is None:
            continue
        need = _next_need(_Need(step, step.needs(found.known), ReadRequest()), found)
        if need is None:
            continue
        size += _size(need.request)
        if needs and size > READS:
            found.left = steps[place:]
            break
        needs.append(need)
    return needs


def _next_need(need: _Need, found: Prepared) -> _Need | None:
    """What a step asks for next; None: nothing more."""
    if need.step in found.unserved or need.step in found.refused:
        return None
    try:
        request = next((request for request in need.requests if request), None)
    except Exception as error:
        found.refused[need.step] = error
        return None
    return None if request is None else _Need(need.step, need.requests, request)


async def _read(store: Store, known: Known, needs: list[_Need]) -> list[tuple[_Need, StoreError]]:
    """Read all at once, or each by itself if that fails. Returns what can't be read."""
    together = needs[0].request
    if len(needs) > 1:
        together = ReadRequest()
        for need in needs:
            together.add(need.request)
    try:
        known.add(await ended(store.read(together)))
        return []
    except StoreError as error:
        if len(needs) == 1:
            return [(needs[0], error)]
    return [failed for need in needs for failed in await _read(store, known, [need])]


async def _read_in_part(
    store: Store, known: Known, request: ReadRequest, error: StoreError
) -> None:
    """Read what can be read of a request that has failed, by halves."""
    parts = halves(request)
    if not parts:
        known.add_unread(request, str(error))
    for half in parts:
        try:
            known.add(await ended(store.read(half)))
        except StoreError as worse:
            await _read_in_part(store, known, half, worse)


def _is_late(held: HeldSteps, step: Step, now: float) -> bool:
    return step.in_part_after_s is not None and held.held_s(step, now) >= step.in_part_after_s


def _sort_out(steps: list[Step], found: Prepared) -> None:
    """Find the steps that may be staged: no step overtakes another one of its sender."""
    senders: dict[int, StoreError] = {}
    unserved: dict[Step, StoreError] = {}
    for step in steps[: len(steps) - len(found.left)]:
        if step in found.refused:
            continue
        error = found.unserved.get(step) or senders.get(id(step.of))
        if error is None:
            found.ready.append(step)
            continue
        unserved[step] = error
        if step.of is not None:
            senders[id(step.of)] = error
    found.unserved = unserved


def halves(request: ReadRequest) -> list[ReadRequest]:
    """Two requests that ask for the same together; none of one that can't be divided."""
    parts = list(_parts(request))
    if len(parts) <= 1:
        return []
    found = []
    for some in (parts[: len(parts) // 2], parts[len(parts) // 2 :]):
        half = ReadRequest()
        for part in some:
            half.add(part)
        found.append(half)
    return found


def _parts(request: ReadRequest) -> Iterator[ReadRequest]:
    """The smallest requests that one consists of; keys of one run are not told apart."""
    for run, keys in request.task_keys.items():
        yield ReadRequest(task_keys={run: keys})
    for run, groups in request.groups.items():
        yield ReadRequest(groups={run: groups})
    yield from (ReadRequest(quotas={quota}) for quota in request.quotas)
    yield from (ReadRequest(blocks={block: part}) for block, part in request.blocks.items())
    yield from (ReadRequest(bodies={block}) for block in request.bodies)
    yield from (ReadRequest(runs={run}) for run in request.runs)
    yield from (ReadRequest(run_keys={key}) for key in request.run_keys)


def _size(request: ReadRequest) -> int:
    """About how much it asks for."""
    r = request
    sized = (r.quotas, r.blocks, r.bodies, r.runs, r.run_keys)
    listed = (*r.task_keys.values(), *r.groups.values())
    return sum(map(len, sized)) + sum(map(len, listed))


async def ended(value: T | Awaitable[T]) -> T:
    """What a verb of the store returned, once it has: some stores need a while."""
    if isinstance(value, Awaitable):
        return await _result_of(asyncio.ensure_future(value))
    return value


@coroutine
def _result_of(future: asyncio.Future[T]) -> Generator[asyncio.Future[T], None, T]:
    """Hand the future to whoever drives the turn (`Driver`), and return its result."""
    yield future
    return future.result()

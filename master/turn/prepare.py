"""The first step of a turn: it reads all that the steps must know, in a few requests together.

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

LETTERS_SIZE = 2_048
"""For how many things a page of dead letters counts: so many of them are looked at."""

READS = 4_096
"""About how many things a turn reads for its steps. The other steps wait for the next turn."""


@dataclass(slots=True)
class Prepared:
    """What the first step of a turn leaves for the second.

    ready: the steps that may be staged, in their order. unserved: steps that the store can't
    serve, and later steps of their senders; they wait. refused: steps that the store can't serve
    and that must not wait, and steps whose `needs` failed. left: the steps for the next turn.
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
    """Read what steps need. now: monotonic seconds."""
    prepared = Prepared()
    needs = _first_needs(steps, prepared)
    while needs:
        for need, error in await _read(store, prepared.known, needs):
            if _is_late(held, need.step, now):
                await _read_in_part(store, prepared.known, need.request, error)
            elif need.step.retry_on_store_error:
                prepared.unserved[need.step] = error
            else:
                prepared.refused[need.step] = error
        needs = [more for need in needs if (more := _next_need(need, prepared)) is not None]
    if not prepared.unserved and not prepared.refused:
        prepared.ready = steps[: len(steps) - len(prepared.left)]
    else:
        _sort_out(steps, prepared)
    return prepared


def _first_needs(steps: list[Step], prepared: Prepared) -> list[_Need]:
    needs: list[_Need] = []
    size = 0
    for place, step in enumerate(steps):
        if step.needs is None:
            continue
        need = _next_need(_Need(step, step.needs(prepared.known), ReadRequest()), prepared)
        if need is None:
            continue
        size += _size(need.request)
        if needs and size > READS:
            prepared.left = steps[place:]
            break
        needs.append(need)
    return needs


def _next_need(need: _Need, prepared: Prepared) -> _Need | None:
    """What a step asks for next; None: nothing more."""
    if need.step in prepared.unserved or need.step in prepared.refused:
        return None
    try:
        request = next((request for request in need.requests if request), None)
    except Exception as error:
        prepared.refused[need.step] = error
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


def _sort_out(steps: list[Step], prepared: Prepared) -> None:
    """Find the steps that may be staged: no step overtakes another one of its sender."""
    senders: dict[int, StoreError] = {}
    unserved: dict[Step, StoreError] = {}
    for step in steps[: len(steps) - len(prepared.left)]:
        if step in prepared.refused:
            continue
        error = prepared.unserved.get(step) or senders.get(id(step.of))
        if error is None:
            prepared.ready.append(step)
            continue
        unserved[step] = error
        if step.of is not None:
            senders[id(step.of)] = error
    prepared.unserved = unserved


def halves(request: ReadRequest) -> list[ReadRequest]:
    """Two requests that together ask for the same. The list is empty if that is not possible."""
    parts = list(_parts(request))
    if len(parts) <= 1:
        return []
    divided = []
    for some in (parts[: len(parts) // 2], parts[len(parts) // 2 :]):
        half = ReadRequest()
        for part in some:
            half.add(part)
        divided.append(half)
    return divided


def _parts(request: ReadRequest) -> Iterator[ReadRequest]:
    """The smallest requests that make up this one. All keys of a run stay together."""
    for run, keys in request.task_keys.items():
        yield ReadRequest(task_keys={run: keys})
    for run, groups in request.groups.items():
        yield ReadRequest(groups={run: groups})
    yield from (ReadRequest(quotas={quota}) for quota in request.quotas)
    yield from (ReadRequest(blocks={block: part}) for block, part in request.blocks.items())
    yield from (ReadRequest(bodies={block}) for block in request.bodies)
    yield from (ReadRequest(runs={run}) for run in request.runs)
    yield from (ReadRequest(run_keys={key}) for key in request.run_keys)
    yield from (ReadRequest(code={version}) for version in request.code)
    yield from (ReadRequest(letters={sought}) for sought in request.letters)


def _size(request: ReadRequest) -> int:
    """About how much it asks for."""
    r = request
    sized = (r.quotas, r.blocks, r.bodies, r.runs, r.run_keys, r.code)
    listed = (*r.task_keys.values(), *r.groups.values())
    return sum(map(len, sized)) + sum(map(len, listed)) + LETTERS_SIZE * len(r.letters)


async def ended(value: T | Awaitable[T]) -> T:
    """What a verb of the store returns, or what its awaitable returns: some stores need a while."""
    if isinstance(value, Awaitable):
        return await _result_of(asyncio.ensure_future(value))
    return value


@coroutine
def _result_of(future: asyncio.Future[T]) -> Generator[asyncio.Future[T], None, T]:
    """Hand the future to whoever drives the turn (`Driver`), and return its result."""
    yield future
    return future.result()

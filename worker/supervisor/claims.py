"""What the worker claims to hold in a new session, and what it gives up on the master's word.

Owns the list in the hello, what is done with the answer, and revoked leases.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from queue_manager.ranges import Ranges, both, joined, without
from queue_manager.wire.records import HeldLease

from ..ipc.shared_page import CANCEL_S, NONE, PREPARING
from .lease import Held
from .slot_process import Doom

if TYPE_CHECKING:
    from .inventory import Holdings
    from .slot_process import Slot


def claimed(holdings: Holdings) -> list[HeldLease]:
    """The leases with what is left of them and what has not been acknowledged."""
    found: dict[tuple[int, int, int], Ranges] = {}
    for held in holdings.all():
        lease = held.lease
        found.setdefault((lease.number, lease.run, lease.block), []).extend(held.left)
    for number, run, block, span in holdings.outbox.claims():
        found.setdefault((number, run, block), []).append(span)
    return [HeldLease(*key, joined(ranges)) for key, ranges in found.items() if ranges]


def recognize(holdings: Holdings, leases: Iterable[HeldLease]) -> None:
    """Go on with what the master recognizes, and end the rest without a word."""
    allowed = {lease.number: list(lease.ranges) for lease in leases}
    holdings.outbox.keep_released(allowed)
    kept = {held.lease.number: allowed.get(held.lease.number, []) for held in holdings.all()}
    _confine(holdings, kept, "the master has given its task away")


def revoke(holdings: Holdings, numbers: Iterable[int], why: str) -> None:
    """Drop what has not started of these leases, and stop what runs."""
    _confine(holdings, {number: [] for number in numbers}, why)


def _confine(holdings: Holdings, kept: Mapping[int, Ranges], why: str) -> None:
    """Keep only these ranges of some leases, however many: all that is held is looked at once."""

    def has_too_much(held: Held) -> bool:
        ranges = kept.get(held.lease.number)
        return ranges is not None and bool(without(held.left, ranges))

    waiting = list(holdings.queue)
    gone = [held for held in waiting if has_too_much(held)]
    if gone:
        left = set(map(id, gone))
        holdings.queue.clear()
        holdings.queue.extend(held for held in waiting if id(held) not in left)
    for held in gone:
        holdings.again(held, both(held.left, kept[held.lease.number]))
    for slot in holdings.slots:
        for held in list(slot.held):
            if has_too_much(held):
                _confine_in_slot(holdings, slot, held, kept[held.lease.number], why)


def _confine_in_slot(holdings: Holdings, slot: Slot, held: Held, ranges: Ranges, why: str) -> None:
    preparing = slot.board.pages[held.page].look().position == PREPARING
    holdings.again(held, both(slot.take_back(held), ranges))
    if preparing and not held.left:  # import or `setup()`, which may never end, for nobody now
        if slot.alive:
            holdings.vacate(slot, Doom(why))
        return
    gone, held.left = without(held.left, ranges), both(held.left, ranges)
    look = slot.board.pages[held.page].look()
    if not gone or not slot.alive:
        return
    if look.position >= 0 and not look.step:
        if any(start <= look.position < stop for start, stop in gone):
            holdings.vacate(slot, Doom(why))
    elif look.step or look.position == NONE:
        held.ending = joined([*held.ending, *gone])
        slot.cancel(held, gone)
        asyncio.get_running_loop().call_later(CANCEL_S, _end_deaf, slot, held, why)


def _end_deaf(slot: Slot, held: Held, why: str) -> None:
    """Its loop did not let go of the tasks in time: neighbours go back when it has ended."""
    with contextlib.suppress(ProcessLookupError):
        if held in slot.held and held.ending and slot.alive:
            slot.doom = slot.doom or Doom(why)
            slot.kill()

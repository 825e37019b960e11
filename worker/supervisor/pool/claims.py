"""What the worker claims to hold in a new session, and what it gives up by the master's answer.

This module owns the list in the hello, what is done with the welcome, and revoked leases.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from queue_manager.ranges import Ranges, both, joined, without
from queue_manager.wire.records import HeldLease

from ...ipc.shared_page import CANCEL_S, NONE, PREPARING
from ..slots.lease import OpenLease
from ..slots.slot_process import KillReason

if TYPE_CHECKING:
    from ..slots.slot_process import SlotProcess
    from .inventory import Inventory


def claimed(inventory: Inventory) -> list[HeldLease]:
    """The held leases: tasks without an outcome, and outcomes without an acknowledgement."""
    ranges_of: dict[tuple[int, int, int], Ranges] = {}
    for lease in inventory.all():
        given = lease.given
        ranges_of.setdefault((given.number, given.run, given.block), []).extend(lease.left)
    for number, run, block, span in inventory.outbox.claims():
        ranges_of.setdefault((number, run, block), []).append(span)
    return [HeldLease(*key, joined(ranges)) for key, ranges in ranges_of.items() if ranges]


def recognize(inventory: Inventory, leases: Iterable[HeldLease]) -> None:
    """Go on with the leases that the master recognizes. End the others without an outcome."""
    allowed = {lease.number: list(lease.ranges) for lease in leases}
    inventory.outbox.keep_released(allowed)
    kept = {lease.given.number: allowed.get(lease.given.number, []) for lease in inventory.all()}
    _confine(inventory, kept, "the master has given its task away")


def revoke(inventory: Inventory, numbers: Iterable[int], why: str) -> None:
    """Drop the tasks of these leases that have not started, and stop those that run."""
    _confine(inventory, {number: [] for number in numbers}, why)


def _confine(inventory: Inventory, kept: Mapping[int, Ranges], why: str) -> None:
    """Keep only these ranges of some leases, in one pass over all leases."""

    def has_too_much(lease: OpenLease) -> bool:
        ranges = kept.get(lease.given.number)
        return ranges is not None and bool(without(lease.left, ranges))

    waiting = list(inventory.queue)
    gone = [lease for lease in waiting if has_too_much(lease)]
    if gone:
        gone_ids = set(map(id, gone))
        inventory.queue.clear()
        inventory.queue.extend(lease for lease in waiting if id(lease) not in gone_ids)
    for lease in gone:
        inventory.requeue(lease, both(lease.left, kept[lease.given.number]))
    for slot in inventory.slots:
        for lease in list(slot.held):
            if has_too_much(lease):
                _confine_in_slot(inventory, slot, lease, kept[lease.given.number], why)


def _confine_in_slot(
    inventory: Inventory, slot: SlotProcess, lease: OpenLease, ranges: Ranges, why: str
) -> None:
    preparing = slot.page.rows[lease.row].look().position == PREPARING
    inventory.requeue(lease, both(slot.take_back(lease), ranges))
    if preparing and not lease.left:  # import or `setup()` may never end
        if slot.alive:
            inventory.vacate(slot, KillReason(why))
        return
    gone, lease.left = without(lease.left, ranges), both(lease.left, ranges)
    look = slot.page.rows[lease.row].look()
    if not gone or not slot.alive:
        return
    if look.position >= 0 and not look.step:
        if any(start <= look.position < stop for start, stop in gone):
            inventory.vacate(slot, KillReason(why))
    elif look.step or look.position == NONE:
        lease.ending = joined([*lease.ending, *gone])
        slot.cancel(lease, gone)
        asyncio.get_running_loop().call_later(CANCEL_S, _end_deaf, slot, lease, why)


def _end_deaf(slot: SlotProcess, lease: OpenLease, why: str) -> None:
    """End a slot that did not end the cancelled tasks in time. Its other tasks go back."""
    with contextlib.suppress(ProcessLookupError):
        if lease in slot.held and lease.ending and slot.alive:
            slot.kill_reason = slot.kill_reason or KillReason(why)
            slot.kill()

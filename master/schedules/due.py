"""Which slot of a schedule is to run now: a function of the schedule, the time and the run before.

Changes nothing, and knows nothing of runs but whether the one before goes on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ..released import RELEASED_AT
from ..scheduled import ScheduleRecord
from .expression import Slots
from .naming import slot_text

LATE_S = 60.0
"""A slot that is looked at later than this was missed: no master was there, or a clock was set."""

WAITING = 100
"""How many slots of a schedule wait for the run before, at most."""


class Decision(NamedTuple):
    """The schedule as it is then, and the slot that is to run now; None: no slot is."""

    record: ScheduleRecord
    slot: float | None


def decide(record: ScheduleRecord, slots: Slots, now: float, going: bool) -> Decision:
    """Move the cursor of a schedule, and say which slot runs now. One call makes one run at most.

    now: UTC epoch in seconds, by the machine's clock, which can be right. While it is before the
    cursor there is no new slot, so a clock that was set back makes no slot twice. going: the run
    before goes on.
    """
    if record.paused:
        return Decision(record, None)
    if not has_begun(record):
        return Decision(replace(record, cursor=now), None)
    new, more = slots.newest(record.cursor, now, WAITING if record.missed == "all" else 3)
    late = [slot for slot in new if now - slot > LATE_S]
    timely = new[len(late) :]
    if record.missed == "all" and late:
        record = _make_up(record, late + timely, more)
        timely = []
    elif late:
        record, timely = _missed(record, late, timely, more)
    if timely:
        record, slot = _timely(record, timely[0], going)
        if slot is not None:
            return Decision(record, slot)
    if record.waiting and not going:
        first, *others = record.waiting
        return Decision(replace(record, waiting=others), first)
    return Decision(record, None)


def has_begun(record: ScheduleRecord) -> bool:
    """Whether the cursor is of a clock that could be right. Else its slots count from now."""
    return record.cursor >= RELEASED_AT


def begin_at(clock: float) -> float:
    """The cursor of a schedule whose slots count from now; 0 by a clock that can't be right."""
    return clock if clock >= RELEASED_AT else 0.0


def _make_up(record: ScheduleRecord, new: list[float], more: bool) -> ScheduleRecord:
    """All slots that were missed wait for one another. Of too many the newest do."""
    waiting = [*record.waiting, *new]
    left = waiting[:-WAITING]
    record = replace(record, waiting=waiting[-WAITING:], cursor=new[-1])
    if left or more:
        why = f"slots before it were missed: the newest {WAITING} are made up for"
        record = _left_out(record, record.waiting[0], len(left), why)
    return record


def _missed(
    record: ScheduleRecord, late: list[float], timely: list[float], more: bool
) -> tuple[ScheduleRecord, list[float]]:
    """Leave out what was missed. The newest slot, if that is asked for, is as one that is due."""
    record = replace(record, cursor=late[-1])
    if record.missed == "last" and not timely:
        made_up, late = late[-1], late[:-1]
        if late or more:
            record = _left_out(record, made_up, len(late), "slots before it were missed")
        return record, [made_up]
    if late:
        words = "missed" if not more else "missed, like others before it"
        record = _left_out(record, late[-1], len(late), words)
    return record, timely


def _timely(
    record: ScheduleRecord, slot: float, going: bool
) -> tuple[ScheduleRecord, float | None]:
    """A slot that is due runs, waits, or is left out."""
    record = replace(record, cursor=slot)
    if record.overlap == "allow" or not (going or record.waiting):
        return record, slot
    if record.overlap == "queue" and len(record.waiting) < WAITING:
        return replace(record, waiting=[*record.waiting, slot]), None
    why = f"run {record.last_run} was still going"
    if record.overlap == "queue":
        why = f"{WAITING} slots were waiting"
    elif not going:
        why = "slots before it were waiting"
    return _left_out(record, slot, 1, f"left out: {why}"), None


def _left_out(record: ScheduleRecord, slot: float, count: int, why: str) -> ScheduleRecord:
    note = f"{slot_text(slot)} {why}"
    return replace(record, skipped=record.skipped + count, note=note)

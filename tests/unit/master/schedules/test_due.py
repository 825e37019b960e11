"""Which slot runs now: what was missed, what overlaps, what a clock does that is set."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from master.scheduled import ScheduleRecord
from master.schedules.due import WAITING, begin_at, decide
from master.schedules.expression import Slots

HOUR = 3_600.0
START = datetime.fromisoformat("2026-05-05T00:30Z").timestamp()
SLOTS = Slots("0 * * * *", "UTC")
FIRST = START + HOUR / 2


def record(**fields: Any) -> ScheduleRecord:
    return ScheduleRecord(**{"name": "n", "expression": "0 * * * *", "job": "job"} | fields)


def hours(*numbers: int) -> list[float]:
    return [FIRST + number * HOUR for number in numbers]


def runs(
    one: ScheduleRecord, now: float, going: bool = False
) -> tuple[ScheduleRecord, list[float]]:
    """All runs that are made now, one after the other, if each ends at once."""
    made: list[float] = []
    while True:
        decision = decide(one, SLOTS, now, going)
        if decision.record == one and decision.slot is None:
            return one, made
        one = decision.record
        if decision.slot is not None:
            made.append(decision.slot)
            assert len(made) <= WAITING


def test_a_slot_runs_when_its_time_has_come_and_not_again() -> None:
    one = record(cursor=START)
    assert runs(one, FIRST - 1) == (one, [])
    one, made = runs(one, FIRST + 1)
    assert made == [FIRST]
    assert runs(one, FIRST + 30) == (one, [])
    assert runs(one, FIRST + HOUR)[1] == hours(1)


def test_a_clock_that_is_set_back_makes_no_slot_twice() -> None:
    one, _ = runs(record(cursor=START), FIRST)
    assert runs(one, START - 10 * HOUR) == (one, [])
    assert runs(one, FIRST + 5) == (one, [])


@pytest.mark.parametrize(
    ("missed", "expected", "skipped"),
    [("skip", [], 3), ("last", hours(3), 2), ("all", hours(0, 1, 2, 3), 0)],
)
def test_what_an_outage_missed_comes_as_asked(
    missed: Any, expected: list[float], skipped: int
) -> None:
    one, made = runs(record(cursor=START, missed=missed), FIRST + 3.5 * HOUR)
    assert made == expected
    assert one.skipped >= skipped
    assert runs(one, FIRST + 4 * HOUR)[1] == hours(4)


@pytest.mark.parametrize("missed", ["skip", "last"])
def test_the_slot_at_the_end_of_an_outage_is_the_newest(missed: Any) -> None:
    _, made = runs(record(cursor=START, missed=missed), FIRST + 3 * HOUR + 5)
    assert made == hours(3)


@pytest.mark.parametrize(
    ("overlap", "made", "waiting", "note"),
    [
        ("skip", None, [], "2026-05-05T03:00:00Z left out: run 7 was still going"),
        ("queue", None, hours(2), "2026-05-05T03:00:00Z slots before it were missed"),
        ("allow", FIRST + 2 * HOUR, [], "2026-05-05T03:00:00Z slots before it were missed"),
    ],
)
def test_the_newest_slot_that_was_missed_is_as_overlap_says(
    overlap: Any, made: float | None, waiting: list[float], note: str
) -> None:
    """The run before an outage may go on behind it."""
    one = record(cursor=START, missed="last", overlap=overlap, last_run=7)
    after, slot = decide(one, SLOTS, FIRST + 2.5 * HOUR, True)
    assert (slot, after.waiting, after.note) == (made, waiting, note)
    assert after.cursor == FIRST + 2 * HOUR


def test_slots_count_from_the_first_moment_that_a_clock_can_show() -> None:
    """A schedule that was added by the clock of 1970 has missed nothing."""
    one = record(cursor=begin_at(3.0), missed="all")
    assert one.cursor == 0.0
    one, made = runs(one, START)
    assert (made, one.cursor, one.skipped) == ([], START, 0)
    assert runs(one, FIRST)[1] == [FIRST]


def test_what_was_missed_comes_one_after_the_other_and_not_more_than_a_hundred() -> None:
    one = record(cursor=START, missed="all", overlap="allow")
    now = FIRST + 500.5 * HOUR
    first = decide(one, SLOTS, now, False)
    assert first.slot == FIRST + 401 * HOUR
    assert decide(first.record, SLOTS, now, True).slot is None  # its run goes on
    one, made = runs(one, now)
    assert made == hours(*range(401, 501))
    assert "slots before it were missed" in one.note


def test_a_slot_is_left_out_while_the_run_before_goes_on() -> None:
    one = record(cursor=START, last_run=7)
    after, slot = decide(one, SLOTS, FIRST, True)
    assert slot is None
    assert after.cursor == FIRST
    assert after.note == "2026-05-05T01:00:00Z left out: run 7 was still going"
    assert runs(after, FIRST + 10)[1] == []


def test_slots_wait_for_the_run_before_in_their_order() -> None:
    one = record(cursor=START, overlap="queue")
    one, made = runs(one, FIRST, going=True)
    one, _ = runs(one, FIRST + HOUR, going=True)
    assert (made, one.waiting) == ([], hours(0, 1))
    first = decide(one, SLOTS, FIRST + HOUR, False)
    assert first.slot == FIRST
    assert runs(first.record, FIRST + HOUR)[1] == hours(1)


def test_no_more_than_a_hundred_slots_wait() -> None:
    one = record(cursor=START, overlap="queue", waiting=hours(*range(-WAITING, 0)))
    one, _ = runs(one, FIRST, going=True)
    assert (len(one.waiting), one.skipped) == (WAITING, 1)
    assert f"{WAITING} slots were waiting" in one.note


def test_slots_run_beside_the_run_before_where_that_is_allowed() -> None:
    assert decide(record(cursor=START, overlap="allow"), SLOTS, FIRST, True).slot == FIRST


def test_a_paused_schedule_has_no_slots() -> None:
    one = record(cursor=START, paused=True, waiting=[1.0])
    assert decide(one, SLOTS, FIRST, False) == (one, None)


def test_an_outage_behind_slots_that_wait_keeps_them() -> None:
    one = record(cursor=START, overlap="queue", missed="all", waiting=[START - HOUR])
    _, made = runs(replace(one), FIRST + 1.5 * HOUR)
    assert made == [START - HOUR, *hours(0, 1)]

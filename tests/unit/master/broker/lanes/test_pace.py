"""Short pauses: late starts are made up for, and no second has more starts than the limit."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from master.broker.lanes.lane import Lane
from master.broker.lanes.pace import is_short, pause_s, round_down

LATE = {"on time": 0.0, "a little late": 0.008, "late": 0.03}


def starts(every_s: float, most_late_s: float, count: int, going: float = 0.0) -> list[float]:
    """When tasks start that are late by up to so much. going: how often the lane comes anew."""
    rng = random.Random(7)
    lane, found = Lane("a"), list[float]()
    for _ in range(count):
        next_at = max(lane.started_at + pause_s(every_s), 100.0)
        found.append(next_at + rng.uniform(0, most_late_s))
        lane.started(found[-1], every_s)
        if rng.random() < going:
            lane.settle(every_s)
            lane = Lane("a", started_at=lane.started_at)
    return found


@pytest.mark.parametrize("going", [0.0, 0.2], ids=["stays", "comes and goes"])
@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("every_s", [0.005, 0.01, 0.03, 0.09])
def test_no_second_has_more_starts_than_the_limit(every_s: float, late: str, going: float) -> None:
    found = starts(every_s, LATE[late], 3_000, going)
    count = round_down(1 / every_s)
    spans = [later - start for start, later in zip(found, found[count:], strict=False)]
    assert min(spans) >= count * every_s
    pauses = [later - start for start, later in pairwise(found)]
    assert min(pauses) >= every_s / 2


@pytest.mark.parametrize("late", ["on time", "a little late"])
def test_late_starts_are_made_up_for(late: str) -> None:
    found = starts(0.01, LATE[late], 3_000)
    taken_s = found[-1] - found[0]
    assert 98 <= 2_999 / taken_s <= 100


def test_what_is_very_late_is_lost() -> None:
    lane = Lane("a")
    lane.started(100.0, 0.01)
    lane.started(107.0, 0.01)
    fast = 0
    now = 107.0
    while lane.started_at + pause_s(0.01) < now + 0.009:
        now = lane.started_at + pause_s(0.01)
        lane.started(now, 0.01)
        fast += 1
    assert 20 <= fast <= 45


@pytest.mark.parametrize("every_s", [0.0, 0.001, 0.1, 1.0, 60.0])
def test_other_pauses_are_the_least_time_between_two_starts(every_s: float) -> None:
    assert not is_short(every_s)
    lane = Lane("a")
    for now in (100.0, 170.0, 240.0):
        lane.started(now, every_s)
        assert lane.started_at + pause_s(every_s) == now + every_s

"""Ranges against sets of positions: whatever they are, in order or not."""

from __future__ import annotations

import random

import pytest

from queue_manager.ranges import Ranges, both, joined, within, without


def some(rng: random.Random) -> Ranges:
    starts = [rng.randrange(20) for _ in range(rng.randrange(6))]
    return [(start, start + rng.randrange(7)) for start in starts]


def positions(ranges: Ranges) -> set[int]:
    return {at for start, stop in ranges for at in range(start, stop)}


@pytest.mark.parametrize("seed", range(300))
def test_the_arithmetic_is_that_of_sets(seed: int) -> None:
    rng = random.Random(seed)
    one, other = some(rng), some(rng)
    assert positions(both(one, other)) == positions(one) & positions(other)
    assert both(one, other) == sorted(both(one, other))
    assert positions(without(one, other)) == positions(one) - positions(other)
    assert positions(within(one, joined(other))) == positions(one) & positions(other)
    assert all(start < stop for start, stop in (*both(one, other), *within(one, joined(other))))

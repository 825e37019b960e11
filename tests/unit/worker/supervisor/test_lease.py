"""The arithmetic of what is left of a lease."""

from __future__ import annotations

from typing import Any

import pytest

from worker.supervisor.lease import Held


@pytest.fixture
def held(jobs: Any) -> Held:
    return Held(jobs.lease(list(range(10))), 0.0)


def test_a_range_is_settled_once(held: Held) -> None:
    """The second time it is not left any more, nor is a range that overlaps it."""
    assert held.settle(2, 5)
    assert not held.settle(2, 5)
    assert not held.settle(4, 6)
    assert held.left == [(0, 2), (5, 10)]
    assert held.count == 7


def test_a_cut_takes_all_behind_it(held: Held) -> None:
    """Also when there are holes already."""
    held.settle(4, 6)
    assert held.cut(3) == [(3, 4), (6, 10)]
    assert held.left == [(0, 3)]
    assert held.has(2)
    assert not held.has(3)


def test_what_was_cut_can_go_to_another_slot(held: Held) -> None:
    """With the same number and its range only."""
    (other,) = held.afresh(held.cut(8), 1.0)
    assert (other.lease.number, other.left) == (held.lease.number, [(8, 10)])
    assert (other.lease.start, other.lease.stop) == (8, 10)

"""The arithmetic of what is left of a lease."""

from __future__ import annotations

from typing import Any

import pytest

from worker.supervisor.slots.lease import OpenLease


@pytest.fixture
def lease(jobs: Any) -> OpenLease:
    return OpenLease(jobs.lease(list(range(10))), 0.0)


def test_a_range_is_settled_once(lease: OpenLease) -> None:
    """The second time it is not left any more, nor is a range that overlaps it."""
    assert lease.settle(2, 5)
    assert not lease.settle(2, 5)
    assert not lease.settle(4, 6)
    assert lease.left == [(0, 2), (5, 10)]
    assert lease.count == 7


def test_a_cut_takes_all_behind_it(lease: OpenLease) -> None:
    """Also when there are holes already."""
    lease.settle(4, 6)
    assert lease.cut(3) == [(3, 4), (6, 10)]
    assert lease.left == [(0, 3)]
    assert lease.has(2)
    assert not lease.has(3)


def test_what_was_cut_can_go_to_another_slot(lease: OpenLease) -> None:
    """With the same number and its range only."""
    (other,) = lease.split(lease.cut(8), 1.0)
    assert (other.given.number, other.left) == (lease.given.number, [(8, 10)])
    assert (other.given.start, other.given.stop) == (8, 10)

"""A histogram counts each value once, at the first bound that is not below it."""

from __future__ import annotations

import pytest

from master.tally.histogram import LONGEST_S, TASK_BOUNDS_S, Histogram


def test_a_value_counts_at_the_first_bound_that_is_not_below_it() -> None:
    found = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.1):
        found.observe(value)
    assert (found.counts, found.sum_s) == ([2, 2, 1], pytest.approx(7.1))


def test_a_value_of_many_tasks_counts_for_each() -> None:
    found = Histogram((1.0,))
    found.observe(0.5, 128)
    assert (found.counts, found.sum_s) == ([128, 0], 64.0)


@pytest.mark.parametrize(("value", "counted"), [(-3.0, 0.0), (1e300, LONGEST_S)])
def test_a_value_that_makes_no_sense_spoils_no_sum(value: float, counted: float) -> None:
    found = Histogram((1.0,))
    found.observe(value)
    assert (sum(found.counts), found.sum_s) == (1, counted)


def test_the_bounds_of_tasks_reach_from_5_ms_to_3_h() -> None:
    assert (TASK_BOUNDS_S[0], TASK_BOUNDS_S[-1]) == (0.005, 3 * 3600.0)
    assert list(TASK_BOUNDS_S) == sorted(TASK_BOUNDS_S)

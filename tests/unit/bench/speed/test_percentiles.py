"""The percentiles of a benchmark: the nearest rank, of few values and of many."""

from __future__ import annotations

import pytest

from bench.speed.percentiles import percentile


@pytest.mark.parametrize(
    ("count", "share", "rank"),
    [
        (1, 0.5, 1),
        (1, 0.999, 1),
        (20, 0.5, 10),
        (20, 0.99, 20),
        (1_000, 0.99, 990),
        (1_000, 0.999, 999),
    ],
)
def test_a_percentile_is_the_value_of_the_nearest_rank(count: int, share: float, rank: int) -> None:
    assert percentile(list(range(count, 0, -1)), share) == rank

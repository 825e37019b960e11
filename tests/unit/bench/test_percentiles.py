"""Rates and rounds of the benchmark `percentiles`, with an offer that takes no time."""

from __future__ import annotations

import pytest

from bench.speed import percentiles


class Queue:
    """Answers after a time that depends on the rate; notes what it was offered."""

    def __init__(self, waits_s: dict[int, float]) -> None:
        self._waits_s = waits_s
        self.offered: list[tuple[int, bool]] = []

    def offer(self, rate: int, seconds: float, block_s: float) -> list[float]:
        self.offered.append((rate, bool(block_s)))
        return [self._waits_s.get(rate, 0.001)] * 10


@pytest.fixture(autouse=True)
def rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(percentiles, "RATES", (1, 100, 1_000, 10_000))
    monkeypatch.setattr(percentiles, "ROUNDS", 3)


def test_a_queue_that_has_fallen_behind_has_one_round_and_no_higher_rate() -> None:
    queue = Queue({1_000: 0.3})
    percentiles._all_figures("one", queue.offer)
    one_by_one, in_blocks = [(1, False), *[(100, False)] * 3, (1_000, False)], [(1_000, True)]
    assert queue.offered == one_by_one + in_blocks


def test_ours_are_bound_and_others_are_not() -> None:
    ours = percentiles._all_figures("ours", Queue({}).offer, bound=True)
    bounds = {figure.name: figure.at_most for figure in ours}
    assert bounds["ours, 100 a second, one by one: p50"] == 10
    assert bounds["ours, 1,000 a second, in blocks: p99"] == 60
    assert bounds["ours, 10,000 a second, one by one: p99"] == 200
    assert bounds["ours, 1 a second, one by one: p99.9"] is None
    others = percentiles._all_figures("other", Queue({}).offer)
    assert all(figure.at_most is None for figure in others)

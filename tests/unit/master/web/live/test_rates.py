"""Rates of the last minute: from looks that may have gaps, at runs that come and go."""

from __future__ import annotations

from typing import Any

import pytest

from master.web.live.hub import REST, TURN_S
from master.web.live.rates import ALL, LONGEST_GAP_S, Rates
from queue_manager.wire.records import RunStatus


def run(number: int, done: int, started_at: float = 0.0, dead: int = 0) -> RunStatus:
    return RunStatus(
        number, "square", [], "active", 100, 0, 0, 0, done, dead, True, 0, started_at, None
    )


class Clock:
    """A clock that is set."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Any) -> Rates:
    return Rates(clock, lambda: clock() + 500.0)


def test_a_rate_is_the_mean_of_the_last_seconds(rates: Rates, clock: Clock) -> None:
    for second in range(30):
        clock.now = 1_000.0 + second
        rates.note([run(1, 100 * second if second < 15 else 1_400 + 10 * (second - 14))])
    assert rates.of(1) == pytest.approx(10.0)
    assert rates.of(2) is None
    assert len(rates.last_minute(1)) == 29
    assert rates.last_minute(1)[-1] == (0.0, pytest.approx(10.0))


def test_one_look_says_nothing(rates: Rates) -> None:
    rates.note([run(1, 50)])
    assert rates.of(1) is None


def test_nobody_knows_what_went_on_in_a_gap(rates: Rates, clock: Clock) -> None:
    rates.note([run(1, 0)])
    clock.now += 600.0
    rates.note([run(1, 60_000)])
    assert rates.of(1) is None
    assert rates.last_minute(1) == []


def test_a_retry_is_no_negative_rate(rates: Rates, clock: Clock) -> None:
    for dead in (10, 0):
        rates.note([run(1, 5, dead=dead)])
        clock.now += 1.0
    assert rates.of(1) is None


def test_all_runs_are_counted_once_whoever_looks(rates: Rates, clock: Clock) -> None:
    rates.note_all([run(1, 0), run(2, 0)])
    for second in range(1, 5):
        clock.now = 1_000.0 + second
        rates.note([run(1, 10 * second)])  # the page of the run
        rates.note_all([run(1, 10 * second), run(2, 5 * second)])
    assert rates.of(ALL) == pytest.approx(15.0)


def test_a_run_that_has_just_begun_counts_from_its_start(rates: Rates, clock: Clock) -> None:
    rates.note_all([])
    clock.now += 1.0
    rates.note_all([run(7, 40, started_at=clock.now + 500.0 - 0.5)])
    assert rates.of(ALL) == pytest.approx(40.0)


def test_the_memory_of_runs_is_bounded(rates: Rates) -> None:
    rates.note(run(number, 0) for number in range(10_000))
    assert len(rates._looks) == 1_024


def test_a_page_with_all_the_runs_that_it_may_have_has_rates(rates: Rates, clock: Clock) -> None:
    for second in range(5):
        clock.now = 1_000.0 + second
        rates.note_all([run(number, 10 * second) for number in range(500)])
    assert rates.of(ALL) == pytest.approx(5_000.0)
    assert rates.of(0) == rates.of(499) == pytest.approx(10.0)


def test_runs_drive_out_no_looks_at_all_of_them(rates: Rates, clock: Clock) -> None:
    for second in range(5):
        clock.now = 1_000.0 + second
        rates.note_all([run(1, 10 * second)])
        rates.note(run(number, 0) for number in range(10, 2_010))
        rates.note([run(1, 10 * second)])
    assert rates.of(ALL) == pytest.approx(10.0)


@pytest.mark.parametrize("rhythm_s", [5.1, 12.0, TURN_S * (1 + REST)])
def test_a_page_that_takes_long_has_rates_by_its_rhythm(
    rates: Rates, clock: Clock, rhythm_s: float
) -> None:
    for look in range(6):
        clock.now = 1_000.0 + rhythm_s * look
        rates.note_all([run(1, int(60 * rhythm_s * look))])
    for which in (1, ALL):
        assert rates.of(which) == pytest.approx(60.0, rel=0.01)
        assert rates.last_minute(which)[-1] == (0.0, pytest.approx(60.0, rel=0.01))
    clock.now += 3 * rhythm_s + LONGEST_GAP_S
    rates.note_all([run(1, 1_000_000)])
    assert (rates.of(1), rates.of(ALL)) == (None, None)


def test_looks_within_a_moment_make_no_wild_rates(rates: Rates, clock: Clock) -> None:
    rates.note([run(1, 0)])
    clock.now += 1.0
    rates.note([run(1, 10)])
    clock.now += 0.001
    rates.note([run(1, 20)])
    assert [rate for _, rate in rates.last_minute(1)] == [pytest.approx(10.0)]

"""Charts made of the history: outages are gaps, and a still run is no outage."""

from __future__ import annotations

from typing import Any, cast

import pytest
from msgspec.structs import replace

from master.web.pages import charts
from master.web.pages.page import Asked, Desk, NothingThereError
from queue_manager.errors import RefusedError
from queue_manager.settings import load_settings
from queue_manager.wire.history import AskHistory, History, HistoryPoint
from tests.unit.master.web.live.test_rates import run
from tests.unit.master.web.loops import in_loop

NOW = 1_000_000.0
MINUTE = 60


class Kept:
    """A master with a history of one step a minute. asked: what it was asked last.

    It refuses times as the real one does.
    """

    def __init__(self, *points: HistoryPoint) -> None:
        self.points = list(points)
        self.asked = AskHistory(0)

    async def get(self, key: object, make: Any, answer: type[Any]) -> History:
        self.asked = make(1)
        until_at = min(self.asked.until_at or NOW, NOW + MINUTE)
        if not 0 <= (self.asked.since_at or until_at - 3_600) <= until_at:
            raise RefusedError("no time of a history")
        step_s = max(MINUTE, int(self.asked.step_s) // MINUTE * MINUTE)
        return History(1, step_s, NOW, self.points)


def asked(kept: Kept, **query: str) -> Asked:
    desk = Desk(cast(Any, None), cast(Any, kept), cast(Any, None), load_settings({}), lambda: NOW)
    return Asked(desk, {}, query)


def at(minutes_ago: int) -> int:
    return int(NOW // MINUTE) * MINUTE - minutes_ago * MINUTE


@in_loop
async def test_a_step_without_a_point_is_an_outage_of_all() -> None:
    kept = Kept(
        HistoryPoint(at(3), 600, 60, waiting=5, delayed=2, leased=1), HistoryPoint(at(1), 120)
    )
    rates, depths = await charts.of_all(asked(kept), "hour")
    done, dead = rates.series
    assert list(done.values[-4:]) == [10.0, None, 2.0, None]
    assert list(dead.values[-4:]) == [1.0, None, 0.0, None]
    assert list(depths.series[0].values[-4:]) == [7, None, None, None]
    assert list(depths.series[1].values[-4:]) == [1, None, None, None]
    assert (rates.since, rates.until) == (NOW - 3_600, NOW)


@in_loop
async def test_a_run_that_stands_still_is_no_outage() -> None:
    one = replace(run(7, 600, started_at=NOW - 600), ended_at=None)
    kept = Kept(HistoryPoint(at(4), 600, waiting=5, leased=1))
    rates, depths = await charts.of_run(asked(kept), one, charts.WHOLE)
    assert list(rates.series[0].values[-5:]) == [10.0, 0.0, 0.0, 0.0, 0.0]
    assert list(depths.series[0].values[-5:]) == [5, 5, 5, 5, 5]
    assert kept.asked.run == 7
    assert kept.asked.since_at == NOW - 600


@in_loop
async def test_the_step_that_goes_on_has_the_rate_of_its_seconds_so_far() -> None:
    kept = Kept(HistoryPoint(at(0), 400))
    rates, _ = await charts.of_all(asked(kept), "hour")
    assert rates.series[0].values[-1] == pytest.approx(400 / (NOW - at(0)))


@in_loop
async def test_a_run_has_its_rate_in_the_steps_in_which_it_begins_and_ends() -> None:
    """100 in a second, from ten seconds before the end of a minute on, for 130 s."""
    one = replace(run(7, 13_000, started_at=at(3) + 50.0), ended_at=at(0))
    minutes = (1_000, 6_000, 6_000)
    kept = Kept(*(HistoryPoint(at(3 - place), done) for place, done in enumerate(minutes)))
    rates, _ = await charts.of_run(asked(kept), one, charts.WHOLE)
    assert list(rates.series[0].values[:3]) == [100.0, 100.0, 100.0]
    half = replace(one, ended_at=at(1) + 30.0)
    rates, _ = await charts.of_run(asked(kept), half, charts.WHOLE)
    assert rates.series[0].values[-1] == 200.0


@in_loop
async def test_the_chart_of_an_ended_run_ends_with_it() -> None:
    one = replace(run(7, 600, started_at=NOW - 7_200), ended_at=NOW - 3_600)
    kept = Kept(HistoryPoint(at(70), 600))
    rates, _ = await charts.of_run(asked(kept), one, charts.WHOLE)
    assert rates.until == NOW - 3_600
    assert kept.asked.until_at == NOW - 3_600
    await charts.of_run(asked(kept), one, "hour")
    assert kept.asked.since_at == NOW - 7_200


@in_loop
async def test_the_chart_of_the_queue_run_begins_with_its_first_point() -> None:
    queue = replace(run(0, 600, started_at=0.0), ended_at=None)
    kept = Kept(HistoryPoint(at(90), 600), HistoryPoint(at(4), 60))
    rates, _ = await charts.of_run(asked(kept), queue, charts.WHOLE)
    assert (rates.moments[0], rates.moments[-1]) == (at(90), at(0))
    assert (kept.asked.since_at, kept.asked.step_s) == (at(90), MINUTE)
    assert list(rates.series[0].values[:2]) == [10.0, 0.0]


@in_loop
async def test_the_chart_of_a_queue_run_that_did_nothing_is_its_last_hour() -> None:
    queue = replace(run(0, 0, started_at=0.0), ended_at=None)
    rates, _ = await charts.of_run(asked(Kept()), queue, charts.WHOLE)
    assert (rates.since, rates.until) == (at(60), NOW)
    assert set(rates.series[0].values) == {None}


@in_loop
async def test_a_beginning_that_a_wrong_clock_has_set_makes_no_endless_chart() -> None:
    one = replace(run(7, 600, started_at=5.0), ended_at=None)
    rates, _ = await charts.of_run(asked(Kept()), one, charts.WHOLE)
    assert len(rates.moments) <= charts.MOST + 1
    assert rates.since >= NOW - (charts.MOST + 1) * MINUTE


def test_a_span_that_there_is_not_is_refused() -> None:
    assert charts.span_of(asked(Kept()), "hour") == "hour"
    assert charts.span_of(asked(Kept(), span="day"), "hour") == "day"
    with pytest.raises(NothingThereError, match="span='whole' is none of minute, hour"):
        charts.span_of(asked(Kept(), span="whole"), "hour")
    assert charts.span_of(asked(Kept(), span="whole"), "hour", (charts.WHOLE,)) == "whole"


@pytest.mark.parametrize("text", ["x", "99999999999999999999999999", "1e3", "\x00", "9" * 5_000])
def test_a_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(NothingThereError, match=r"after=.* is no number of a page"):
        asked(Kept(), after=text).number("after")


def test_a_number_in_a_path_that_nothing_can_have_is_refused() -> None:
    desk = asked(Kept()).desk
    with pytest.raises(NothingThereError, match="there is no run 9"):
        Asked(desk, {"run": int("9" * 30)}, {})

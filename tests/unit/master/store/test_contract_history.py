"""What every store must do with the history: each test runs over each engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from master.changes import QUEUE_RUN
from master.history import ALL_RUNS, MINUTE_S, TEN_S, HistoryRecord, Standing
from master.store.contract import Store
from tests.unit.master.store_records import Engine, commit, drop_all, run_record

AT = 1_800_000_000
"""The beginning of a minute, of ten minutes, of an hour."""
NOW = Standing(5, 4, 3, 2, 1)


def told(minute: int, done: int, run: int = 1, standing: Standing | None = NOW) -> HistoryRecord:
    return HistoryRecord(run, AT + minute * MINUTE_S, done=done, busy_s=0.5, standing=standing)


def read(store: Store, step_s: int, run: int = 1) -> list[HistoryRecord]:
    return store.read_history(run, AT - 86_400, AT + 86_400, step_s)


def test_a_row_comes_back_as_it_was_written(engine: Engine) -> None:
    record = HistoryRecord(1, AT, MINUTE_S, 6, 5, 4, 3.5, NOW)
    commit(engine.open(), history=[record])
    store = engine.crash()
    assert read(store, MINUTE_S) == [record]
    assert read(store, MINUTE_S, run=2) == []


def test_rows_of_a_step_are_one_point_that_stands_as_the_last_of_them(store: Store) -> None:
    later = Standing(1, 1, 1, 1, 1)
    for minute, done, standing in ((0, 1, NOW), (3, 2, NOW), (9, 4, later), (10, 8, NOW)):
        commit(store, history=[told(minute, done, standing=standing)])
    points = [(p.at - AT, p.span_s, p.done, p.busy_s, p.standing) for p in read(store, TEN_S)]
    assert points == [(0, TEN_S, 7, 1.5, later), (TEN_S, TEN_S, 8, 0.5, NOW)]
    (hour,) = read(store, 6 * TEN_S)
    assert (hour.at, hour.done, hour.standing) == (AT, 15, NOW)
    pairs = [(p.at - AT, p.done) for p in read(store, 5 * MINUTE_S)]
    assert pairs == [(0, 3), (5 * MINUTE_S, 4), (TEN_S, 8)]


def test_what_runs_did_is_what_all_did(store: Store) -> None:
    """How all stand together is told by itself, and a run that ends does not change it."""
    everyone = Standing(99, 9, 9, 9, 9)
    commit(store, history=[told(0, 1), told(0, 2, run=2), told(0, 0, ALL_RUNS, everyone)])
    commit(store, history=[told(0, 4, run=3)])
    (point,) = read(store, MINUTE_S, ALL_RUNS)
    assert (point.done, point.busy_s, point.standing) == (7, 2.0, everyone)
    (point,) = read(store, TEN_S, ALL_RUNS)
    assert (point.done, point.standing) == (7, everyone)


def test_a_minute_that_comes_twice_has_one_row(store: Store) -> None:
    """The clock was set back, or the master has started anew."""
    commit(store, history=[told(0, 1), told(0, 2, standing=None)])
    commit(store, history=[told(0, 4, standing=None)])
    (point,) = read(store, MINUTE_S)
    assert (point.done, point.standing) == (7, NOW)
    later = Standing(1, 1, 1, 1, 1)
    commit(store, history=[told(0, 8, standing=later)])
    (point,) = read(store, MINUTE_S)
    assert (point.done, point.standing) == (15, later)


def test_the_first_step_of_a_time_is_whole_and_its_end_is_not_in_it(store: Store) -> None:
    commit(store, history=[told(n, 1) for n in range(20)])
    points = store.read_history(1, AT + 301, AT + 10 * MINUTE_S, 5 * MINUTE_S)
    assert [(p.at - AT, p.done) for p in points] == [(300, 5)]


def test_the_last_whole_minute_is_the_newest_that_tells_how_all_stand(store: Store) -> None:
    assert store.last_minute() == 0.0
    commit(store, history=[told(0, 0, ALL_RUNS), told(1, 0, ALL_RUNS)])
    commit(store, history=[told(2, 5)])
    assert store.last_minute() == AT + MINUTE_S


def test_old_minutes_go_and_their_tens_stay(store: Store) -> None:
    commit(store, history=[told(n, 1) for n in range(20)])
    assert store.prune_history(AT + 15 * MINUTE_S, AT, 1_000)
    assert [p.at - AT for p in read(store, MINUTE_S)] == [60 * n for n in range(15, 20)]
    assert [p.done for p in read(store, TEN_S)] == [10, 10]
    assert not store.prune_history(AT + 15 * MINUTE_S, AT, 1_000)


def test_rows_of_all_runs_and_of_the_queue_run_go_when_they_are_old(store: Store) -> None:
    some = [told(minute, 1, run) for run in (QUEUE_RUN, 1) for minute in (0, 30)]
    commit(store, history=some)
    assert store.prune_history(0.0, AT + TEN_S, 1_000)
    for run, left in ((ALL_RUNS, [2]), (QUEUE_RUN, [1]), (1, [1, 1])):
        assert [p.done for p in read(store, TEN_S, run)] == left
    assert not store.prune_history(0.0, AT + TEN_S, 1_000)


def test_old_rows_go_in_steps(store: Store) -> None:
    commit(store, history=[told(n, 1) for n in range(50)])
    steps = 0
    while store.prune_history(AT + 3_600, AT - 86_400, 10):
        steps += 1
        assert steps < 100
    assert read(store, MINUTE_S) == []


@pytest.mark.parametrize("state", ["pruned", "forgotten"])
def test_the_history_goes_with_its_run(store: Store, state: str) -> None:
    commit(store, runs={n: run_record(n) for n in (1, 2)}, history=[told(0, 1), told(0, 2, 2)])
    gone = {"forgotten": {1}} if state == "forgotten" else {"runs": {1: run_record(state=state)}}
    commit(store, **gone, history=[told(1, 4)])
    drop_all(store)
    assert read(store, MINUTE_S) == []
    assert [p.done for p in read(store, MINUTE_S, 2)] == [2]
    assert [p.done for p in read(store, MINUTE_S, ALL_RUNS)] == [3, 4]


@pytest.mark.parametrize("hours", [-2, 2])
def test_rows_of_a_wrong_clock_move_when_it_is_right_again(engine: Engine, hours: int) -> None:
    """A master that began at AT by a wrong clock, and one that begins an hour later by a right one.

    The row of before was right, and stays. Rows that meet become one.
    """
    store = engine.open()
    store.set_clock(1, 1_000.0, float(AT))
    set_s = hours * 3_600.0 + 20.0
    meets = told(hours * 60 + 3, 5)
    if hours < 0:
        commit(store, history=[meets])
    before = told(-30, 1)
    commit(store, history=[before, told(3, 2), told(4, 4)])
    store.set_clock(1, 1_000.0 + set_s, AT + 3_600.0 + set_s)
    moved = [replace(told(hours * 60 + n, done), run=1) for n, done in ((3, 2), (4, 4))]
    if hours < 0:
        moved[0] = replace(moved[0], done=7, busy_s=1.0)
    assert read(store, MINUTE_S) == sorted([before, *moved], key=lambda row: row.at)
    assert sum(p.done for p in read(store, TEN_S)) == sum(p.done for p in read(store, MINUTE_S))

"""A clock that was wrong: what it wrote is put right, and nothing is deleted by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from master.changes import QUEUE_RUN
from master.released import RELEASED_AT
from master.server.clock import HOLD_S, ClockWatch, is_plausible
from master.server.pruning import DAY_S, Pruning
from master.store.contract import Store
from master.turn.known import Known
from queue_manager.wire.records import NOBODY_COLLECTS
from tests.unit.master.store_records import (
    ENGINES,
    Engine,
    block,
    commit,
    engine_of,
    loaded,
    run_record,
    tracked,
)

TRUE = 1_800_000_000.0
"""A time that is right, UTC epoch in seconds."""
HOUR = 3_600.0


@pytest.fixture(params=ENGINES)
def engine(request: Any, tmp_path: Path) -> Iterator[Engine]:
    made = engine_of(request, tmp_path)
    yield made
    made.close()


def ended(store: Store, number: int, started_at: float, ended_at: float | None) -> None:
    state: Any = "active" if ended_at is None else "done"
    record = run_record(
        number, state=state, started_at=started_at, ended_at=ended_at, collected=NOBODY_COLLECTS
    )
    commit(store, runs={number: record})


def times(store: Store, *numbers: int) -> list[tuple[float, float | None]]:
    found = []
    for number in numbers:
        run = store.load_run(number)
        assert run is not None
        found.append((run.record.started_at, run.record.ended_at))
    return found


@pytest.mark.parametrize("wrong", [30.0, TRUE + 70 * 365 * DAY_S], ids=["1970", "far ahead"])
@pytest.mark.parametrize("boot", [7, 8], ids=["the same boot", "another boot"])
def test_what_a_wrong_clock_wrote_is_put_right_at_the_next_start(
    engine: Engine, wrong: float, boot: int
) -> None:
    """And what was written before, by a clock that was right, stays as it is."""
    store = engine.open()
    store.set_clock(6, TRUE - 500.0, TRUE)
    ended(store, 1, TRUE + 10, TRUE + 20)
    ended(store, 2, TRUE + 30, None)
    store = engine.open()
    store.set_clock(7, wrong - 100.0, wrong)  # the monotonic clock is at 100 s
    ended(store, 2, TRUE + 30, wrong + 200)
    ended(store, 3, wrong + 100, wrong + 300)
    store.note_clock(wrong + 310, TRUE + HOUR - wrong)
    store = engine.crash()
    right = TRUE + HOUR
    at = 500.0 if boot == 7 else 50.0
    store.set_clock(boot, right - 100.0 if boot == 7 else right + 500 - at, right + at - 100.0)
    assert times(store, 1, 2, 3) == [
        (TRUE + 10, TRUE + 20),
        (TRUE + 30, right + 200),
        (right + 100, right + 300),
    ]
    store = engine.open()
    store.set_clock(boot, right - 100.0 if boot == 7 else right + 500 - at, right + 900.0)
    assert times(store, 3) == [(right + 100, right + 300)]  # once


def test_what_was_moved_by_a_wrong_clock_goes_back_with_it(engine: Engine) -> None:
    """Nobody can tell that the first clock was the right one before it is there again."""
    ahead = 70 * 365 * DAY_S
    store = engine.open()
    store.set_clock(7, TRUE - 100.0, TRUE)
    ended(store, 1, TRUE + 10, TRUE + 20)
    store = engine.open()
    store.set_clock(7, TRUE - 100.0 + ahead, TRUE + ahead + 50)
    assert times(store, 1) == [(TRUE + ahead + 10, TRUE + ahead + 20)]
    ended(store, 2, TRUE + ahead + 60, TRUE + ahead + 70)
    store = engine.open()
    store.set_clock(7, TRUE - 100.0, TRUE + 90)
    assert times(store, 1, 2) == [(TRUE + 10, TRUE + 20), (TRUE + 60, TRUE + 70)]


def test_dead_letters_of_the_queue_run_are_as_old_as_they_are(engine: Engine) -> None:
    """They are deleted by their age; those of other runs go with these."""
    of = [block(n, n, 1, run=QUEUE_RUN) for n in (1, 2)]
    store = engine.open()
    store.set_clock(6, TRUE - 500.0, TRUE)
    commit(store, *of, tracked=tracked(of[0], 0, "dead", due_at=TRUE + 10))
    store = engine.open()
    store.set_clock(7, -70.0, 30.0)
    commit(store, tracked=tracked(of[1], 0, "dead", due_at=40.0))
    store = engine.open()
    store.set_clock(7, TRUE - 70.0, TRUE + 60.0)
    found = [store.read_task(QUEUE_RUN, task) for task in (1, 2)]
    assert [one.tracked.due_at for one in found if one and one.tracked] == [TRUE + 10, TRUE + 40]


def test_a_store_of_an_earlier_release_moves_nothing(engine: Engine) -> None:
    store = engine.open()
    store.set_clock(7, 100.0)
    ended(store, 1, 5.0, 9.0)
    store.set_clock(7, TRUE, TRUE + 50.0)
    assert times(store, 1) == [(5.0, 9.0)]
    assert loaded(store, 0) is not None


# --- whether it can be right ---


@pytest.mark.parametrize(
    ("wall", "seen_at", "right"),
    [
        (TRUE, 0.0, True),
        (TRUE, TRUE - HOUR, True),
        (TRUE, TRUE + 60.0, True),
        (30.0, 0.0, False),
        (RELEASED_AT - 1, 0.0, False),
        (TRUE, TRUE + 2 * HOUR, False),
        (TRUE + 2 * DAY_S, TRUE, False),
    ],
)
def test_a_clock_is_believed_when_it_can_be_right(wall: float, seen_at: float, right: bool) -> None:
    assert is_plausible(wall, seen_at) is right


class Rig:
    """A pruning over one ended run, and a clock watch."""

    def __init__(self, wall: float, seen_at: float, ended_at: float) -> None:
        self.now, self.behind = 100.0, wall - 100.0
        self.notes: list[tuple[float, float]] = []
        self.ended_at = ended_at
        self.asked: list[float] = []
        self.watch = ClockWatch(self, self.now, wall, seen_at)
        store = SimpleNamespace(old_runs=self._old_runs, mark=lambda *_: 0)
        broker = SimpleNamespace(runs={}, next_seq=1, chains=[])
        turn: Any = SimpleNamespace(
            broker=broker, store=store, trouble="", is_waiting=False, known=Known()
        )
        store.prune_queue = store.prune_letters = None
        turn.post = lambda step: None
        self.pruning = Pruning(turn, 30, Any)
        self.pruning.clock = self.watch
        self.pruning._again_at = float("inf")

    def _old_runs(self, ended_by: float, most: int) -> list[int]:
        self.asked.append(ended_by)
        return []

    def note_clock(self, wall: float, off_s: float) -> None:
        self.notes.append((wall, off_s))

    def tick(self, later_s: float, set_s: float = 0.0) -> bool:
        """Some time later, with the clock set by so much; whether the run would be pruned."""
        self.now += later_s
        wall = self.now + self.behind
        self.watch.tick(self.now, wall, wall + set_s)
        self.asked.clear()
        self.pruning.tick(self.now, wall)
        return any(self.ended_at <= by for by in self.asked)


def test_nothing_is_pruned_in_the_first_hour_after_a_jump() -> None:
    rig = Rig(TRUE, 50.0, TRUE - 40 * DAY_S)  # the master before this one wrote 1970
    assert not rig.tick(1.0)
    assert not rig.tick(HOLD_S - 2.0)
    assert rig.tick(2.0)


def test_a_clock_that_was_always_right_prunes_at_once() -> None:
    rig = Rig(TRUE, TRUE - 60.0, TRUE - 40 * DAY_S)
    assert rig.tick(1.0)
    assert rig.notes == []
    assert rig.tick(HOLD_S)
    assert rig.notes == [(TRUE + 1.0 + HOLD_S, 0.0)]


def test_a_clock_that_is_far_ahead_until_the_network_has_set_it_prunes_nothing() -> None:
    """Also later on in that life, when what is recorded is still in the time of that clock."""
    ahead = 70 * 365 * DAY_S
    rig = Rig(TRUE + ahead, TRUE - 60.0, TRUE - DAY_S)
    assert not rig.tick(60.0)
    for _ in range(3):
        assert not rig.tick(2 * HOLD_S, -ahead)
    assert rig.notes[0][1] == -ahead
    rig.ended_at = TRUE - 40 * DAY_S
    assert rig.tick(60.0, -ahead)


def test_a_clock_of_1970_prunes_nothing_before_and_after_it_is_set() -> None:
    rig = Rig(30.0, TRUE, TRUE - 40 * DAY_S)
    for later_s, set_s in ((60.0, 0.0), (60.0, TRUE), (2 * HOLD_S, TRUE)):
        assert not rig.tick(later_s, set_s)
    assert rig.notes[0] == (150.0, TRUE)

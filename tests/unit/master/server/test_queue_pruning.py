"""What has ended of the queue run goes with its age, read or not; what waits stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from master.changes import QUEUE_RUN, Delivered, OutcomeRecord, RunCounts
from master.failures import GroupsSought
from master.server.queue_pruning import QueuePruning
from master.stock.delivery import Delivery
from master.store.sqlite.engine import SqliteStore
from master.tries import Fate
from queue_manager import codec
from tests.asked import taken_keys
from tests.unit.master.store_records import block, commit, outcome, tracked, tracked_of

KEEP_S = 640.0


class Rig:
    """A store of sixteen single tasks of the queue run; of the first six the results are there.

    The master's clock stands at `wall`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.wall = folder, 1_000.0
        self.store = SqliteStore(folder)
        self.blocks = [block(n, n, 1, run=QUEUE_RUN, keys=[f"k{n}"]) for n in range(1, 17)]
        commit(self.store, *self.blocks, counts={0: RunCounts(16)})
        self.take_over()
        self.ended(*range(1, 7))

    def take_over(self) -> None:
        """As after a start of the master."""
        self.run = SimpleNamespace(id=0, dead=0, pruned=0, last_seq=self.store.next_seq - 1)
        broker = SimpleNamespace(
            runs={0: self.run}, next_seq=self.store.next_seq, delivered=self._delivered
        )
        self.turn: Any = SimpleNamespace(
            broker=broker,
            store=self.store,
            wake=lambda: None,
            gather=lambda reader: None,
            read_outcomes=lambda run, after, most: self.store.read_outcomes(0, after, most),
        )
        self.how_far: Any = None
        self.delivery = Delivery(self.turn)
        self.pruning = QueuePruning(self.turn, self.delivery, KEEP_S)

    def _delivered(self, how_far: Any) -> None:
        self.how_far = how_far

    def restart(self) -> None:
        """The master ends, or crashes: what readers have is on disk."""
        if self.how_far is not None:
            commit(self.store, delivered=self.how_far())
        self.store.close()
        self.store = SqliteStore(self.folder)
        self.take_over()

    def ended(self, *tasks: int) -> None:
        """Results of tasks come."""
        seqs = range(self.turn.broker.next_seq, self.turn.broker.next_seq + len(tasks))
        outcomes = [
            outcome(seq, self.blocks[task - 1], 0, 1) for seq, task in zip(seqs, tasks, strict=True)
        ]
        commit(self.store, outcomes=outcomes)
        self.turn.broker.next_seq += len(tasks)
        self.run.last_seq = self.turn.broker.next_seq - 1
        self.delivery.arrived(len(tasks))

    def later(self, wait_s: float, rows: int = 2) -> None:
        """Time passes, and what is too old goes."""
        self.wall += wait_s
        self.pruning.tick(self.wall, self.wall)
        while self.pruning.step(rows):
            pass

    def left(self) -> list[int]:
        """The tasks that are there."""
        return [n for n in range(1, 17) if self.store.read_task(0, n) is not None]

    def read(self) -> list[int]:
        """The outcomes that stock clients get, one after the other."""
        found = []
        while (item := self.delivery.take("reader")) is not None:
            found.append(item.seq)
            self.delivery.confirm("reader")
        return found


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.store.close()


def test_results_are_kept_for_as_long_as_those_of_other_runs(rig: Rig) -> None:
    rig.later(0.0)
    rig.ended(7, 8)
    rig.later(KEEP_S - 1)
    assert len(rig.left()) == 16
    rig.later(KEEP_S / 64)
    assert rig.left() == list(range(7, 17))
    rig.later(KEEP_S)
    assert rig.left() == list(range(9, 17)), "tasks that wait stay, however old they are"


def test_a_restart_does_not_make_results_younger(rig: Rig) -> None:
    rig.later(0.0)
    rig.restart()
    rig.later(KEEP_S)
    assert rig.left() == list(range(7, 17))


@pytest.mark.parametrize("restarts", [False, True])
def test_unread_results_go_too_and_are_not_counted_any_more(rig: Rig, restarts: bool) -> None:
    rig.later(0.0)
    rig.ended(7, 8)
    assert rig.delivery.take("reader") is not None  # all are in memory now
    rig.delivery.confirm("reader")
    assert rig.delivery.available == 7
    rig.later(KEEP_S)
    assert rig.delivery.available == 2
    if restarts:
        rig.restart()
        assert rig.delivery.available == 2
    assert rig.read() == [7, 8]
    rig.restart()
    assert rig.delivery.available == 0


def test_what_nobody_has_looked_at_since_the_start_goes_too(rig: Rig) -> None:
    rig.later(0.0)
    rig.restart()
    rig.ended(7)
    rig.later(KEEP_S)
    assert rig.delivery.available == 1
    assert rig.read() == [7]


def test_a_result_that_came_back_goes_too(rig: Rig) -> None:
    rig.later(0.0)
    rig.delivery.take("reader")
    assert rig.delivery.give_back("reader")
    rig.later(KEEP_S)
    assert rig.delivery.available == 0
    assert rig.read() == []


def test_results_that_were_put_without_a_task_go_too(rig: Rig) -> None:
    loose = outcome(7, rig.blocks[0], 0, 1)
    loose = type(loose)(7, 0, 0, 0, 0, 1, codec.encode_batch(["loose"]))
    commit(rig.store, outcomes=[loose])
    rig.turn.broker.next_seq = 8
    rig.delivery.arrived(1)
    rig.later(0.0)
    rig.later(KEEP_S)
    assert (rig.delivery.available, rig.store.read_outcomes(0, 0, 10**6)) == (0, ([], {}))


def test_a_key_is_free_again_when_its_task_is_gone(rig: Rig) -> None:
    rig.store._database.keys.limit = 0  # all of them are in the tree
    commit(rig.store, block(99, 99, 1, run=QUEUE_RUN, keys=["k99"]))
    rig.later(0.0)
    rig.later(KEEP_S)
    assert taken_keys(rig.store, 0, ["k1", "k6", "k7"]) == {"k7"}


def test_a_block_goes_when_the_youngest_of_its_tasks_is_too_old(rig: Rig) -> None:
    wide = block(50, 50, 3, run=QUEUE_RUN)
    commit(rig.store, wide, outcomes=[outcome(7, wide, 0, 1)])
    rig.turn.broker.next_seq = 8
    rig.later(0.0)
    rig.later(KEEP_S)
    commit(rig.store, tracked=tracked(wide, 2, "waiting"))
    commit(rig.store, outcomes=[outcome(8, wide, 1, 2)])
    rig.turn.broker.next_seq = 9
    rig.later(KEEP_S)
    rig.later(KEEP_S)
    assert rig.store.read_task(0, 50) is not None, "one of them waits"
    commit(rig.store, tracked=tracked(wide, 2, "dead", due_at=rig.wall))
    rig.later(KEEP_S - 1)
    assert (len(tracked_of(rig.store, 0)), rig.run.pruned) == (0, 0)
    rig.later(KEEP_S / 64)
    assert (rig.store.read_task(0, 50), rig.run.pruned) == (None, 1)


def test_dead_letters_go_and_the_counts_say_so(rig: Rig) -> None:
    dead = tracked(rig.blocks[9], 0, "dead", due_at=rig.wall)
    commit(rig.store, tracked=dead, counts={0: RunCounts(16, dead=1)})
    gone: list[int] = []
    rig.run.dead = 1
    rig.pruning.on_letters = gone.extend
    rig.later(KEEP_S - 1)
    assert 10 in rig.left()
    ((group, _),) = rig.store.find_groups(GroupsSought(2**62, 9)).groups
    assert (group.run, group.count) == (0, 1)
    rig.later(KEEP_S / 64)
    assert 10 not in rig.left()
    assert (rig.run.dead, rig.run.pruned) == (0, 1)
    assert gone == [10]
    (queue,) = rig.store.load()
    assert (queue.counts.dead, queue.counts.pruned) == (0, 1)
    assert rig.store.find_groups(GroupsSought(2**62, 9)).groups == []


def test_the_tries_of_a_task_go_with_it(rig: Rig) -> None:
    for number in (1, 2, 3):
        fate: dict[str, Any] = {"tries": number, "fate": Fate.FAILED}
        commit(rig.store, tracked=tracked(rig.blocks[8], 0, "waiting", **fate))
        state = "dead" if number == 3 else "waiting"
        commit(rig.store, tracked=tracked(rig.blocks[9], 0, state, due_at=rig.wall, **fate))
    rig.later(KEEP_S - 1)
    assert len(rig.store.read_tries(0, 10)) == 3
    rig.later(KEEP_S / 64)
    assert (len(rig.store.read_tries(0, 9)), rig.store.read_tries(0, 10)) == (3, [])
    assert rig.store._db.execute("SELECT DISTINCT task FROM tries").fetchall() == [(9,)]


def test_marks_are_few_and_move_with_the_clock(rig: Rig) -> None:
    for _ in range(300):
        rig.later(KEEP_S / 64)
    count = "SELECT COUNT(*), MAX(at) FROM marks"
    number, newest = rig.store._db.execute(count).fetchone()
    assert number <= 66
    rig.store.set_clock(5, 0.0)
    rig.store.set_clock(5, 9_000.0)
    assert rig.store._db.execute(count).fetchone()[1] == newest + 9_000.0


@pytest.mark.parametrize("step_s", [10.0, -10.0])
def test_marks_may_move_to_where_others_were(rig: Rig, step_s: float) -> None:
    """A clock that was set by as much as there is between two marks must not keep a master away."""
    for at in (1_000.0, 1_010.0, 1_020.0):
        rig.store.mark(at, int(at), KEEP_S)
    rig.store.set_clock(5, 0.0)
    rig.store.set_clock(5, step_s)
    marks = rig.store._db.execute("SELECT at, seq FROM marks ORDER BY at").fetchall()
    assert marks == [(at + step_s, at) for at in (1_000.0, 1_010.0, 1_020.0)]


def test_a_start_sums_up_nothing(rig: Rig) -> None:
    rig.restart()
    said: list[str] = []
    rig.store._db.set_trace_callback(said.append)
    rig.store._begin()
    assert rig.store.delivered == Delivered(left=6)
    assert not [text for text in said if "SUM(" in text]


def test_tasks_that_were_done_without_a_result_go_without_being_counted(rig: Rig) -> None:
    nothing = OutcomeRecord(rig.turn.broker.next_seq, 0, 7, 7, 0, 1, codec.NOTHING)
    commit(rig.store, outcomes=[nothing])
    rig.turn.broker.next_seq += 1
    rig.run.last_seq = nothing.seq
    rig.later(0.0)
    rig.later(2 * KEEP_S)
    assert rig.left() == list(range(8, 17))
    assert rig.delivery.available == 0
    rig.restart()
    assert rig.delivery.available == 0

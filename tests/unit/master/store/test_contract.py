"""What every store must do with the state: each test runs over each engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from master.changes import (
    QUEUE_RUN,
    Changes,
    CollectCursor,
    Delivered,
    GivenArguments,
    GroupRecord,
    Place,
    QuotaCounts,
    RunCounts,
    RunState,
)
from master.scheduled import ScheduleRecord
from master.store.contract import Store
from master.store.sqlite.engine import SqliteStore
from queue_manager import codec
from queue_manager.errors import StoreError
from queue_manager.wire.records import GroupLimit, RunOptions
from tests.asked import block_states, code_of, quota_of, run_of_key, taken_keys
from tests.memory_store import MemoryStore
from tests.unit.master.store_records import (
    LIMITED,
    Engine,
    block,
    commit,
    drop_all,
    loaded,
    outcome,
    ranges,
    revived,
    run_record,
    tracked,
    tracked_of,
)

# --- what is there after opening ---


def test_a_new_store_has_the_queue_run_and_nothing_else(store: Store) -> None:
    (found,) = store.load()
    assert (found.record.id, found.record.state) == (QUEUE_RUN, "active")
    assert found.counts == RunCounts()
    assert (store.next_run, store.next_block, store.next_seq) == (1, 1, 1)
    assert (store.delivered, store.workers) == (Delivered(), set())


def test_a_store_has_a_number_that_it_keeps_and_no_other_has(engine: Engine) -> None:
    known = engine.open().identity
    assert known
    assert engine.crash().identity == known
    assert MemoryStore().identity != MemoryStore().identity


def test_two_files_have_two_numbers(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / name) for name in ("a", "b")]
    assert stores[0].identity != stores[1].identity
    for store in stores:
        store.close()


def test_each_opening_has_an_epoch_of_its_own(engine: Engine) -> None:
    assert [engine.open().epoch, engine.crash().epoch, engine.open().epoch] == [1, 2, 3]


def test_numbers_go_on_where_they_were(engine: Engine) -> None:
    one = block(4, 1, 2)
    commit(engine.open(), one, outcomes=[outcome(9, one, 0, 1)], runs={6: run_record(6)})
    store = engine.crash()
    assert (store.next_run, store.next_block, store.next_seq) == (7, 5, 10)


def test_a_block_that_grew_waits_with_all_its_tasks(engine: Engine) -> None:
    store = engine.open()
    before, after = block(4, 1, 2), block(4, 1, 3)
    commit(store, before, runs={1: run_record()})
    commit(store, grown={4: after})
    store = engine.crash()
    (found,) = store.read_waiting(1, None, None, 9)[0]
    assert (found.id, found.ranges) == (4, [(0, 3)])
    assert store.read_body(4) == after.body


def test_a_run_comes_back_as_it_was_written_last(engine: Engine) -> None:
    store = engine.open()
    commit(store, runs={1: run_record(key="k")})
    last = run_record(key="k", state="cancelled", exhausted=True, ended_at=2.5, collected=3)
    last = replace(last, collect_cursor=CollectCursor(3, 2))
    last = replace(last, collect_errors=4, version="v", cancelled=5, after=[3, 2**40])
    last = replace(last, waits_for=[2**40], arguments=GivenArguments(b"\x80\x00", ["a=1"]))
    commit(store, runs={1: replace(last, options=LIMITED)})
    assert [found.record for found in engine.crash().load()][1:] == [replace(last, options=LIMITED)]


def test_what_a_run_needs_comes_back(engine: Engine) -> None:
    store = engine.open()
    record = run_record(options=RunOptions(needs=["bigmem", "gpu"]))
    commit(store, runs={1: record})
    assert [found.record for found in engine.crash().load()][1:] == [record]


def test_counts_and_runs_do_not_overwrite_each_other(engine: Engine) -> None:
    store = engine.open()
    counts = RunCounts(6, 5, 4, 3, 2, 1)
    commit(store, runs={1: run_record()}, counts={1: counts, QUEUE_RUN: RunCounts(9)})
    commit(store, runs={1: run_record(exhausted=True)})
    found = loaded(engine.open())
    assert found is not None
    assert (found.counts, found.record.exhausted) == (counts, True)
    commit(engine.open(), counts={1: RunCounts(7)})
    store = engine.open()
    found, queue = loaded(store), loaded(store, QUEUE_RUN)
    assert found is not None
    assert queue is not None
    assert (found.counts, found.record) == (RunCounts(7), run_record(exhausted=True))
    assert queue.counts == RunCounts(9)


def test_workers_and_delivery_are_known_after_a_restart(engine: Engine) -> None:
    store = engine.open()
    commit(store, workers={"a": True, "b": True}, delivered=Delivered(12, 3, ((7, 0), (9, 2))))
    commit(store, workers={"a": True, "b": False, "c": False})
    store = engine.crash()
    assert (store.workers, store.delivered) == ({"a"}, Delivered(12, 3, ((7, 0), (9, 2))))
    commit(store, delivered=Delivered(13, 0))
    store = engine.crash()
    assert store.delivered == Delivered(13, 0)


# --- commits ---


@pytest.mark.parametrize(
    "bad",
    [
        Changes(blocks=[block(2, 3, 2), block(1, 9, 1)]),  # number 1 is taken
        Changes(blocks=[block(2, 3, 2, priority=2**63)]),
        Changes(blocks=[block(2, 3, 1, keys=["a"])]),  # so is the key
        Changes(blocks=[block(2, 3, 2, keys=["c", "c"])]),
        Changes(blocks=[block(2, 3, 1, keys=["c"]), block(3, 4, 1, keys=["c"])]),
        Changes(blocks=[block(2, 3, 2)], runs={2: run_record(2, key="k")}),  # and this
        Changes(blocks=[block(2, 3, 2)], forgotten={QUEUE_RUN}),
    ],
    ids=["number", "integer", "key", "keys", "keys of blocks", "key of a run", "queue run"],
)
def test_a_commit_that_fails_leaves_nothing_and_the_next_one_works(
    engine: Engine, bad: Changes
) -> None:
    store = engine.open()
    commit(store, block(1, 1, 2, keys=["a", "b"]), runs={1: run_record(key="k")})
    bad.outcomes.append(outcome(5, block(1, 1, 2), 0, 1))
    bad.workers["w"] = True
    with pytest.raises(StoreError):
        store.commit(bad)
    assert ranges(store) == [(1, [(0, 2)])]
    assert store.read_outcomes(1, 0, 10**6) == ([], {})
    assert (run_of_key(store, "k"), loaded(store, 2)) == (1, None)
    commit(store, block(3, 3, 1))
    assert ranges(store) == [(1, [(0, 2)]), (3, [(0, 1)])]
    assert engine.crash().workers == set()


def test_more_rows_than_one_statement_takes_are_all_there(store: Store) -> None:
    commit(store, *[block(n, n, 1, keys=[f"k{n}"]) for n in range(1, 2_001)])
    assert len(ranges(store)) == 2_000
    assert taken_keys(store, 1, [f"k{n}" for n in range(2_002)]) == {
        f"k{n}" for n in range(1, 2_001)
    }


def test_keys_are_taken_in_their_run_only(store: Store) -> None:
    commit(store, block(1, 1, 2, keys=["a", "b"]))
    assert taken_keys(store, 1, ["a", "c", "a"]) == {"a"}
    assert taken_keys(store, 2, ["a"]) == set()
    assert taken_keys(store, 1, []) == set()


def test_keys_of_a_commit_that_failed_are_free(engine: Engine) -> None:
    store = engine.open()
    commit(store, block(1, 1, 1, keys=["a"]))
    assert taken_keys(store, 1, ["a", "b", "c"]) == {"a"}
    with pytest.raises(StoreError):
        commit(store, block(1, 2, 2, keys=["b", "c"]))
    assert taken_keys(store, 1, ["a", "b", "c"]) == {"a"}
    commit(store, block(2, 2, 1, keys=["b"]))
    with pytest.raises(StoreError):
        commit(store, block(3, 3, 2, keys=["b", "c"]))
    assert taken_keys(engine.crash(), 1, ["a", "b", "c"]) == {"a", "b"}


def test_quotas_of_a_run_are_as_they_were_counted_last(engine: Engine) -> None:
    store = engine.open()
    assert (quota_of(store, 1, "b"), store.quotas(1, 9)) == (QuotaCounts(), {})
    commit(store, quotas={(1, "b"): QuotaCounts(1, 0), (1, "a"): QuotaCounts(9, 1)})
    commit(store, quotas={(1, "b"): QuotaCounts(5, 2), (2, "b"): QuotaCounts(3, 4)})
    assert quota_of(store, 1, "b") == quota_of(engine.crash(), 1, "b") == QuotaCounts(5, 2)
    store = engine.open()
    assert store.quotas(1, 9) == {"a": QuotaCounts(9, 1), "b": QuotaCounts(5, 2)}
    assert list(store.quotas(1, 1)) == ["a"]
    assert quota_of(store, 2, "b") == QuotaCounts(3, 4)


def test_a_run_is_found_by_its_key(store: Store) -> None:
    commit(store, runs={1: run_record(), 2: run_record(2, key="k")})
    assert (run_of_key(store, "k"), run_of_key(store, "other")) == (2, None)


# --- the window ---


def test_waiting_ranges_leave_out_what_ended_or_strayed(store: Store) -> None:
    one, two = block(1, 1, 10), block(2, 11, 4)
    commit(store, one, two, outcomes=[outcome(1, one, 0, 2), outcome(2, one, 4, 6)])
    commit(
        store,
        tracked=tracked(one, 7) | tracked(one, 4, "done") | tracked(one, 9, "dead"),
    )
    assert ranges(store) == [(1, [(2, 4), (6, 7), (8, 9)]), (2, [(0, 4)])]


def test_blocks_that_have_ended_are_passed_over(store: Store) -> None:
    one, two, three = block(1, 1, 2), block(2, 3, 2), block(3, 5, 2)
    commit(store, one, two, three)
    commit(
        store,
        outcomes=[outcome(1, one, 0, 2)],
        tracked=tracked(two, 0) | tracked(two, 1, "dead"),
    )
    assert ranges(store) == [(3, [(0, 2)])]
    commit(store, outcomes=[outcome(2, three, 0, 2)], tracked=tracked(two, 0, "dead"))
    assert store.read_waiting(1, None, Place(0, 2), 1_000) == ([], None)


def test_a_task_waits_however_many_others_have_ended(store: Store) -> None:
    """Also one that has an outcome and is tracked nevertheless."""
    blocks = [block(n, 3 * n, 3) for n in range(1, 401)]
    commit(store, *blocks)
    ended = [outcome(b.id, b, 0, 2) for b in blocks]
    records = {key: value for b in blocks for key, value in tracked(b, 1).items()}
    commit(store, outcomes=ended, tracked=records)
    commit(store, outcomes=[outcome(1_000 + b.id, b, 2, 3) for b in blocks[:300]])
    assert ranges(store) == [(b.id, [(2, 3)]) for b in blocks[300:]]


def test_the_highest_priority_comes_first_then_the_oldest(store: Store) -> None:
    priorities = {1: 0, 2: 5, 3: -1, 4: 5, 5: 0}
    commit(store, *[block(n, n, 1, priority=p) for n, p in priorities.items()], block(6, 1, 1, 2))
    found, last = store.read_waiting(1, None, None, 100)
    assert ([(b.priority, b.id) for b in found], last) == (
        [(5, 2), (5, 4), (0, 1), (0, 5), (-1, 3)],
        None,
    )
    assert [b for b, _ in ranges(store, after=Place(5, 2))] == [4, 1, 5, 3]
    assert [b for b, _ in ranges(store, after=Place(3, 99))] == [1, 5, 3]
    assert [b for b, _ in ranges(store, after=Place(0, 1))] == [5, 3]
    assert ranges(store, run=2) == [(6, [(0, 1)])]


def test_each_group_waits_by_itself(store: Store) -> None:
    groups = {1: "b", 2: None, 3: "a", 4: "b", 5: ""}
    commit(store, *[block(n, n, 1, group=g) for n, g in groups.items()])
    commit(store, block(6, 6, 1, group="b", priority=1))
    found = {g: [b for b, _ in ranges(store, group=g)] for g in ("a", "b", "", "c", None)}
    assert found == {"a": [3], "b": [6, 1, 4], "": [5], "c": [], None: [2]}
    assert [b for b, _ in ranges(store, group="b", after=Place(1, 6))] == [1, 4]


def test_reading_ahead_stops_when_enough_is_found_and_says_where(store: Store) -> None:
    blocks = [block(n, 10 * n, 10, priority=-(n // 3)) for n in range(1, 6)]
    commit(store, *blocks)
    found, last = store.read_waiting(1, None, None, 15)
    assert ([b.id for b in found], last) == ([1, 2], Place(0, 2))
    found, last = store.read_waiting(1, None, last, 10)
    assert ([b.id for b in found], last) == ([3], Place(-1, 3))
    assert store.read_waiting(1, None, last, 20)[1] is None
    commit(store, outcomes=[outcome(b.id, b, 0, 10) for b in blocks[3:]])
    assert store.read_waiting(1, None, Place(0, 2), 10)[1] is None  # nothing but ended ones


def test_groups_come_with_the_most_urgent_first_and_by_name(engine: Engine) -> None:
    store = engine.open()
    priorities = [("b", -2), ("a", 3), ("a", 7), ("a", 3), ("c", 0), ("b", 3), (None, 9)]
    blocks = [
        block(n, n, 1, group=g, priority=priority) for n, (g, priority) in enumerate(priorities, 1)
    ]
    commit(store, *blocks, block(99, 1, 1, run=2, group="other"), runs={1: run_record()})
    store = engine.crash()
    order = [(7, "a"), (3, "a"), (3, "b"), (0, "c"), (-2, "b")]
    assert store.next_groups(1, None, 9) == (order, True)
    assert store.next_groups(1, None, 2) == (order[:2], False)
    assert store.next_groups(1, (3, "a"), 2) == (order[2:4], False)
    assert store.next_groups(1, (0, "zzz"), 2) == (order[4:], True)
    assert store.next_groups(3, None, 9) == ([], True)


def test_groups_come_with_those_of_their_strays_that_are_due(engine: Engine) -> None:
    store = engine.open()
    blocks = [block(n, n, 1, group=g) for n, g in enumerate(("x", "y", None, "x", "z"), 1)]
    commit(store, *blocks)
    for one, due_at in zip(blocks, (5.0, 3.0, 1.0, 5.0, 9.0), strict=True):
        commit(store, tracked=tracked(one, 0, due_at=due_at))
    store = engine.crash()
    first = (float("-inf"), 0)
    assert store.due_groups(1, first, 5.0, 9) == (["y", "x", "x"], (5.0, 4), 9.0)
    assert store.due_groups(1, first, 5.0, 1) == (["y"], (3.0, 2), 5.0)
    assert store.due_groups(1, first, 2.0, 9) == ([], first, 3.0)
    assert store.due_groups(1, (5.0, 4), 9.0, 9) == (["z"], (9.0, 5), None)
    assert store.due_groups(1, (9.0, 5), 99.0, 9) == ([], (9.0, 5), None)


# --- tracked tasks ---


def test_what_groups_have_of_their_own_comes_back_with_an_active_limited_run(
    engine: Engine,
) -> None:
    store = engine.open()
    paused, slow = GroupRecord(None, 9.0, 109.0), GroupRecord(GroupLimit(None, 0.5), 1.0, 2.0)
    runs = {1: run_record(options=LIMITED), 2: run_record(2, options=LIMITED, state="done")}
    groups = {(n, g): record for n in (1, 2) for g, record in {"a": paused, "b": slow}.items()}
    commit(store, runs=runs, groups={(1, "a"): slow})
    commit(store, groups=groups | {(1, "c"): GroupRecord(GroupLimit(2))})
    store = engine.crash()
    own = {"a": paused, "b": slow}
    found = [loaded(store, run) for run in (1, 2)]
    assert [f and f.own for f in found] == [own | {"c": GroupRecord(GroupLimit(2))}, {}]
    assert store.own_groups(2) == own


def test_pauses_of_groups_are_capped_moved_along_and_forgotten_when_they_are_over(
    store: Store,
) -> None:
    limit = GroupLimit(1)
    pauses = {"a": (None, 9.0, 150.0), "b": (limit, 9.0, 150.0), "c": (None, 9.0, 90.0)}
    pauses |= {"d": (limit, 9.0, 90.0), "e": (limit, 0.0, 0.0)}
    commit(store, groups={(1, group): GroupRecord(*own) for group, own in pauses.items()})
    store.cap_delays(100.0)
    right = {"a": (None, 9.0, 109.0), "b": (limit, 9.0, 109.0)}
    right |= {"d": (limit, 9.0, 90.0), "e": (limit, 0.0, 0.0)}
    assert store.own_groups(1) == {group: GroupRecord(*own) for group, own in right.items()}
    store.set_clock(7, 1_000.0)
    store.set_clock(7, 1_050.0)
    assert [own.due_at for own in store.own_groups(1).values()] == [159.0, 159.0, 140.0, 0.0]


def test_a_stray_comes_back_as_it_was_recorded_last(engine: Engine) -> None:
    store = engine.open()
    one = block(1, 1, 2, priority=4, group="g")
    commit(store, one, tracked=tracked(one, 1))
    fields = {"attempts": 2, "losses": 1, "delay_s": 5.0, "due_at": 77.0, "lease": 2**33}
    last = tracked(one, 1, **fields, error="bad", worker="w", evidence="trace", printed="out")
    commit(store, tracked=last)
    store = engine.crash()
    found = store.read_task(1, 2)
    assert found is not None
    assert found.tracked == last[1, 2]
    bare = replace(last[1, 2], evidence="", printed="")
    assert tracked_of(store, group="g") == [bare]
    (state,) = block_states(store, {1: (0, 9), 2: (0, 9)}).values()
    assert (state.tracked, state.waiting) == ([bare], [(0, 1)])
    assert (state.run, state.first, state.count, state.priority, state.group) == (1, 1, 2, 4, "g")


def test_many_blocks_are_read_at_once_each_as_it_stands(store: Store) -> None:
    blocks = [block(n, 1 + 4 * (n - 1), 4, priority=n % 3) for n in range(1, 1_201)]
    ended = [outcome(n, blocks[n - 1], n % 4, n % 4 + 1) for n in range(1, 1_201, 2)]
    records = tracked(blocks[1], 3, "dead") | tracked(blocks[1], 0) | tracked(blocks[700], 1)
    commit(store, *blocks, outcomes=ended, tracked=records)
    found = block_states(store, {n: (0, 2**70) for n in (*range(-3, 1_300), 2**63)})
    assert sorted(found) == list(range(1, 1_201))
    assert found[2].waiting == [(1, 3)]
    assert [s.position for s in found[2].tracked] == [0]
    assert found[701].waiting == [(0, 1), (2, 4)]
    assert found[1_199].waiting == [(0, 3)]
    assert found[1_200].waiting == [(0, 4)]
    assert {state.id: state for state in found.values()} == found
    part = block_states(store, {1: (0, 1), 2: (1, 2), 3: (3, 9), 701: (1, 3), 1_200: (9, 12)})
    waits = {n: (state.waiting, len(state.tracked)) for n, state in part.items()}
    assert waits == {
        1: ([(0, 1)], 0),
        2: ([(1, 2)], 0),
        3: ([], 0),
        701: ([(2, 3)], 1),
        1_200: ([], 0),
    }


def test_strays_come_as_they_are_due_in_pages_of_their_group(store: Store) -> None:
    one, other = block(1, 1, 6), block(2, 1, 1, run=2)
    due = {0: 5.0, 1: 3.0, 2: 5.0, 3: 1.0}
    records = {k: s for p, at in due.items() for k, s in tracked(one, p, due_at=at).items()}
    dead, grouped = tracked(one, 4, "dead"), tracked(one, 5, due_at=2.0, group="g")
    commit(store, one, other, tracked=records | dead | grouped | tracked(other, 0))
    found, last = store.read_tracked(1, None, None, 3)
    assert ([s.task for s in found], last) == ([4, 2, 1], (5.0, 1))
    found, last = store.read_tracked(1, None, last, 3)
    assert ([s.task for s in found], last) == ([3], None)
    assert store.read_tracked(1, None, None, 4)[1] is None
    assert [s.task for s in tracked_of(store, group="g")] == [6]


def test_no_delay_is_longer_than_it_was_when_the_clock_is_set_back(store: Store) -> None:
    one = block(1, 1, 4)
    records = tracked(one, 0, delay_s=5.0, due_at=3_605.0) | tracked(
        one, 1, delay_s=9.0, due_at=7.0
    )
    records |= tracked(one, 2, delay_s=0.0, due_at=3_600.0)
    records |= tracked(one, 3, "dead", delay_s=0.0, due_at=3_600.0)
    commit(store, one, tracked=records, runs={1: run_record()})
    store.cap_delays(10.0)
    assert [(s.task, s.due_at) for s in tracked_of(store)] == [(2, 7.0), (3, 10.0), (1, 15.0)]


def test_the_end_of_a_delay_moves_along_when_the_wall_clock_is_set_within_a_boot(
    store: Store,
) -> None:
    one = block(1, 1, 2)
    records = tracked(one, 0, delay_s=12.0, due_at=5_012.0) | tracked(
        one, 1, "dead", due_at=5_000.0
    )
    commit(store, one, tracked=records, runs={1: run_record()})
    dues = []
    for boot, behind_s in [(7, 100.0), (7, 100.9), (7, -3_500.0), (8, 900.0), (0, 0.0), (0, 50.0)]:
        store.set_clock(boot, behind_s)
        dues.append([s.due_at for s in tracked_of(store)])
    assert dues == [[5_012.0]] * 2 + [[1_412.0]] * 4


def test_dead_letters_wait_again_when_their_run_is_revived(store: Store) -> None:
    one, other = block(1, 1, 4), block(2, 1, 1, run=2)
    fields = {"attempts": 3, "losses": 2, "delay_s": 4.0, "due_at": 1.0, "evidence": "trace"}
    dead = tracked(one, 0, "dead", **fields) | tracked(one, 1, "dead", **fields)
    rest = tracked(one, 2, "done") | tracked(one, 3, due_at=9.0) | tracked(other, 0, "dead")
    commit(store, one, other, tracked=dead | rest, runs={1: run_record(), 2: run_record(2)})
    again = tracked(one, 1, "dead", error="again")
    commit(store, revived=revived(50.0), tracked=again)
    found = {s.task: s for s in tracked_of(store)}
    assert found.keys() == {1, 4}
    assert (found[1].attempts, found[1].losses, found[1].delay_s, found[1].due_at) == (0, 0, 0, 50)
    assert found[4].due_at == 9.0
    task = store.read_task(1, 1)
    assert task is not None
    assert task.tracked is not None
    assert task.tracked.evidence == "trace"
    (letters,) = store.read_results(1, 0, 10**6, dead=True)[0]
    assert [letter.task for letter in letters.dead] == [2]
    assert tracked_of(store, run=2) == []


# --- what goes ---


@pytest.mark.parametrize("pruned", [False, True], ids=["forgotten", "pruned"])
def test_runs_that_go_leave_nothing_but_their_numbers(engine: Engine, pruned: bool) -> None:
    store = engine.open()
    gone, kept = block(1, 1, 10, keys=list("abcdefghij")), block(2, 1, 2, run=2, keys=["a", "b"])
    runs = {1: run_record(key="k", state="done"), 2: run_record(2)}
    commit(store, gone, kept, block(3, 11, 1), runs=runs, outcomes=[outcome(1, kept, 0, 1)])
    commit(store, outcomes=[outcome(n + 2, gone, n, n + 1) for n in range(9)])
    commit(store, tracked=tracked(gone, 9, "dead") | tracked(kept, 1))
    commit(store, quotas={(n, "q"): QuotaCounts(1, 1) for n in (1, 2)})
    commit(store, groups={(n, "g"): GroupRecord(GroupLimit(1)) for n in (1, 2)})
    if pruned:
        commit(store, runs={1: replace(runs[1], state=RunState.PRUNED)})
    else:
        commit(store, forgotten={1}, counts={1: RunCounts(1)})
    found = loaded(store)
    assert (found.record.state if found else "gone") == ("pruned" if pruned else "gone")
    assert run_of_key(store, "k") == (1 if pruned else None)
    assert store.drop_some(1)
    store = engine.crash()
    assert store.drop_some(1)  # it goes on after a restart
    drop_all(store, 4)
    assert not store.drop_some(4)
    assert (store.read_body(2), ranges(store)) == (kept.body, [])
    assert store.read_results(1, 0, 10**6) == ([], 0, True)
    assert store.read_outcomes(1, 0, 10**6) == ([], {})
    assert (store.quotas(1, 9), quota_of(store, 2, "q")) == ({}, QuotaCounts(1, 1))
    assert (store.own_groups(1), len(store.own_groups(2))) == ({}, 1)
    assert (store.read_task(1, 1), taken_keys(store, 1, ["a"])) == (None, set())
    assert (len(tracked_of(store, 2)), taken_keys(store, 2, ["a"])) == (1, {"a"})
    assert len(store.read_outcomes(2, 0, 10**6)[0]) == 1
    store = engine.open()
    assert (store.next_run, store.next_block, store.next_seq) == (3, 4, 11)


def test_the_key_of_a_forgotten_run_can_be_given_in_the_same_turn(store: Store) -> None:
    commit(store, runs={1: run_record(key="k", state="done")})
    last = run_record(key="k", state="done", collected=1)
    commit(store, forgotten={1}, runs={1: last, 2: run_record(2, key="k")})
    assert (run_of_key(store, "k"), loaded(store)) == (2, None)


def test_a_full_memory_store_keeps_nothing_of_a_commit() -> None:
    store = MemoryStore()
    store.full = True
    with pytest.raises(StoreError, match="full"):
        commit(store, block(1, 1, 2), workers={"w": True})
    store = store.reopen()
    assert (ranges(store), store.workers, store.epoch, store.full) == ([], set(), 2, False)


def test_payloads_are_read_by_the_number_of_their_block(store: Store) -> None:
    commit(store, block(1, 1, 3), block(2, 4, 3))
    assert codec.decode_batch(store.read_body(2)) == [4, 5, 6]
    with pytest.raises(StoreError, match="no block 3"):
        store.read_body(3)


# --- uploaded code ---


FILES = {"f.py": b"def work(n): ...", "f.pickle": b"\0"}


def test_uploaded_code_is_there_for_the_last_run_that_has_it(engine: Engine) -> None:
    store = engine.open()
    one, two = (run_record(run, version="a", uploaded=True) for run in (1, 2))
    commit(store, runs={1: one, 2: two}, code={"a": FILES})
    commit(store, runs={3: run_record(3, version="b", uploaded=True)}, code={"b": {"g.py": b""}})
    store = engine.crash()
    assert code_of(store, "a", "b", "c") == {"a": FILES, "b": {"g.py": b""}}
    found = loaded(store, 2)
    assert found is not None
    assert (found.record.uploaded, found.record.version) == (True, "a")
    commit(store, forgotten={1})
    assert code_of(store, "a") == {"a": FILES}
    commit(store, runs={2: replace(two, state=RunState.PRUNED)})
    store = engine.crash()
    assert code_of(store, "a", "b") == {"b": {"g.py": b""}}


def test_a_run_that_takes_other_code_leaves_the_old(engine: Engine) -> None:
    store = engine.open()
    run = run_record(1, version="a", uploaded=True)
    commit(store, runs={1: run}, code={"a": FILES})
    commit(store, runs={1: run})
    commit(store, runs={1: replace(run, exhausted=True)})
    assert code_of(store, "a") == {"a": FILES}
    commit(store, runs={1: replace(run, version="b")}, code={"b": {}})
    assert code_of(store, "a", "b") == {"b": {}}
    commit(store, runs={1: replace(run, version="a")}, code={"a": FILES})
    assert code_of(engine.crash(), "a", "b") == {"a": FILES}


def test_a_file_of_the_same_version_keeps_no_uploaded_code(engine: Engine) -> None:
    store = engine.open()
    commit(store, runs={1: run_record(1, version="a", uploaded=True)}, code={"a": FILES})
    commit(store, runs={2: run_record(2, version="a")})
    commit(store, forgotten={1})
    assert code_of(store, "a") == {}


# --- schedules ---


def test_schedules_are_there_after_a_restart_and_go_when_they_are_removed(engine: Engine) -> None:
    store = engine.open()
    nightly = ScheduleRecord(
        "nightly", "0 3 * * *", "job", ["a=1"], "Europe/Berlin", "all", "queue", True, True, 5.5
    )
    nightly = replace(nightly, waiting=[1.5, 2.5], last_slot=1.5, last_run=7, skipped=3)
    nightly = replace(nightly, note="left out", trouble="broken")
    changes = Changes(schedules={"nightly": nightly, "a": ScheduleRecord("a", "@daily", "job")})
    assert changes.must_commit
    store.commit(changes)
    store = engine.open()
    assert store.schedules() == [ScheduleRecord("a", "@daily", "job"), nightly]
    later = replace(nightly, cursor=9.0)
    store.commit(Changes(schedules={"nightly": later, "a": None}))
    assert store.schedules() == [later]


def test_a_schedule_and_its_run_are_on_disk_together_or_not_at_all(engine: Engine) -> None:
    store = engine.open()
    store.commit(Changes(runs={1: run_record(1, key="k")}))
    slot = {"a": ScheduleRecord("a", "@daily", "job", cursor=9.0)}
    with pytest.raises(StoreError):
        store.commit(Changes(runs={2: run_record(2, key="k")}, schedules=slot))
    assert store.schedules() == []


# --- what is told of it ---


def test_when_blocks_came_is_there_after_a_restart_and_moves_with_the_clock(
    engine: Engine,
) -> None:
    store = engine.open()
    assert store.accepted_marks() == []
    store.commit(Changes(accepted=[(1, 10.5), (7, 20.0)], runs={1: run_record()}))
    commit(store, block(1, 1, 2))
    store = engine.open()
    assert store.accepted_marks() == [(1, 10.5), (7, 20.0)]
    store.set_clock(7, 100.0)
    store.set_clock(7, 160.0)
    assert store.accepted_marks() == [(1, 70.5), (7, 80.0)]
    store.commit(Changes(accepted=[(9, 90.0)], runs={1: run_record()}))
    assert store.accepted_marks() == [(9, 90.0)]


def test_ended_runs_are_counted_by_state_and_job_with_their_dead_letters(store: Store) -> None:
    runs = {
        1: run_record(1, state=RunState.FAILED),
        2: run_record(2, state=RunState.FAILED),
        3: run_record(3, state=RunState.DONE),
        4: run_record(4, state=RunState.PRUNED),
        5: run_record(5),
        6: replace(run_record(6, state=RunState.DONE), job="other"),
    }
    dead = {1: RunCounts(dead=3), 2: RunCounts(dead=4), 5: RunCounts(dead=9)}
    store.commit(Changes(runs=runs, counts=dead))
    assert sorted(store.runs_ended()) == [
        ("done", "job", 1, 0),
        ("done", "other", 1, 0),
        ("failed", "job", 2, 7),
    ]

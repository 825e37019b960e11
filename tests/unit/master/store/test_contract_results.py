"""What every store must do with what has ended, over each engine."""

from __future__ import annotations

import pytest

from master.changes import CANCELLED, QUEUE_RUN, Delivered, OutcomeRecord, TrackedRecord
from master.reads import LettersSought
from master.store.contract import Store
from queue_manager import codec
from queue_manager.wire.failures import FailureFilter
from tests.asked import all_chosen, all_letters, chosen_letters
from tests.unit.master.store_records import (
    Engine,
    block,
    commit,
    outcome,
    ranges,
    revived,
    run_record,
    tracked,
    tracked_of,
)

# --- outcomes ---


def test_outcomes_come_in_order_with_the_payloads_of_their_blocks(store: Store) -> None:
    one, two = block(1, 1, 4), block(2, 5, 4)
    commit(store, one, two, outcomes=[outcome(n, b, n, n + 1) for n, b in enumerate((two, one))])
    other = block(3, 1, 1, run=2)
    commit(store, other, outcomes=[outcome(2, other, 0, 1), outcome(3, two, 3, 4)])
    found, bodies = store.read_outcomes(1, -1, 10**6)
    assert [o.seq for o in found] == [0, 1, 3]
    assert {first: codec.decode_batch(data)[0] for first, data in bodies.items()} == {1: 1, 5: 5}
    assert [o.seq for o in store.read_outcomes(1, 1, 10**6)[0]] == [3]


def test_a_page_of_outcomes_ends_after_about_so_many_bytes(store: Store) -> None:
    one = block(1, 1, 1_000)
    commit(store, one, outcomes=[outcome(n + 1, one, n, n + 1) for n in range(1_000)])
    found, _ = store.read_outcomes(1, 0, 20_000)
    assert 1 < len(found) < 200
    assert store.read_outcomes(1, 0, 1)[0]  # never an empty one


def test_a_result_without_a_task_is_an_outcome_of_its_run(engine: Engine) -> None:
    loose = OutcomeRecord(1, QUEUE_RUN, 0, 0, 0, 1, codec.encode_batch(["loose"]))
    commit(engine.open(), outcomes=[loose])
    store = engine.crash()
    assert store.read_outcomes(QUEUE_RUN, 0, 10**6) == ([loose], {})
    assert store.read_last_outcomes(QUEUE_RUN, 5) == ([loose], {})
    assert store.read_results(QUEUE_RUN, 0, 10**6) == ([], 0, True)


def test_tasks_that_are_done_without_a_result_leave_nothing_to_read(engine: Engine) -> None:
    store = engine.open()
    one = block(1, 1, 3, run=QUEUE_RUN)
    nothing = OutcomeRecord(2, QUEUE_RUN, 1, 1, 1, 2, codec.NOTHING)
    commit(store, one, outcomes=[outcome(1, one, 0, 1), nothing, outcome(3, one, 2, 3)])
    store = engine.crash()
    assert store.delivered == Delivered(left=2)
    assert [o.readable for o in store.read_outcomes(QUEUE_RUN, 0, 10**6)[0]] == [1, 0, 1]


def test_results_that_nobody_was_given_are_counted_as_they_come(engine: Engine) -> None:
    store = engine.open()
    one, other = block(1, 1, 10, run=QUEUE_RUN), block(2, 1, 10)
    commit(store, one, other, outcomes=[outcome(1, one, 0, 3), outcome(2, other, 0, 9)])
    commit(store, outcomes=[outcome(3, one, 3, 7)])
    store = engine.crash()
    assert store.delivered == Delivered(left=7)
    commit(store, outcomes=[outcome(4, one, 7, 9)], delivered=Delivered(3, 1, (), 3))
    store = engine.crash()
    assert store.delivered == Delivered(3, 1, (), 5)


def test_the_newest_outcomes_come_oldest_first(store: Store) -> None:
    one = block(1, 1, 10)
    commit(store, one, outcomes=[outcome(n + 1, one, n, n + 1) for n in range(10)])
    found, bodies = store.read_last_outcomes(1, 3)
    assert [o.seq for o in found] == [8, 9, 10]
    assert codec.decode_batch(bodies[1])[0] == 1


# --- results ---


def test_results_come_in_task_order_with_dead_letters_and_attempts(store: Store) -> None:
    one, two = block(1, 1, 3, keys=["a", "b", "c"]), block(2, 4, 2, priority=9)
    commit(store, one, two, runs={1: run_record()})
    commit(store, outcomes=[outcome(1, two, 0, 2), outcome(2, one, 2, 3), outcome(3, one, 0, 1)])
    told = {"error": "bad", "evidence": "trace", "worker": "w", "printed": "out"}
    dead = tracked(one, 1, "dead", attempts=3, **told)
    commit(store, tracked=dead | tracked(one, 2, "done", attempts=1))
    (first, second), last, over = store.read_results(1, 0, 10**6)
    assert [(e.seq, e.first, e.start, e.stop) for e in first.ended] == [(3, 1, 0, 1), (2, 1, 2, 3)]
    assert first.keys == ["a", "b", "c"]
    (letter,) = first.dead
    assert (letter.task, letter.attempts, letter.losses) == (2, 3, 0)
    assert {name: getattr(letter, name) for name in told} == told
    assert first.attempts == {2: 3, 3: 1}
    assert (second.first, second.keys, over) == (4, None, True)
    assert store.read_results(1, last, 10**6) == ([], last, True)


def test_dead_letters_can_be_read_alone(store: Store) -> None:
    blocks = [block(n, 10 * n, 10) for n in range(1, 5)]
    commit(store, *blocks, outcomes=[outcome(b.id, b, 0, 5) for b in blocks])
    dead = (
        tracked(blocks[1], 5, "dead")
        | tracked(blocks[1], 7, "dead")
        | tracked(blocks[3], 6, "dead")
    )
    commit(store, tracked=dead | tracked(blocks[1], 6) | tracked(blocks[2], 5))
    found, last, over = store.read_results(1, 0, 1, dead=True)
    assert [([d.task for d in b.dead], b.ended, b.attempts) for b in found] == [
        ([25, 27], [], {25: 1, 27: 1})
    ]
    assert not over
    found, last, over = store.read_results(1, last, 10**6, dead=True)
    assert ([b.first for b in found], over) == ([40], True)


def test_results_leave_out_blocks_of_which_nothing_has_ended(store: Store) -> None:
    one, two = block(1, 1, 3), block(2, 4, 2)
    commit(store, one, two, tracked=tracked(one, 0), outcomes=[outcome(1, two, 0, 1)])
    (found,), last, over = store.read_results(1, 0, 10**6)
    assert (found.first, over) == (4, True)
    assert store.read_results(1, last, 10**6) == ([], last, True)


def test_pages_of_results_hold_everything_once(store: Store) -> None:
    blocks = [block(n, n, 1) for n in range(1, 101)]
    commit(store, *blocks, outcomes=[outcome(b.id, b, 0, 1) for b in blocks])
    seen, pages, after, over = [], 0, 0, False
    while not over:
        found, after, over = store.read_results(1, after, 5_000)
        seen += [b.first for b in found]
        pages += 1
    assert seen == list(range(1, 101))
    assert pages > 3


def test_a_page_ends_within_a_block_whose_results_are_large(store: Store) -> None:
    """1,024 small payloads may have 1,024 results of 1 MiB: no frame holds that."""
    one = block(1, 1, 100)
    commit(store, one, outcomes=[outcome(n + 1, one, 2 * n, 2 * n + 2) for n in range(40)])
    commit(
        store,
        tracked=tracked(one, 80, "dead") | tracked(one, 90, "dead") | tracked(one, 30, "done"),
    )
    whole, dead, attempts, after, over, pages = [], [], {}, 0, False, 0
    while not over:
        found, after, over = store.read_results(1, after, 2_000)
        for part in found:
            assert part.first == 1
            whole += [(e.start, e.stop) for e in part.ended]
            dead += [letter.task for letter in part.dead]
            attempts |= part.attempts
        pages += 1
    assert whole == [(2 * n, 2 * n + 2) for n in range(40)]
    assert (dead, sorted(attempts)) == ([81, 91], [31, 81, 91])
    assert pages > 3


def test_a_page_of_results_ends_even_where_nothing_has_ended(store: Store) -> None:
    """A turn that looks through all waiting blocks would stop the master for that long."""
    commit(store, *[block(n, n, 1) for n in range(1, 101)])
    found, last, over = store.read_results(1, 0, 5_000)
    assert (found, over) == ([], False)
    commit(store, outcomes=[outcome(n, block(n, n, 1), 0, 1) for n in range(1, 101)])
    behind, _, _ = store.read_results(1, last, 10**6)
    assert 50 < len(behind) < 100


def test_one_task_is_read_with_all_that_there_is_of_it(store: Store) -> None:
    one = block(1, 1, 4, keys=["a", "b", "c", "d"], group="g", priority=3)
    commit(store, one, block(2, 9, 1), block(3, 1, 1, run=2))
    done = outcome(1, one, 1, 3)
    commit(store, outcomes=[done], tracked=tracked(one, 2, "done", attempts=2))
    found = [store.read_task(1, task) for task in (1, 2, 3, 9)]
    assert all(found)
    first, second, third, last = (task for task in found if task)
    assert (first.block, first.position, first.body, first.key) == (1, 0, one.body, "a")
    assert (first.group, first.priority, first.outcome, first.tracked) == ("g", 3, None, None)
    assert (second.key, second.outcome, second.tracked) == ("b", done, None)
    assert (third.outcome, third.tracked) == (done, tracked(one, 2, "done", attempts=2)[1, 3])
    assert (last.block, last.key, last.group) == (2, None, None)
    assert [store.read_task(run, task) for run, task in ((1, 5), (1, 10), (1, 0), (3, 1))] == [
        None
    ] * 4


def test_a_task_is_found_by_its_key_among_the_newest(store: Store) -> None:
    old = block(1, 1, 1, keys=["old"])
    newer = [block(n, n, 1, keys=[f"k{n}"]) for n in range(2, 1_025)]
    commit(store, old, *newer, block(1_025, 1_025, 2), block(1_026, 1, 1, run=2, keys=["k9"]))
    assert [store.find_task(1, key) for key in ("old", "k2", "k1024", "k")] == [1, 2, 1_024, 0]
    assert (store.find_task(2, "k9"), store.find_task(3, "k9")) == (1, 0)
    commit(store, block(1_027, 1_027, 2, keys=["k1026", "k1027"]))
    assert [store.find_task(1, key) for key in ("old", "k1027")] == [0, 1_028]


def test_keys_count_for_the_size_of_a_page_of_results(store: Store) -> None:
    """100,000 tasks with keys of 200 characters were one page of 20 MB, which no frame holds."""
    blocks = [
        block(n + 1, 1 + 100 * n, 100, keys=[f"{n}-{k:0500}" for k in range(100)])
        for n in range(100)
    ]
    commit(store, *blocks, outcomes=[outcome(n, b, 0, 100) for n, b in enumerate(blocks, 1)])
    after, over, pages, tasks = 0, False, 0, 0
    while not over:
        found, after, over = store.read_results(1, after, 200_000, False)
        assert sum(len(key) for b in found for key in b.keys or ()) < 300_000
        tasks += sum(len(b.keys or ()) for b in found)
        pages += 1
    assert (tasks, pages > 20) == (10_000, True)


# --- dead letters in the order in which they died ---


def test_dead_letters_come_in_the_order_of_their_numbers(engine: Engine) -> None:
    store = engine.open()
    one = block(1, 1, 5)
    dead = tracked(one, 3, "dead", seq=4, raised=b"r", error="e") | tracked(one, 0, "dead", seq=6)
    waiting = tracked(one, 1)
    commit(store, one, tracked=dead | waiting, outcomes=[outcome(5, one, 2, 3)])
    other = block(2, 1, 1, run=2)
    commit(store, other, tracked=tracked(other, 0, "dead", seq=7))
    letters, complete = store.read_letters(1, 0, 10**6)
    assert ([(d.task, d.seq) for d in letters], complete) == ([(4, 4), (1, 6)], True)
    assert (letters[0].raised, letters[0].error) == (b"r", "e")
    assert [d.seq for d in store.read_letters(1, 4, 10**6)[0]] == [6]
    assert [d.seq for d in store.read_letters(1, 0, 10**6, 5)[0]] == [4]
    assert engine.crash().next_seq == 8  # also where the newest number is that of a dead letter


def test_a_page_of_dead_letters_ends_after_about_so_many_bytes(store: Store) -> None:
    one = block(1, 1, 99)
    dead = [tracked(one, n, "dead", seq=n + 1, evidence="e" * 1_000) for n in range(99)]
    commit(store, one, tracked={key: record for some in dead for key, record in some.items()})
    letters, complete = store.read_letters(1, 0, 20_000)
    assert not complete
    assert 10 < len(letters) < 30
    assert store.read_letters(1, 0, 1)[0]  # never an empty one
    assert store.read_letters(1, 98, 1)[1]


def test_a_dead_letter_that_is_retried_has_no_number_any_more(engine: Engine) -> None:
    store = engine.open()
    one = block(1, 1, 2)
    commit(store, one, runs={1: run_record()}, tracked=tracked(one, 1, "dead", seq=3))
    commit(store, revived=revived(5.0))
    assert store.read_letters(1, 0, 10**6) == ([], True)
    (waiting,), _ = store.read_tracked(1, None, None, 9)
    assert (waiting.seq, waiting.state) == (0, "waiting")
    commit(store, tracked=tracked(one, 1, "dead", seq=9))
    assert [d.seq for d in store.read_letters(1, 3, 10**6)[0]] == [9]
    assert engine.crash().next_seq == 10


# --- dead letters that a filter chooses ---


def letters(store: Store) -> None:
    """Six dead letters of two kinds, of two workers and of two hours, and what is none of them."""
    one, other = block(1, 1, 9, group="g"), block(2, 1, 1, run=2)
    trace = 'Traceback\n  File "/jobs/a.py", line {}, in work\nValueError: bad\n'
    dead: dict[tuple[int, int], TrackedRecord] = {}
    for at in range(6):
        fields = {"worker": f"host{at % 2}/7", "due_at": 100.0 + at, "seq": 10 - at}
        error = "ValueError: bad" if at < 4 else "no exception at all"
        evidence = trace.format(3 if at < 3 else 5) if at < 4 else "no traceback"
        dead |= tracked(one, at, "dead", error=error, evidence=evidence, **fields)
    rest = tracked(one, 6, "done") | tracked(one, 7) | tracked(other, 0, "dead", seq=99)
    commit(store, one, other, tracked=dead | rest, runs={1: run_record(), 2: run_record(2)})


@pytest.mark.parametrize(
    ("only", "tasks"),
    [
        (FailureFilter(), [6, 5, 4, 3, 2, 1]),
        (FailureFilter(exception="ValueError"), [4, 3, 2, 1]),
        (FailureFilter(exception="ValueError", place="a.py:3"), [3, 2, 1]),
        (FailureFilter(place="a.py:5"), [4]),
        (FailureFilter(exception="other"), [6, 5]),
        (FailureFilter(exception="Value"), []),
        (FailureFilter(worker="host1/7"), [6, 4, 2]),
        (FailureFilter(worker="host1"), [6, 4, 2]),
        (FailureFilter(worker="host"), []),
        (FailureFilter(since=102.0, until=104.0), [4, 3]),
        (FailureFilter(since=106.0), []),
        (FailureFilter(tasks=((2, 4), (6, 2**62))), [2, 3, 6]),
        (FailureFilter(tasks=((7, 9),)), []),
        (FailureFilter(((1, 6),), "ValueError", "a.py:3", "host0", 101.0, 200.0), [3]),
    ],
)
@pytest.mark.parametrize("limit_bytes", [1, 700, 10**6])
def test_a_filter_chooses_dead_letters(
    store: Store, only: FailureFilter, tasks: list[int], limit_bytes: int
) -> None:
    letters(store)
    assert all_letters(store, 1, only, limit_bytes=limit_bytes) == [(task, "g") for task in tasks]
    chosen = all_chosen(store, 1, only, limit_bytes)
    (everything,) = store.read_results(1, 0, 10**6, dead=True)[0]
    assert chosen == [letter for letter in everything.dead if letter.task in tasks]
    assert all(letter.error and letter.evidence for letter in chosen), "the texts are there"


def scattered(store: Store) -> None:
    """Blocks 3 to 12 of ten tasks, with dead letters in every second one; other runs between."""
    blocks = [block(n, 10 * n, 10, keys=[f"{n}/{k}" for k in range(10)]) for n in range(3, 13)]
    foreign = [block(n, n, 1, run=2) for n in (1, 2, 13)]
    dead: dict[tuple[int, int], TrackedRecord] = {}
    for one in blocks[::2]:
        for at in (0, 4, 9):
            name = "KeyError" if one.id in (5, 9) else "ValueError"
            texts = {"error": f"{name}: 1", "evidence": "e" * 500, "printed": "p" * 500}
            fields = {"worker": f"box{at}/1", "due_at": one.first + at, "seq": 900 - one.first - at}
            dead |= tracked(one, at, "dead", **fields, **texts)
        dead |= tracked(one, 5) | tracked(one, 6, "done")
    for one in foreign:
        dead |= tracked(one, 0, "dead", error="KeyError: 1", worker="box4/1", seq=one.id)
    runs = {1: run_record(), 2: run_record(2)}
    commit(store, *blocks, *foreign, tracked=dead, runs=runs)


@pytest.mark.parametrize(
    ("only", "tasks"),
    [
        (FailureFilter(worker="box4"), [34, 54, 74, 94, 114]),
        (FailureFilter(exception="KeyError"), [50, 54, 59, 90, 94, 99]),
        (FailureFilter(exception="builtins.KeyError"), []),
        (FailureFilter(exception="OSError"), []),
        (FailureFilter(((54, 95),), exception="KeyError"), [54, 59, 90, 94]),
        (FailureFilter(((54, 55), (59, 60), (90, 91)), "KeyError", worker="box9"), [59]),
        (FailureFilter(since=74.0, until=95.0), [74, 79, 90, 94]),
        (FailureFilter(tasks=((39, 40), (40, 51), (99, 100))), [39, 50, 99]),
        (FailureFilter(tasks=((1, 31), (119, 2**62))), [30, 119]),
        (FailureFilter(tasks=((35, 37), (46, 47))), []),
    ],
)
@pytest.mark.parametrize("limit_bytes", [1, 700, 3_000, 10**6])
def test_chosen_letters_come_in_task_order_once_from_all_blocks(
    store: Store, only: FailureFilter, tasks: list[int], limit_bytes: int
) -> None:
    scattered(store)
    chosen = all_chosen(store, 1, only, limit_bytes)
    assert [letter.task for letter in chosen] == tasks
    assert all(len(d.evidence) == len(d.printed) == 500 for d in chosen)
    assert [d.died_at for d in chosen] == tasks
    assert all_chosen(store, 3, only, limit_bytes) == []


def test_a_page_of_chosen_letters_has_the_payloads_and_keys_of_their_blocks(store: Store) -> None:
    scattered(store)
    only = FailureFilter(worker="box4")
    blocks, last, complete = store.read_chosen(1, 0, 10**6, only)
    assert [(b.first, b.count, b.ended) for b in blocks] == [
        (n, 10, []) for n in (30, 50, 70, 90, 110)
    ]
    assert [codec.decode_batch(b.body)[0] for b in blocks] == [30, 50, 70, 90, 110]
    assert [(b.keys or [])[4] for b in blocks] == ["3/4", "5/4", "7/4", "9/4", "11/4"]
    assert complete
    assert store.read_chosen(1, last, 10**6, only).blocks == []


def test_chosen_letters_go_on_where_others_went_meanwhile(store: Store) -> None:
    """Whoever reads pages sees each letter once, also if those of a page are tried again."""
    scattered(store)
    only = FailureFilter(since=0.0)
    found: list[int] = []
    place, complete = 0, False
    while not complete:
        blocks, place, complete = store.read_chosen(1, place, 1, only)
        tasks = [letter.task for one in blocks for letter in one.dead]
        found += tasks
        if tasks:
            commit(store, revived=revived(200.0, *tasks))
    assert found == [10 * n + at for n in range(3, 13, 2) for at in (0, 4, 9)]


def test_a_page_of_chosen_letters_ends_though_it_has_found_none(store: Store) -> None:
    scattered(store)
    blocks, place, complete = store.read_chosen(1, 0, 1_500, FailureFilter(worker="nobody"))
    assert (blocks, complete, place > 0) == ([], False, True)


def test_a_page_of_chosen_letters_ends_after_about_so_many_bytes_of_texts(store: Store) -> None:
    one = block(1, 1, 99)
    dead = [tracked(one, n, "dead", seq=n + 1, evidence="e" * 1_000) for n in range(99)]
    commit(store, one, tracked={key: record for some in dead for key, record in some.items()})
    (page,), last, complete = store.read_chosen(1, 0, 20_000, FailureFilter(since=0.0))
    assert (10 < len(page.dead) < 30, complete) == (True, False)
    (rest,), _, complete = store.read_chosen(1, last, 10**6, FailureFilter(since=0.0))
    assert (len(page.dead) + len(rest.dead), rest.first, complete) == (99, 1, True)


def test_a_page_of_chosen_letters_ends_when_it_has_looked_at_enough(store: Store) -> None:
    letters(store)
    page = chosen_letters(store, LettersSought(1, FailureFilter(worker="nobody"), 0, 2**62, 600))
    assert (page.letters, page.complete) == ([], False)


def test_a_letter_that_dies_while_others_are_chosen_is_none_of_them(store: Store) -> None:
    letters(store)
    commit(store, revived=revived(200.0, 6))
    assert [task for task, _ in all_letters(store, 1, FailureFilter(), 10)] == [5, 4, 3, 2, 1]
    again = tracked(block(1, 1, 9, group="g"), 5, "dead", seq=11)
    commit(store, tracked=again)
    for only in (FailureFilter(), FailureFilter(tasks=((1, 9),))):
        assert sorted(all_letters(store, 1, only, until=10)) == [(n, "g") for n in range(1, 6)]


def test_only_chosen_letters_wait_again_and_the_notes_of_retries_stay(engine: Engine) -> None:
    store = engine.open()
    letters(store)
    one = block(1, 1, 9, group="g")
    commit(store, revived=revived(200.0, 2, 3, 7, 8, reason="mended", by="client a/1"))
    assert sorted(s.task for s in tracked_of(store, group="g")) == [2, 3, 8]
    assert [task for task, _ in all_letters(store, 1, FailureFilter())] == [6, 5, 4, 1]
    dead = tracked(one, 1, "dead", seq=20, error="again")
    commit(store, tracked=dead | tracked(one, 2, "done"))
    for at in range(5):
        commit(store, revived=revived(300.0 + at, reason=f"no {at}"))
        commit(store, tracked=dead)
    store = engine.crash()
    notes = {}
    for task in (1, 2, 3, 8):
        record = store.read_task(1, task)
        assert record is not None
        assert record.tracked is not None
        notes[task] = [(note.at, note.by, note.reason) for note in record.tracked.retries]
    assert notes[1] == [(300.0, "", "no 0")]
    assert notes[2] == [(301.0 + at, "", f"no {at + 1}") for at in range(4)], "the newest ones"
    assert notes[3] == [(200.0, "client a/1", "mended")]
    assert notes[8] == []


# --- cancelled tasks ---


def test_cancelled_tasks_wait_no_more_and_are_no_results(engine: Engine) -> None:
    store = engine.open()
    one = block(1, 1, 9)
    cancelled = OutcomeRecord(2, 1, 1, 1, 3, 9, CANCELLED)
    commit(store, one, runs={1: run_record()}, outcomes=[outcome(1, one, 0, 2), cancelled])
    store = engine.crash()
    assert ranges(store) == [(1, [(2, 3)])]
    (page,), _, _ = store.read_results(1, 0, 10**6)
    assert [(e.start, e.stop) for e in page.ended] == [(0, 2)]
    outcomes, _ = store.read_outcomes(1, 0, 10**6)
    assert [(o.is_cancelled, o.tasks) for o in outcomes] == [(False, (1, 3)), (True, (4, 10))]
    assert [o.readable for o in outcomes] == [2, 0]
    task = store.read_task(1, 5)
    assert task is not None
    assert task.outcome == cancelled


def test_an_outcome_of_cancelled_tasks_alone_brings_no_payloads(store: Store) -> None:
    one = block(1, 1, 2)
    commit(store, one, outcomes=[OutcomeRecord(2, 1, 1, 1, 0, 2, CANCELLED)])
    assert store.read_outcomes(1, 0, 10**6)[1] == {}


@pytest.mark.parametrize(
    ("tasks", "limit", "found"),
    [
        ([(1, 2**62)], 9, [1, 2, 4]),
        ([(1, 2**62)], 2, [1, 2]),
        ([(4, 5)], 9, [1]),
        ([(5, 6)], 9, [2]),
        ([(1, 2), (3, 4), (9, 30)], 9, [1, 2, 4]),
        ([(1, 2), (3, 4), (9, 30)], 2, [1, 2]),
        ([(1_034, 1_035)], 9, [4]),
        ([(1_035, 9_999)], 9, []),
        ([], 9, []),
    ],
)
def test_the_blocks_of_tasks_are_found(
    store: Store, tasks: list[tuple[int, int]], limit: int, found: list[int]
) -> None:
    commit(store, block(1, 1, 4), block(2, 5, 6), block(3, 1, 50, run=2), block(4, 11, 1_024))
    assert [number for number, *_ in store.find_blocks(1, tasks, limit)] == found

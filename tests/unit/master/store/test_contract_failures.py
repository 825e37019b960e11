"""What every store must do with groups of dead letters: each test runs over each engine."""

from __future__ import annotations

from typing import Any

import pytest

from master import failures
from master.changes import BlockRecord, Revival
from master.failures import FailureGroup, GroupsSought, NewestSought
from master.reads import LettersSought, ReadAnswer, ReadRequest
from master.store.contract import Store
from queue_manager.wire.failures import FailureFilter, RetryNote
from tests.unit.master.store_records import Engine, block, commit, run_record, tracked

LAST = 2**62
ONE, OTHER = block(1, 1, 100), block(2, 1, 9, run=2)


@pytest.fixture
def store(engine: Engine) -> Store:
    store = engine.open()
    commit(store, ONE, OTHER, runs={1: run_record(1, job="a"), 2: run_record(2, job="b")})
    return store


def die(store: Store, seq: int, error: str = "ValueError: x", line: int = 5, **fields: Any) -> None:
    """The task with the number of the letter dies."""
    of: BlockRecord = fields.pop("of", ONE)
    task: int = fields.pop("task", seq)
    evidence = f'Traceback\n  File "/app/jobs/a.py", line {line}, in work\n{error}'
    values = {"seq": seq, "due_at": float(seq), "worker": "h/1", "error": error}
    letter = tracked(of, task - 1, "dead", **(values | {"evidence": evidence} | fields))
    commit(store, tracked=letter)


def groups(store: Store, **fields: Any) -> list[FailureGroup]:
    page = store.find_groups(GroupsSought(LAST, 99, **fields))
    assert page.complete
    return [group for group, _ in page.groups]


def named(store: Store, **fields: Any) -> list[tuple[str, int]]:
    found = groups(store, **fields)
    return [(f"{group.exception}@{group.place}", group.count) for group in found]


def newest(store: Store, run: int = 1, **fields: Any) -> list[int]:
    page = store.find_letters(NewestSought(run, FailureFilter(**fields), LAST, 99))
    assert page.complete
    return [letter.task for letter in page.letters]


def retry(store: Store, *tasks: int, run: int = 1) -> None:
    some = frozenset(tasks) if tasks else None
    commit(store, revived={run: [Revival(RetryNote(50.0), some)]})


def test_letters_that_raised_the_same_at_one_place_are_a_group(
    engine: Engine, store: Store
) -> None:
    die(store, 1)
    die(store, 2, "KeyError: 'k'", line=9)
    die(store, 3, "ValueError: y", worker="h/2")
    die(store, 4, line=6)
    assert named(store) == [
        ("ValueError@a.py:6", 1),
        ("ValueError@a.py:5", 2),
        ("KeyError@a.py:9", 1),
    ]
    group = groups(engine.crash())[1]
    assert (group.first_at, group.last_at, group.last_seq) == (1.0, 3.0, 3)
    assert (group.task, group.error, group.workers) == (3, "ValueError: y", {"h/1": 1, "h/2": 1})


def test_a_failure_without_a_traceback_is_a_group_too(store: Store) -> None:
    die(store, 1, "its lease was lost 5 times", evidence="")
    die(store, 2, "killed by SIGKILL", evidence="")
    assert named(store) == [("other@", 2)]


def test_letters_that_are_tried_again_leave_their_group_and_come_back(store: Store) -> None:
    for seq in (1, 2, 3):
        die(store, seq, worker=f"h/{seq % 2}")
    die(store, 4, line=9)
    retry(store, 1, 4, 77)
    assert named(store) == [("ValueError@a.py:5", 2)]
    assert groups(store)[0].workers == {"h/0": 1, "h/1": 1}
    die(store, 9, line=9, task=4)
    assert named(store)[0] == ("ValueError@a.py:9", 1)
    retry(store)
    assert groups(store) == []
    die(store, 10, task=2)
    assert named(store) == [("ValueError@a.py:5", 1)]


def test_a_group_shows_its_newest_letter_that_is_left(engine: Engine, store: Store) -> None:
    for seq in (1, 2, 3, 4):
        die(store, seq, f"ValueError: {seq}")
    die(store, 5, line=9)
    die(store, 6, of=OTHER)
    retry(store, 4, 1)
    group = groups(store, run=1)[1]
    assert (group.last_seq, group.task, group.error) == (3, 3, "ValueError: 3")
    assert (group.first_at, group.last_at) == (2.0, 3.0)
    retry(store, 2)
    store = engine.crash()
    left = groups(store, run=1)[1]
    assert (left.count, left.first_at, left.last_at, left.task) == (1, 3.0, 3.0, 3)
    die(store, 9, "ValueError: again", task=4)
    group = groups(store, run=1)[0]
    assert (group.task, group.error, group.last_at) == (4, "ValueError: again", 9.0)


def test_pages_go_from_the_newest_group_over_all_runs(store: Store) -> None:
    for seq in range(1, 7):
        die(store, seq, line=seq, of=OTHER if seq % 2 else ONE)
    seen: list[tuple[int, str]] = []
    after, complete = LAST, False
    while not complete:
        page = store.find_groups(GroupsSought(after, 2))
        assert len(page.groups) <= 2
        seen += [(group.last_seq, job) for group, job in page.groups]
        after, complete = page.place, page.complete
    assert seen == [(6, "a"), (5, "b"), (4, "a"), (3, "b"), (2, "a"), (1, "b")]
    assert [g.last_seq for g in groups(store, run=2)] == [5, 3, 1]
    assert [g.last_seq for g in groups(store, job="a")] == [6, 4, 2]
    page = store.find_groups(GroupsSought(LAST, 9, only=FailureFilter(place="a.py:1"), look=4))
    assert (page.groups, page.place, page.complete) == ([], 3, False)


@pytest.mark.parametrize(
    ("only", "lines"),
    [
        ({"exception": "KeyError"}, [3]),
        ({"exception": "builtins.ValueError"}, [2, 1]),
        ({"place": "a.py:1"}, [1]),
        ({"worker": "h/2"}, [2]),
        ({"worker": "h"}, [2, 1]),
        ({"since": 2.0}, [3, 2]),
        ({"until": 2.0}, [1]),
    ],
)
def test_a_filter_chooses_groups(store: Store, only: dict[str, Any], lines: list[int]) -> None:
    die(store, 1, line=1)
    die(store, 2, line=2, worker="h/2")
    die(store, 3, "KeyError: 1", line=3, worker="i/3")
    found = groups(store, only=FailureFilter(**only))
    assert [group.place for group in found] == [f"a.py:{line}" for line in lines]


def test_groups_go_with_their_run(store: Store) -> None:
    die(store, 1)
    die(store, 2, of=OTHER)
    commit(store, forgotten={1})
    assert [group.run for group in groups(store)] == [2]
    commit(store, runs={2: run_record(2, state="pruned", key="k")})
    assert groups(store) == []


def test_a_run_has_so_many_groups_and_one_for_all_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("master.store.relational.failures", "tests.memory_groups"):
        monkeypatch.setattr(f"{module}.GROUPS", 2)
    for seq, line in ((1, 1), (2, 2), (3, 3), (4, 4), (5, 1)):
        die(store, seq, line=line)
    assert named(store) == [("ValueError@a.py:1", 2), ("@", 2), ("ValueError@a.py:2", 1)]
    assert newest(store, place="a.py:3") == [3], "also a letter among the others is found"
    die(store, 6, of=OTHER, line=6)
    assert named(store, run=2) == [("ValueError@a.py:6", 1)], "each run has room for its own"
    retry(store, 3, 4)
    assert named(store, run=1) == [("ValueError@a.py:1", 2), ("ValueError@a.py:2", 1)]


def test_a_group_names_so_many_workers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "WORKERS", 2)
    for seq in range(1, 6):
        die(store, seq, worker=f"h/{seq}")
    (group,) = groups(store)
    assert (group.count, group.workers) == (5, {"h/1": 1, "h/2": 1})
    assert groups(store, only=FailureFilter(worker="h/4")) == [group], "it may be one of the others"
    retry(store, 1, 4)
    (group,) = groups(store)
    assert (group.count, group.workers) == (3, {"h/2": 1})


def test_many_letters_of_one_commit_are_counted_at_once(store: Store) -> None:
    letters = {}
    for seq in range(1, 51):
        values = {"seq": seq, "due_at": float(seq), "error": "E: x", "worker": "h/1"}
        letters |= tracked(ONE, seq - 1, "dead", **values)
    commit(store, tracked=letters)
    (group,) = groups(store)
    assert (group.count, group.last_seq, group.workers) == (50, 50, {"h/1": 50})


def test_single_letters_come_from_the_newest_on(store: Store) -> None:
    for seq in (1, 2, 3, 4):
        die(store, seq, line=seq % 2, worker=f"h/{seq}", attempts=seq)
    page = store.find_letters(NewestSought(1, FailureFilter(), LAST, 3))
    first = page.letters[0]
    assert (first.task, first.seq, first.died_at, first.worker) == (4, 4, 4.0, "h/4")
    assert (first.attempts, first.error, first.evidence) == (4, "ValueError: x", "")
    assert (len(page.letters), page.place, page.complete) == (3, 2, False)
    page = store.find_letters(NewestSought(1, FailureFilter(), page.place, 3))
    assert ([letter.task for letter in page.letters], page.complete) == ([1], True)
    assert newest(store, place="a.py:1") == [3, 1]
    assert newest(store, exception="ValueError") == [4, 3, 2, 1]
    assert newest(store, exception="ValueError", worker="h/3") == [3]
    assert newest(store, exception="builtins.ValueError") == []
    assert newest(store, until=3.0, since=2.0) == [2]
    assert newest(store, exception="KeyError") == newest(store, run=2) == []


def test_a_filter_chooses_letters_of_its_groups(store: Store) -> None:
    for seq in (1, 2, 3, 4):
        die(store, seq, line=seq % 2)

    def chosen(after: int = 0, until: int = LAST, **fields: Any) -> list[int]:
        sought = LettersSought(1, FailureFilter(**fields), after, until, 10**6)
        answer = store.read(ReadRequest(letters={sought}))
        assert isinstance(answer, ReadAnswer)
        return [task for task, _ in answer.letters[sought].letters]

    assert chosen(place="a.py:1") == [1, 3]
    assert chosen(exception="ValueError") == [1, 2, 3, 4]
    assert chosen(exception="ValueError", after=1, until=3) == [2, 3]
    assert chosen(exception="KeyError") == []

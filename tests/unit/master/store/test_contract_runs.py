"""What every store must do to find ended runs: each test runs over each engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from master.changes import GivenArguments, RunState
from master.reads import RunsSought
from master.store.contract import Store
from tests.unit.master.store_records import Engine, commit, run_record

RUNS: list[dict[str, Any]] = [
    {"job": "a", "state": "done"},
    {"job": "a", "state": "failed", "key": "Monday"},
    {"job": "b", "state": "done", "args": ["count=5", "x=äÖ"]},
    {"job": "b", "state": "failed"},
    {"job": "a", "state": "active"},
    {"job": "a", "state": "pruned", "key": "old"},
    {"job": "a", "state": "done", "arguments": GivenArguments(b"Hidden", ["where=Here"])},
    {"job": "b", "state": "cancelled", "args": ["a=1", "lon" + "g" * 9_999]},
]


@pytest.fixture
def store(engine: Engine) -> Store:
    store = engine.open()
    records = [run_record(n, **fields) for n, fields in enumerate(RUNS, 1)]
    commit(store, runs={record.id: record for record in records})
    return store


def found(store: Store, after: int = 99, limit: int = 99, **fields: Any) -> list[int]:
    page = store.find_ended(RunsSought(after, limit, **fields))
    return [run.record.id for run in page.runs]


@pytest.mark.parametrize(
    ("fields", "runs"),
    [
        ({}, [8, 7, 4, 3, 2, 1]),
        ({"after": 4}, [3, 2, 1]),
        ({"after": 3, "is_back": True}, [4, 7, 8]),
        ({"job": "a"}, [7, 2, 1]),
        ({"state": "failed"}, [4, 2]),
        ({"job": "b", "state": "done"}, [3]),
        ({"job": "nowhere"}, []),
        ({"text": "mon"}, [2]),
        ({"text": "COUNT=5"}, [3]),
        ({"text": "äÖ"}, [3]),
        ({"text": "here"}, [7]),
        ({"text": "hidden"}, []),
        ({"text": "4"}, [4]),
        ({"text": "a=", "job": "b"}, [8, 4]),
        ({"text": "9" * 40}, []),
        ({"text": "\ud800"}, []),
        ({"text": "a\0"}, []),
        ({"text": "LONG" + "g" * 9_000}, [8]),
    ],
)
def test_runs_are_found_by_what_is_sought(
    store: Store, fields: dict[str, Any], runs: list[int]
) -> None:
    assert found(store, **fields) == runs


def test_pages_follow_one_another_in_both_directions(store: Store) -> None:
    for is_back, after, runs in ((False, 99, [8, 7, 4, 3, 2, 1]), (True, 0, [1, 2, 3, 4, 7, 8])):
        seen: list[int] = []
        complete = False
        while not complete:
            page = store.find_ended(RunsSought(after, 2, is_back))
            seen += [run.record.id for run in page.runs]
            after, complete = page.place, page.complete
        assert seen == runs


def test_a_search_looks_at_so_many_runs_and_leads_on(store: Store) -> None:
    page = store.find_ended(RunsSought(99, 9, text="mon", look=3))
    assert (page.runs, page.place, page.complete) == ([], 4, False)
    page = store.find_ended(RunsSought(page.place, 9, text="mon", look=3))
    assert ([run.record.id for run in page.runs], page.complete) == ([2], True)


def test_a_run_that_is_tried_again_or_pruned_or_forgotten_is_not_found_by_its_text(
    store: Store,
) -> None:
    ended = run_record(2, job="a", state="failed", key="Monday")
    assert found(store, text="monday") == [2]
    commit(store, runs={2: replace(ended, state=RunState.ACTIVE)})
    assert found(store, text="monday") == []
    commit(store, runs={2: ended})
    assert found(store, text="monday") == [2]
    commit(store, runs={2: replace(ended, state=RunState.PRUNED)})
    assert found(store, text="monday") == []
    commit(store, forgotten={3})
    assert found(store, text="count=5") == []


@pytest.mark.parametrize("is_back", [False, True])
@pytest.mark.parametrize(("limit", "look"), [(7, 10_000), (1_000, 300), (3, 999)])
def test_a_search_among_many_runs_finds_each_once_in_order(
    engine: Engine, is_back: bool, limit: int, look: int
) -> None:
    store = engine.open()
    numbers = range(1, 1_301)
    commit(store, runs={n: run_record(n, state="done", args=[f"n={n}."]) for n in numbers})
    seen: list[int] = []
    after, complete = 0 if is_back else 2_000, False
    while not complete:
        page = store.find_ended(RunsSought(after, limit, is_back, text="7.", look=look))
        assert len(page.runs) <= limit
        seen += [run.record.id for run in page.runs]
        after, complete = page.place, page.complete
    there = [n for n in numbers if n % 10 == 7]
    assert seen == (there if is_back else there[::-1])

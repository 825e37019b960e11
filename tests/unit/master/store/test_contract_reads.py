"""What every store must answer when a turn asks for all that it needs at once, over each engine."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import pytest

from master.changes import GroupRecord, QuotaCounts, RunCounts
from master.reads import ReadAnswer, ReadRequest
from master.store.contract import Store
from master.store.sqlite.engine import SqliteStore
from queue_manager.wire.records import GroupLimit
from tests.asked import block_states
from tests.unit.master.store_records import (
    LIMITED,
    Engine,
    block,
    commit,
    outcome,
    run_record,
    tracked,
)


def read(store: Store, request: ReadRequest) -> ReadAnswer:
    answer = store.read(request)
    assert not isinstance(answer, Awaitable)
    return answer


def test_who_asks_for_nothing_is_told_nothing(store: Store) -> None:
    assert not ReadRequest()
    assert read(store, ReadRequest()) == ReadAnswer()


def test_a_turn_reads_all_that_its_steps_need_at_once(engine: Engine) -> None:
    store = engine.open()
    one, two = block(1, 1, 4, keys=list("abcd")), block(2, 1, 2, run=2, keys=["a", "z"])
    runs = {1: run_record(key="k", options=LIMITED), 2: run_record(2)}
    counts = {1: RunCounts(4), 2: RunCounts(2)}
    limit, pause = GroupRecord(GroupLimit(2)), GroupRecord(None, 5.0, 105.0)
    commit(store, one, two, runs=runs, counts=counts, quotas={(1, "q"): QuotaCounts(3, 1)})
    commit(store, groups={(1, "g"): limit, (1, "h"): limit, (2, "g"): pause})
    commit(store, outcomes=[outcome(1, one, 0, 1)], tracked=tracked(one, 2))
    store = engine.crash()
    answer = read(
        store,
        ReadRequest(
            {1: ["a", "z", "a"], 2: ["z"], 3: ["a"]},
            {1: {"g", "x"}, 2: {"g"}, 3: {"g"}},
            {(1, "q"), (2, "q"), (9, "")},
            {1: (0, 3), 7: (0, 1)},
            {1, 2, 7},
            {0, 2, 9},
            {"k", "other"},
        ),
    )
    assert answer.taken_keys == {1: {"a"}, 2: {"z"}, 3: set()}
    assert answer.groups == {1: {"g": limit}, 2: {"g": pause}, 3: {}}
    assert answer.quotas == {
        (1, "q"): QuotaCounts(3, 1),
        (2, "q"): QuotaCounts(),
        (9, ""): QuotaCounts(),
    }
    assert answer.blocks == block_states(store, {1: (0, 3)})
    assert answer.bodies == {1: one.body, 2: two.body}
    assert answer.runs == {number: store.load_run(number) for number in (0, 2)}
    assert answer.run_keys == {"k": store.load_run(1)}


def test_the_key_of_a_pruned_run_is_still_found(store: Store) -> None:
    commit(store, runs={1: run_record(key="k", state="done")})
    commit(store, runs={1: run_record(key="k", state="pruned")})
    found = read(store, ReadRequest(run_keys={"k"})).run_keys["k"]
    assert (found.record.id, found.record.state) == (1, "pruned")


def test_a_turn_may_ask_for_more_than_one_statement_takes(store: Store) -> None:
    numbers = range(1, 1_101)
    blocks = [block(n, n, 1, keys=[f"k{n}"]) for n in numbers]
    quotas = {(n, f"q{n % 7}"): QuotaCounts(n, n) for n in numbers}
    runs = {n: run_record(n, key=f"r{n}") for n in numbers}
    commit(store, *blocks, quotas=quotas, runs=runs)
    request = ReadRequest(
        {1: [f"k{n}" for n in range(1_200)]},
        quotas={*quotas, (5, "none")},
        bodies=set(range(1_200)),
        runs=set(range(1_200)),
        run_keys={f"r{n}" for n in range(1_200)},
    )
    answer = read(store, request)
    assert answer.taken_keys == {1: {f"k{n}" for n in numbers}}
    assert answer.quotas == quotas | {(5, "none"): QuotaCounts()}
    assert answer.bodies == {one.id: one.body for one in blocks}
    assert [run.record for run in answer.runs.values() if run.record.id] == list(runs.values())
    assert {key: run.record for key, run in answer.run_keys.items()} == {
        f"r{n}": run for n, run in runs.items()
    }


@pytest.mark.parametrize("name", ["", "a'b", 'a"b', "痛点", "a\0b", "%{}?", "\\u0041"])
def test_names_are_taken_as_they_are(store: Store, name: str) -> None:
    one = block(1, 1, 1, keys=[name], group=name)
    commit(store, one, quotas={(1, name): QuotaCounts(1)}, groups={(1, name): GroupRecord(None, 1)})
    commit(store, runs={1: replace(run_record(key=name), options=LIMITED)})
    asked = ReadRequest({1: [name]}, {1: {name}}, {(1, name)}, run_keys={name})
    answer = read(store, asked)
    assert answer.taken_keys == {1: {name}}
    assert answer.groups == {1: {name: GroupRecord(None, 1)}}
    assert answer.quotas == {(1, name): QuotaCounts(1)}
    assert list(answer.run_keys) == [name]


def test_requests_of_several_steps_are_one() -> None:
    first = ReadRequest({1: ["a"]}, {1: {"g"}}, {(1, "q")}, {1: (0, 2)}, {1}, {1}, {"k"})
    rest = ReadRequest(
        {1: ["b"], 2: ["a"]}, {1: {"h"}}, {(1, "r")}, {1: (1, 5), 2: (0, 1)}, {2}, {2}, {"l"}
    )
    both = ReadRequest()
    both.add(first)
    both.add(rest)
    assert both == ReadRequest(
        {1: ["a", "b"], 2: ["a"]},
        {1: {"g", "h"}},
        {(1, "q"), (1, "r")},
        {1: (0, 5), 2: (0, 1)},
        {1, 2},
        {1, 2},
        {"k", "l"},
    )
    assert first == ReadRequest({1: ["a"]}, {1: {"g"}}, {(1, "q")}, {1: (0, 2)}, {1}, {1}, {"k"})


@pytest.mark.parametrize(
    "request_",
    [
        ReadRequest(quotas={(n, "q") for n in range(1, 9)}),
        ReadRequest(bodies=set(range(1, 9))),
        ReadRequest(runs=set(range(1, 9))),
        ReadRequest(run_keys={f"k{n}" for n in range(1, 9)}),
    ],
    ids=["quotas", "bodies", "runs", "keys of runs"],
)
def test_what_many_steps_ask_for_is_one_statement(tmp_path: Path, request_: ReadRequest) -> None:
    store = SqliteStore(tmp_path)
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)
    read(store, request_)
    assert len(statements) == 1
    plan = [row[3] for row in store._db.execute(f"EXPLAIN QUERY PLAN {statements[0]}")]
    assert {step for step in plan if "SCAN" in step} <= {"SCAN w", "SCAN 8 CONSTANT ROWS"}, plan
    store.close()

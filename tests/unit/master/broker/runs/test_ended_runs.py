"""Ended runs cost nothing: they are on disk alone, and are found there when somebody asks."""

from __future__ import annotations

import gc
import random
import sqlite3
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from master.broker import Broker
from master.broker.runs.run import Run
from master.changes import Changes, CollectCursor
from master.observe.paging import PAGE_BYTES
from master.observe.status import StatusBuilder
from master.processes.runner import Runner, RunnerState
from master.processes.runners import Runners
from master.reads import RunsSought
from master.store.sqlite.engine import SqliteStore
from master.turn.run_lookup import find_run, recall
from master.turn.turn import Turn
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import AskRun, AskRuns, AskSessions, AskStatus, Hello, encode
from queue_manager.wire.records import FRAME_BYTES, NOBODY_COLLECTS, RunOptions
from tests.unit.master.store_records import run_record

MANY = 65_000
CLOSED = CollectCursor(closed=True)


def fill(folder: Path, ended: int, words: list[str] | None = None) -> None:
    """A store with so many ended runs, one active one, and one that is not collected yet."""
    SqliteStore(folder).close()
    pack = msgspec.msgpack.encode
    db = sqlite3.connect(folder / "queue.sqlite3")
    db.executemany(
        "INSERT INTO runs (id, job, state, exhausted, started_at, ended_at, collected,"
        " collect_errors, collected_into, version, cancelled, tasks, done, last_seq, words,"
        " options)"
        " VALUES (?, 'square', 'done', 1, 1.0, ?, ?, 0, 0, 'v', 0, 7, 7, 3, ?, ?)",
        (
            (n + 1, float(n), NOBODY_COLLECTS, pack(words or ["count=7"]), pack(RunOptions()))
            for n in range(ended)
        ),
    )
    db.commit()
    db.close()
    store = SqliteStore(folder)
    active, uncollected = run_record(ended + 1), run_record(ended + 2, state="done", ended_at=9.0)
    store.commit(Changes(runs={active.id: active, uncollected.id: uncollected}))
    store.close()


class Master:
    """As after a start on such a store."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder)
        self.broker = Broker(self.store.epoch, "", random.Random(1))
        for loaded in self.store.load():
            self.broker.restore(loaded, 0.0, 1.0)
        self.broker.next_run = self.store.next_run
        self.broker.committed()
        self.turn = Turn(self.broker, self.store)
        self.commands: list[Any] = []
        sources: Any = SimpleNamespace(
            address="here:1",
            started=0.0,
            workers=list,
            stock=list,
            others=lambda: self.commands,
            runner=lambda run: None,
            fed=lambda run: False,
            job_trouble=lambda job: "",
            schedule_troubles=list,
            copies=list,
            masters=list,
        )
        self.status = StatusBuilder(self.turn, sources)

    def run(self, number: int) -> Run:
        found = recall(self.turn, number)
        assert found is not None
        return found


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    fill(tmp_path, 30)
    made = Master(tmp_path)
    yield made
    made.store.close()


def test_a_start_takes_up_what_somebody_has_something_to_do_for(master: Master) -> None:
    assert sorted(master.broker.runs) == [0, 31, 32]


@pytest.mark.parametrize(
    ("verb", "index"),
    [
        (lambda s: s.load(), "runs_open"),
        (lambda s: s.ended_runs(99, 9), "runs_ended"),
        (lambda s: s.count_ended(99), "runs_ended"),
        (lambda s: s.old_runs(5.0, 9), "runs_old"),
        (lambda s: s.cap_delays(5.0), "runs_open"),
        (lambda s: s.find_ended(RunsSought(1, 9)), "runs_ended"),
        (lambda s: s.find_ended(RunsSought(99, 9, is_back=True)), "runs_ended"),
        (lambda s: s.find_ended(RunsSought(99, 9, job="none")), "runs_of_job (job=? AND id<?)"),
        (lambda s: s.find_ended(RunsSought(99, 9, state="failed")), "runs_of_state (state=?"),
        (
            lambda s: s.find_ended(RunsSought(99, 9, job="none", state="failed", text="a")),
            "runs_of_job_and_state (job=? AND state=? AND id<?)",
        ),
    ],
)
def test_what_is_looked_for_among_many_runs_has_an_index(
    master: Master, verb: Any, index: str
) -> None:
    said: list[str] = []
    master.store._db.set_trace_callback(said.append)
    verb(master.store)
    master.store._db.set_trace_callback(None)
    queries = [text for text in said if "FROM runs" in text]
    assert queries
    for query in queries:
        plan = str(master.store._db.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
        assert index in plan
        assert "TEMP B-TREE" not in plan


def test_an_ended_run_is_read_when_it_is_asked_for(master: Master) -> None:
    run = find_run(master.turn, 7)
    assert (run.job, run.state, run.done, run.args) == ("square", "done", 7, ["count=7"])
    with pytest.raises(RefusedError, match=r"no run 99; the newest are 28, 29, 30, 31, 32$"):
        find_run(master.turn, 99)


def test_who_still_has_a_run_and_who_asks_for_it_have_the_same(master: Master) -> None:
    run = master.run(7)
    master.broker.retire(run)
    assert 7 not in master.broker.runs
    assert master.run(7) is run


def test_of_a_run_that_nobody_has_nothing_stays_in_memory(master: Master) -> None:
    run = weakref.ref(master.run(7))
    master.broker.retire(master.broker.runs[7])
    gc.collect()
    assert run() is None
    assert master.run(7).done == 7


def test_an_active_run_never_leaves_the_memory(master: Master) -> None:
    master.broker.retire(master.broker.runs[31])
    assert 31 in master.broker.runs


def test_a_retired_run_that_was_forgotten_is_not_there_any_more(master: Master) -> None:
    run = master.run(7)
    master.broker.forget(run)
    master.store.commit(master.broker.changes)
    master.broker.committed()
    assert recall(master.turn, 7) is None


def test_a_retired_run_is_retried_like_any_other(master: Master) -> None:
    run = master.run(7)
    master.broker.retire(run)
    master.broker.finished(run, run.ended_at or 0.0, run.ended_at or 0.0)
    master.broker.finish_runs(1.0)  # who staged this had it: it is found
    assert master.broker.changes.runs[7].collect_cursor == CollectCursor(closed=True)


# --- status ---


def test_a_page_has_the_active_runs_and_the_newest_ended_ones(master: Master) -> None:
    page = master.status.runs(AskRuns(1, ended=20))
    newest = [32, *range(30, 30 - 20 + 1, -1)]
    assert [run.run for run in page.runs] == [0, 31, *newest]
    assert page.more == 31 - 20


def test_a_summary_counts_what_it_leaves_out(master: Master) -> None:
    master.commands = [SimpleNamespace(hello=Hello("client", "h", 1), since=0.0, address="a")]
    summary = master.status.summary(AskStatus(1))
    assert (summary.active_runs, summary.ended_runs, summary.sessions) == (2, 31, 1)
    assert master.status.run(AskRun(1, 7)).run.run == 7


def ids(page: Any) -> list[int]:
    return [run.run for run in page.runs]


def test_a_run_is_told_once_while_its_end_or_its_retry_is_on_its_way_to_the_disk(
    master: Master,
) -> None:
    """A commit on another machine takes a while, and `status` answers meanwhile."""
    master.broker.cancel(master.run(31), 1.0)
    assert master.broker.retry(master.run(32), 1.0, [(1, None)]) == 1
    runs, summary = master.status.runs, master.status.summary(AskStatus(1))
    assert ids(runs(AskRuns(1))) == [0, 31, 32, *range(30, 0, -1)]
    assert ids(runs(AskRuns(1, state="active"))) == [0, 31]
    assert ids(runs(AskRuns(1, state="cancelled"))) == []
    assert ids(runs(AskRuns(1, state="done", ended=3))) == [32, 30, 29]
    assert ids(runs(AskRuns(1, back=True, ended=0))) == [0, 31]
    assert (summary.active_runs, summary.ended_runs) == (2, 31)


def test_runs_are_chosen_by_state_and_job(master: Master) -> None:
    def chosen(**choice: Any) -> list[int]:
        return [run.run for run in master.status.runs(AskRuns(1, **choice)).runs]

    other = master.broker.start_run("other", [], None, RunOptions(), 1.0)
    assert chosen(state="active") == [0, 31, other.id]
    assert chosen(job="other") == [other.id]
    assert chosen(state="done", job="other") == []
    assert chosen(state="done", ended=3) == [32, 30, 29]


def test_a_page_without_a_run_that_was_asked_for_leads_on(master: Master) -> None:
    found, after, complete, pages = [], 0, False, 0
    while not complete:
        page = master.status.runs(AskRuns(1, after, state="done", ended=7))
        found += [run.run for run in page.runs]
        after, complete, pages = page.last, page.complete, pages + 1
    assert found == [32, *range(30, 0, -1)]
    assert pages == 5
    page = master.status.runs(AskRuns(1, search="nowhere", ended=7))
    assert (page.runs, page.last, page.complete, page.more) == ([], -25, False, 31 - 7)
    page = master.status.runs(AskRuns(1, state="cancelled", ended=7))
    assert (page.runs, page.complete, page.more) == ([], True, 0)


def test_active_runs_alone_are_one_list_that_ends(master: Master) -> None:
    page = master.status.runs(AskRuns(1, ended=0))
    assert ([run.run for run in page.runs], page.complete, page.more) == ([0, 31], True, 31)
    assert master.status.runs(AskRuns(1, after=-20, ended=0)).complete


def test_a_page_leads_back_to_the_one_before(master: Master) -> None:
    asked: dict[str, Any] = {"limit": 4}
    pages = [master.status.runs(AskRuns(1, **asked))]
    while not pages[-1].complete:
        pages.append(master.status.runs(AskRuns(1, pages[-1].last, **asked)))
    assert [ids(page) for page in pages[:2]] == [[0, 31, 32, 30], [29, 28, 27, 26]]
    for before, page in zip(pages[-2::-1], pages[:0:-1], strict=True):
        back = master.status.runs(AskRuns(1, page.first, back=True, **asked))
        assert (ids(back), back.first, back.last) == (ids(before), before.first, before.last)
        assert back.complete == (before is pages[0])
        assert back.more == (0 if back.complete else 33 - before.more - len(before.runs))
    last = master.status.runs(AskRuns(1, back=True, **asked))
    assert (ids(last), last.complete) == ([4, 3, 2, 1], False)
    active = master.status.runs(AskRuns(1, back=True, ended=0))
    assert (ids(active), active.complete) == ([0, 31], True)


def test_runs_are_found_by_a_text_in_their_job_key_or_arguments(master: Master) -> None:
    some = [
        run_record(40, job="Crawl", state="failed", ended_at=1.0),
        run_record(41, key="spring-2026", state="done", ended_at=1.0),
        run_record(42, args=["start=https://Crawl.example"], state="done", ended_at=1.0),
        run_record(43, args=["a", "b" * 65 + "rest"], state="done", ended_at=1.0),
    ]
    records = {record.id: replace(record, collect_cursor=CLOSED) for record in some}
    master.store.commit(Changes(runs=records))
    master.broker.next_run = 44

    def found(text: str, **fields: Any) -> list[int]:
        return ids(master.status.runs(AskRuns(1, search=text, ended=10_000, **fields)))

    assert found("crawl") == found("CRAWL") == [42, 40]
    assert found("crawl", state="failed") == found("crawl", job="Crawl") == [40]
    assert found("SPRING-2026") == [41]
    assert found("start=https") == [42]
    assert found("Abbb") == [], "the length of an argument is no text"
    assert found("count=7", limit=3) == [30, 29, 28]
    assert found("17") == [17], "a number is that of a run, too"
    other = master.broker.start_run("other", ["deep=1"], None, RunOptions(), 1.0)
    assert found("deep") == [other.id]
    assert found("nowhere") == []


def listed(master: Master) -> list[int]:
    """The runs of all pages, each of which fits into a frame."""
    found: list[int] = []
    last, complete = 0, False
    while not complete:
        page = master.status.runs(AskRuns(1, last))
        assert page.runs
        assert len(encode(page)) < FRAME_BYTES // 2
        found += [run.run for run in page.runs]
        last, complete = page.last, page.complete
    return found


def test_all_runs_are_in_pages(master: Master) -> None:
    assert listed(master) == [0, 31, 32, *range(30, 0, -1)]
    everything = master.status.runs(AskRuns(1))
    assert [run.run for run in everything.runs] == listed(master)
    assert everything.complete


def test_many_active_runs_are_in_pages_too(master: Master, monkeypatch: Any) -> None:
    monkeypatch.setattr("master.observe.paging.PAGE_ENTRIES", 3)
    for _ in range(4):
        master.broker.start_run("job", [], None, RunOptions(), 1.0)
    assert listed(master) == [0, 31, 33, 34, 35, 36, 32, *range(30, 0, -1)]


def test_sixty_five_thousand_runs_do_not_reach_the_limit_of_a_frame(tmp_path: Path) -> None:
    fill(tmp_path, MANY)
    master = Master(tmp_path)
    assert len(master.broker.runs) == 3
    assert len(listed(master)) == MANY + 3
    assert len(master.broker.runs) == 3, "who looks leaves nothing in memory"
    master.store.close()


def test_very_long_arguments_are_cut_in_lists_alone(tmp_path: Path) -> None:
    words = ["a" * 3_000_000, "b" * 3_000_000]
    fill(tmp_path, 12, words)
    master = Master(tmp_path)
    assert len(listed(master)) == 15
    assert len(encode(master.status.runs(AskRuns(1)))) < 2 * PAGE_BYTES
    assert master.status.run(AskRun(1, 7)).run.args == words
    master.store.close()


def test_sessions_are_in_pages(master: Master, monkeypatch: Any) -> None:
    monkeypatch.setattr("master.observe.paging.PAGE_ENTRIES", 3)
    master.commands = [
        SimpleNamespace(hello=Hello("client", "host", n), since=0.0, address="a") for n in range(8)
    ]
    first = master.status.sessions(AskSessions(1))
    assert ([one.name for one in first.sessions], first.more) == (
        ["host/0", "host/1", "host/2"],
        5,
    )
    page = master.status.sessions(AskSessions(1, first.last))
    rest = master.status.sessions(AskSessions(1, page.last))
    assert [one.name for one in page.sessions + rest.sessions] == [f"host/{n}" for n in range(3, 8)]
    assert (page.complete, rest.complete) == (False, True)


# --- runners ---


def test_of_a_runner_whose_run_has_ended_nothing_stays() -> None:
    runners = Runners({}, {})
    runs = [Run(n, "job", [], None, RunOptions(), 0.0, state="done") for n in (1, 2, 3)]
    done, stalled, gone = (Runner(run) for run in runs)
    runners.all = {1: done, 2: stalled, 3: gone}
    done.state, stalled.state = RunnerState.ENDED, RunnerState.STALLED
    gone.state = RunnerState.STALLED
    for run in runs:
        runners.run_ended(run)
    assert list(runners.all) == [2, 3], "that one was given up is told, and tried again"
    runners.gone(3)
    assert list(runners.all) == [2]


@pytest.mark.parametrize("after", [-(2**63), 2**64 - 1])
def test_a_place_that_no_run_has_is_no_error_of_the_store(master: Master, after: int) -> None:
    page = master.status.runs(AskRuns(1, after))
    assert page.complete

"""When a runner asks for the next page of what its run has brought."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from master.runner import collector
from master.runner.collector import GATHER_S, MANY, Collector
from master.runner.job_errors import JobErrors
from master.runner.reporting import Reporter
from master.runner.session import RunnerSession
from queue_manager import codec
from queue_manager.wire.messages import Page
from queue_manager.wire.records import Ended


def page(first: int, count: int, *, complete: bool = False) -> Page:
    """A page of so many outcomes of one task each."""
    outcomes = [
        Ended(n, n, 0, 1, codec.encode_batch([f"result {n}"])) for n in range(first, first + count)
    ]
    bodies = {one.first: codec.encode_batch([one.first]) for one in outcomes}
    return Page(1, outcomes, bodies, first + count - 1, complete, 1.0 if complete else None)


def order_of(pages: list[Page], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in its order: `asked`, `collected N`, `paused S`."""
    order: list[str] = []

    def request(make: Any, answer: type[Any]) -> Future[Any]:
        order.append("asked")
        future: Future[Any] = Future()
        future.set_result(pages.pop(0))
        return future

    clock = SimpleNamespace(
        monotonic=lambda: 1000.0, sleep=lambda pause_s: order.append(f"paused {pause_s}")
    )
    monkeypatch.setattr(collector, "time", clock)
    session = cast(RunnerSession, SimpleNamespace(request=request, send=lambda _: None))
    errors = JobErrors()
    reporter = Reporter(session, 3, None, errors)

    def collect(payload: int, result: str) -> None:
        assert result == f"result {payload}"
        order.append(f"collected {payload}")

    Collector(session, 3, collect, 0, 0, errors, reporter).collect_all()
    return order


def test_a_result_that_cannot_be_decoded_is_a_complaint_and_the_others_are_collected() -> None:
    bad = codec.encode_items([codec.encode("a"), b"\x80", codec.encode("c")])
    told: list[Any] = []
    collected: list[Any] = []
    answered: Future[Page] = Future()
    answered.set_result(
        Page(1, [Ended(1, 11, 0, 3, bad)], {11: codec.encode_batch([1, 2, 3])}, 1, True, 1.0)
    )
    session = cast(
        RunnerSession, SimpleNamespace(request=lambda make, answer: answered, send=told.append)
    )
    errors = JobErrors()
    reporter = Reporter(session, 3, None, errors)
    Collector(
        session, 3, lambda *pair: collected.append(pair), 0, 0, errors, reporter
    ).collect_all()
    assert collected == [(1, "a"), (3, "c")]
    assert sum(message.errors for message in told) == 1


def test_behind_a_page_with_little_on_it_more_is_let_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each commit of the master is a page of its own, with all that this costs both."""
    pause = f"paused {GATHER_S}"
    pages = [page(1, 2), page(3, 1), page(4, 1, complete=True)]
    assert order_of(pages, monkeypatch) == [
        "asked", "collected 1", "collected 2", pause,
        "asked", "collected 3", pause,
        "asked", "collected 4",
    ]  # fmt: skip


def test_the_next_page_comes_while_a_full_one_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    order = order_of([page(1, MANY), page(MANY + 1, 0, complete=True)], monkeypatch)
    assert order == ["asked", "asked", *(f"collected {n}" for n in range(1, MANY + 1))]

"""The results of the runs before, as `tasks(previous)` gets them: page by page, in task order."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, cast

import pytest

from master.runner.previous import previous, results_of
from master.runner.session import RunnerSession
from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.wire.messages import AskResults, Results
from queue_manager.wire.records import Ended, ResultBlock


class FakeSession:
    """Answers requests for results from pages. asked: the places, in the order they came."""

    def __init__(self, *pages: list[ResultBlock]) -> None:
        self.pages = pages
        self.asked: list[tuple[int, int]] = []

    def request(self, make: Any, answer: type[Any]) -> Future[Results]:
        message: AskResults = make(1)
        self.asked.append((message.run, message.after))
        future: Future[Results] = Future()
        at = message.after
        complete = at + 1 == len(self.pages)
        future.set_result(Results(1, self.pages[at], at + 1, complete))
        return future


def block(first: int, *ranges: list[Any]) -> ResultBlock:
    """A block whose results came in some outcomes."""
    ended, position = [], 0
    for values in ranges:
        stop = position + len(values)
        ended.append(Ended(1, first, position, stop, codec.encode_batch(values)))
        position = stop
    return ResultBlock(first, position, b"", None, ended, [], {})


def session(*pages: list[ResultBlock]) -> tuple[FakeSession, RunnerSession]:
    made = FakeSession(*pages)
    return made, cast(RunnerSession, made)


def test_results_come_in_task_order_over_pages_and_outcomes() -> None:
    _, wire = session([block(1, [1, 2], [3])], [], [block(4, [(4,)]), block(5, [{"a": 5}])])
    assert list(results_of(wire, 3)) == [1, 2, 3, (4,), {"a": 5}]


def test_a_run_without_results_gives_none() -> None:
    _, wire = session([])
    assert list(results_of(wire, 3)) == []


def test_at_most_one_page_is_asked_for_beforehand() -> None:
    fake, wire = session(*([block(1, [n])] for n in range(5)))
    results = results_of(wire, 3)
    assert fake.asked == [], "nothing is read that nobody takes"
    assert next(results) == 0
    assert fake.asked == [(3, 0), (3, 1)]
    assert next(results) == 1
    assert fake.asked == [(3, 0), (3, 1), (3, 2)]


def test_one_run_is_an_iterator_and_several_are_a_list_of_them() -> None:
    _, wire = session([block(1, [7])])
    assert next(previous(wire, [3])) == 7
    both = previous(wire, [3, 4])
    assert [list(one) for one in both] == [[7], [7]]


def test_a_result_that_can_not_be_decoded_is_named() -> None:
    ended = Ended(1, 5, 0, 2, codec.encode_items([codec.encode(1), b"\xc1"]))
    _, wire = session([ResultBlock(5, 2, b"", None, [ended], [], {})])
    results = results_of(wire, 3)
    assert next(results) == 1
    with pytest.raises(ProtocolError, match="run 3, the result of task 6"):
        next(results)

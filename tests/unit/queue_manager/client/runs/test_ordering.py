"""Outcomes that wait for their turn or for their inputs: each is given once, and few are held."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from queue_manager.client.runs import ordering
from queue_manager.client.runs.ordering import NONE_LEFT, AsCompleted, InOrder, Order, _Given
from queue_manager.client.runs.outcomes import Cancelled, Outcome, Reread, bytes_of, count_of
from queue_manager.errors import QueueError
from queue_manager.wire.records import DeadLetter
from tests.unit.queue_manager.client.runs.test_flow import a_flow, dead, never, part, taken


def test_a_part_whose_inputs_are_not_all_read_holds_up_no_other() -> None:
    """It was an error that the run was cancelled: what is behind the inputs was never opened."""
    flow, _ = a_flow(accepted=20, ordered=False)
    flow.fill(iter(range(5)), never, 1.0)
    flow.receive([part(4, 3, 4, 5, 6)])
    assert taken(flow) == [3, 4]
    flow.receive([part(1, 0, 1, 2), part(8, 7)])
    flow.receive(None)
    assert (taken(flow), flow.done) == ([0, 1, 2], True)


def test_results_behind_the_inputs_hold_no_page_back() -> None:
    """Whoever gives results out asks for more while an input that was read has none."""
    flow, _ = a_flow(accepted=20, ordered=False)
    flow.put(0)
    flow.receive([part(9, *range(8, 12))])
    assert taken(flow) == []
    assert not flow.short
    flow.receive([part(1, 0)])
    assert taken(flow) == [0]
    assert flow.short, "now nothing but an input is missing"
    flow.over = True
    assert (taken(flow), flow.done, flow.short) == ([], True, False)


def test_inputs_are_read_on_while_all_results_that_are_here_are_behind_them() -> None:
    flow, _ = a_flow(accepted=20, ordered=False)
    flow.receive([part(4, 3)])
    inputs = iter(range(9))
    flow.fill(inputs, never, 0.0)
    assert taken(flow) == []
    flow.fill(inputs, never, 0.0)
    assert flow.fed == 4, "the first of them is to be given out"
    assert taken(flow) == [3]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_failure_that_was_given_and_is_cancelled_then_counts_once(ordered: bool) -> None:
    flow, _ = a_flow(ordered=ordered, return_exceptions=True)
    flow.fill(iter("abcd"), never, 1.0)
    flow.receive([part(1, "A"), dead(2)])
    assert len(taken(flow)) == 2
    flow.receive([Cancelled(2, 3)])
    found = taken(flow)
    assert [str(one) for one in found] == ["task 3 was cancelled", "task 4 was cancelled"]
    assert (flow.done, flow.given) == (True, 4)


@pytest.mark.parametrize("order", [InOrder(), AsCompleted()])
def test_a_million_cancelled_tasks_come_a_thousand_at_a_time(order: Order) -> None:
    order.add(Cancelled(1, 1_000_000))
    assert order.take(1_000_000) == Cancelled(1, 1_024)
    assert order.take(1_000_000) == Cancelled(1_025, 1_024)


def test_what_was_given_is_remembered_as_few_ranges() -> None:
    """A million failures took 60 MB."""
    given, numbers = _Given(), list(range(1, 1_001))
    Random(1).shuffle(numbers)
    for number in numbers:
        assert given.free(number, number + 1) == (number, number + 1)
        given.add(number, number + 1)
        assert given.free(number, number + 1)[0] > number
    assert given.free(1, 2_000) == (1_001, 2_000)
    assert given._ranges == [(1, 1_001)]


def test_what_was_read_again_takes_the_place_of_no_newer_result() -> None:
    for order in (InOrder(), AsCompleted()):
        order.add(part(1, "tried again"))
        order.add(dead(1))
        assert order.take(9) == part(1, "tried again")


class Master:
    """A run whose tasks end one by one, in any order. Pages come late, and are of any time.

    heard: how many of these outcomes were delivered. asked: from which task on is to be read.
    """

    def __init__(self, outcomes: list[Outcome], random: Random) -> None:
        self.outcomes, self.random = outcomes, random
        self.ended = self.heard = 0
        self.asked: int | None = None
        self.reread: Reread | None = None
        self.times_asked = 0

    def again(self, first: int) -> None:
        assert self.asked is self.reread is None
        self.asked = first
        self.times_asked += 1

    def _read(self, first: int) -> Reread:
        there = {one.task: one for one in self.outcomes[: self.ended]}  # the newest counts
        behind = sorted(task for task in there if task + count_of(there[task]) > first)
        page = [there[task] for task in behind[: self.random.randint(1, 5)]]
        if len(page) == len(behind):
            return Reread(page, NONE_LEFT)
        return Reread(page, page[-1].task + count_of(page[-1]))

    def moves(self) -> list[Any]:
        """What comes now."""
        self.ended = min(len(self.outcomes), self.ended + self.random.randint(0, 20))
        if self.asked is not None and self.random.random() < 0.5:
            self.reread, self.asked = self._read(self.asked), None
        elif self.reread is not None and self.random.random() < 0.5:
            answer, self.reread = self.reread, None
            return [answer]
        if self.heard == len(self.outcomes):
            return []
        start, self.heard = self.heard, min(self.ended, self.heard + self.random.randint(0, 10))
        news: list[Any] = [self.outcomes[start : self.heard]]
        return [*news, None] if self.heard == len(self.outcomes) else news


def outcomes_of(random: Random, tasks: int) -> list[Outcome]:
    """An outcome of each task, in an order in which they may end, and some failures before."""
    parts: list[Outcome] = []
    task = 1
    while task <= tasks:
        count = min(random.choice([1, 1, 2, 7]), tasks + 1 - task)
        parts.append(part(task, *range(task, task + count)))
        task += count
    last = parts[: random.randint(1, 3)]  # the first ones end last
    others = parts[len(last) :]
    random.shuffle(others)
    for one in [*others, *last]:
        if count_of(one) == 1 and random.random() < 0.3:
            others.insert(random.randint(0, len(others)), dead(one.task))
    seen: set[int] = set()
    found: list[Outcome] = []
    for one in [*others, *last]:  # a failure behind its result is none
        if not (isinstance(one, DeadLetter) and one.task in seen):
            found.append(one)
            seen.add(one.task)
    return found


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("ordered", [True, False])
def test_each_result_is_given_once_though_few_may_wait(
    ordered: bool, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "WAITING_BYTES", 4_000)
    random = Random(seed)
    tasks = 400
    run = Master(outcomes_of(random, tasks), random)
    flow, _ = a_flow(
        accepted=tasks, ordered=ordered, return_exceptions=True, buffer=50, again=run.again
    )
    count = random.choice([tasks, tasks, 150])
    inputs, found = iter(range(count)), list[Any]()
    for _ in range(3_000):
        if not flow.over:
            flow.fill(inputs, never, random.choice([0.0, 1.0]))
        found += taken(flow)
        if flow.done:
            break
        for delivery in run.moves():
            flow.receive(delivery)
        assert sum(map(bytes_of, flow._order._waiting._held.values())) <= 4_000
    assert flow.done
    results = [one for one in found if isinstance(one, int)]
    failures = [one for one in found if isinstance(one, QueueError)]
    assert len(found) == count
    assert len(results) == len(set(results)) == count - len(failures)
    if ordered:
        assert all(one == n for n, one in enumerate(found, 1) if isinstance(one, int))
    else:
        assert set(results) <= set(range(1, count + 1))
    if ordered and count == tasks:
        assert run.times_asked, "this test is about results that were left with the master"


def test_a_run_that_lacks_results_is_an_error_once_all_were_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ordering, "WAITING_BYTES", 2_000)
    asked: list[int] = []
    flow, _ = a_flow(again=asked.append)
    flow.fill(iter(range(20)), never, 1.0)
    flow.receive([part(n, n) for n in range(2, 21)])
    flow.receive([part(1, 1)])
    flow.receive(None)
    found = taken(flow)
    assert asked == [len(found) + 1]
    flow.receive(Reread([], NONE_LEFT))
    with pytest.raises(QueueError, match="was cancelled before"):
        flow.take()


@pytest.mark.parametrize("ordered", [True, False])
def test_a_result_that_is_larger_than_all_that_may_wait_is_given(
    ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "WAITING_BYTES", 2_000)
    flow, _ = a_flow(accepted=3, ordered=ordered, again=lambda first: pytest.fail("it is here"))
    large = "x" * 5_000
    flow.receive([part(1, large), part(2, large)])
    assert taken(flow) == []
    flow.put(0)
    assert taken(flow) == [large]

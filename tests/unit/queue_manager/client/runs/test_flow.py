"""How far a map reads ahead, in which order it gives out, and what it raises when."""

from __future__ import annotations

from typing import Any, cast

import pytest

from queue_manager import codec
from queue_manager.client.runs.feeding import Feed
from queue_manager.client.runs.flow import Flow
from queue_manager.client.runs.ordering import AsCompleted, InOrder
from queue_manager.client.runs.outcomes import Cancelled, Outcome, Part, bytes_of
from queue_manager.errors import ProtocolError, QueueError
from queue_manager.wire.records import DeadLetter


class FakeFeed:
    """Takes all that it is given, while it has room."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.room = True

    def add(self, item: Any) -> None:
        self.items.append(item)


def a_flow(**how: Any) -> tuple[Flow, FakeFeed]:
    feed = FakeFeed()
    accepted = how.pop("accepted", 0)
    return Flow(cast(Feed, feed), accepted, **how), feed


def never() -> bool:
    return False


def part(task: int, *values: Any) -> Part:
    return Part(task, len(values), codec.encode_batch(values))


def dead(task: int, error: str = "ValueError: odd") -> DeadLetter:
    return DeadLetter(task, 1, 0, error, "")


def taken(flow: Flow) -> list[Any]:
    """All that it gives out now."""
    found: list[Any] = []
    while (values := flow.take()) is not None:
        found += values
    return found


def test_results_come_in_the_order_of_their_inputs() -> None:
    flow, feed = a_flow()
    flow.fill(iter("abcdef"), never, 1.0)
    assert (feed.items, flow.over, flow.whole) == (list("abcdef"), True, True)
    flow.receive([part(3, "C", "D"), part(6, "F")])
    assert taken(flow) == []
    flow.receive([part(1, "A", "B")])
    assert taken(flow) == ["A", "B", "C", "D"]
    assert not flow.done
    flow.receive([part(5, "E")])
    assert taken(flow) == ["E", "F"]
    assert flow.done


def test_results_come_as_they_are_done_if_nobody_wants_an_order() -> None:
    flow, _ = a_flow(ordered=False)
    flow.fill(iter("abc"), never, 1.0)
    flow.receive([part(3, "C"), part(1, "A")])
    assert taken(flow) == ["C", "A"]


def test_inputs_are_read_only_as_far_ahead_as_the_buffer_says() -> None:
    flow, feed = a_flow(buffer=10)
    inputs = iter(range(1_000_000))
    flow.fill(inputs, never, 1.0)
    assert len(feed.items) == 10
    flow.receive([part(1, 0, 1, 2)])
    assert taken(flow) == [0, 1, 2]
    flow.fill(inputs, never, 1.0)
    assert len(feed.items) == 13


def test_large_results_make_the_buffer_small() -> None:
    flow, feed = a_flow(buffer=100_000)
    inputs = iter(range(1_000_000))
    flow.fill(inputs, never, 1.0)
    assert len(feed.items) == 1_024, "nothing is known of the results"
    large = b"x" * 1_000_000
    found = 0
    for number in range(1, 1_025):
        flow.receive([part(number, large)])
        found += len(taken(flow))
    assert found == 1_024
    flow.fill(inputs, never, 1.0)
    assert len(feed.items) - 1_024 < 70, "64 MiB in all"


def test_inputs_that_the_run_has_already_are_read_and_not_given_again() -> None:
    flow, feed = a_flow(accepted=3)
    flow.fill(iter("abcde"), never, 1.0)
    assert feed.items == ["d", "e"]
    assert flow.fed == 5


def test_reading_ends_when_results_are_there_or_nothing_more_may_be_sent() -> None:
    flow, feed = a_flow()
    flow.fill(iter(range(100)), lambda: True, 0.0)
    assert len(feed.items) == 1
    feed.room = False
    flow.fill(iter(range(100)), never, 1.0)
    assert len(feed.items) == 1
    assert not flow.over


def test_a_failure_is_raised_in_its_turn_or_given_out() -> None:
    outcomes: list[Outcome] = [dead(2), part(3, "C"), part(1, "A")]
    flow, _ = a_flow()
    flow.fill(iter("abc"), never, 1.0)
    flow.receive(outcomes)
    assert flow.take() == ["A"]
    with pytest.raises(QueueError, match="odd"):
        flow.take()
    flow, _ = a_flow(return_exceptions=True)
    flow.fill(iter("abc"), never, 1.0)
    flow.receive(outcomes)
    one, failure, other = taken(flow)
    assert (one, other, flow.failed) == ("A", "C", 1)
    assert isinstance(failure, QueueError)


def test_a_result_that_cannot_be_decoded_is_a_failure_of_its_own() -> None:
    items = codec.batch_items(codec.encode_batch([1, (2,), 3]))
    spoiled = codec.encode_items([items[0], b"\x80nonsense", items[2]])
    flow, _ = a_flow(return_exceptions=True)
    flow.fill(iter("abc"), never, 1.0)
    flow.receive([Part(1, 3, spoiled)])
    one, failure, three = taken(flow)
    assert (one, three) == (1, 3)
    assert isinstance(failure, ProtocolError)
    flow, _ = a_flow()
    flow.fill(iter("abc"), never, 1.0)
    flow.receive([Part(1, 3, spoiled)])
    assert flow.take() == [1]
    with pytest.raises(ProtocolError):
        flow.take()


def test_a_run_that_ends_too_early_is_an_error_and_not_fewer_results() -> None:
    flow, _ = a_flow()
    flow.fill(iter("abc"), never, 1.0)
    flow.receive([part(1, "A")])
    flow.receive(None)
    assert flow.take() == ["A"]
    with pytest.raises(QueueError, match="was cancelled"):
        flow.take()


def test_what_came_instead_of_outcomes_is_raised() -> None:
    flow, _ = a_flow()
    with pytest.raises(QueueError, match="gone"):
        flow.receive(QueueError("gone"))


def test_the_newest_outcome_of_a_task_counts_and_each_is_given_once() -> None:
    order = InOrder()
    order.add(dead(1))
    order.add(part(1, "tried again"))
    assert order.take(9) == part(1, "tried again")
    order.add(part(1, "tried again"))
    assert order.take(9) is None
    unordered = AsCompleted()
    unordered.add(dead(5))
    unordered.add(part(5, "tried again"))
    assert (unordered.take(9), unordered.take(9)) == (part(5, "tried again"), None)


def test_a_failure_that_was_given_out_and_is_tried_again_counts_once() -> None:
    """A map that counted it twice would end before its last result."""
    flow, _ = a_flow(ordered=False, return_exceptions=True)
    flow.fill(iter("abc"), never, 1.0)
    flow.receive([dead(2)])
    assert len(taken(flow)) == 1
    flow.receive([part(2, "tried again"), part(1, "A")])
    assert taken(flow) == ["A"]
    assert not flow.done
    flow.receive([part(3, "C"), dead(2)])
    assert (taken(flow), flow.done) == (["C"], True)


@pytest.mark.parametrize("ordered", [True, False])
def test_tasks_that_were_cancelled_are_failures_in_their_places(ordered: bool) -> None:
    outcomes: list[Outcome] = [part(1, "A"), Cancelled(2, 2), part(4, "D")]
    flow, _ = a_flow(ordered=ordered, return_exceptions=True)
    flow.fill(iter("abcd"), never, 1.0)
    flow.receive(outcomes)
    found = taken(flow)
    assert [str(one) for one in found] == ["A", "task 2 was cancelled", "task 3 was cancelled", "D"]
    assert (flow.done, flow.failed) == (True, 2)
    flow, _ = a_flow(ordered=ordered)
    flow.fill(iter("abcd"), never, 1.0)
    flow.receive(outcomes)
    assert flow.take() == ["A"]
    with pytest.raises(QueueError, match="task 2 was cancelled"):
        flow.take()


def test_failures_take_memory_as_results_do() -> None:
    flow, feed = a_flow(buffer=100_000, return_exceptions=True)
    inputs = iter(range(1_000_000))
    flow.fill(inputs, never, 1.0)
    large = [DeadLetter(n, 1, 0, "bad", "x" * 999_997) for n in range(1, 1_025)]
    for letter in large:
        assert flow.receive([letter]) == bytes_of(letter) > 1_000_000
        assert len(taken(flow)) == 1
    flow.fill(inputs, never, 1.0)
    assert len(feed.items) - 1_024 < 70, "64 MiB in all"


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_run_of_more_tasks_than_the_call_has_inputs_gives_one_result_for_each_input(
    ordered: bool, at_once: bool
) -> None:
    """Whether the results are there before the inputs are read, or behind that."""
    flow, feed = a_flow(accepted=20, ordered=ordered)
    inputs, found = iter(range(5)), list[Any]()
    if at_once:
        flow.fill(inputs, never, 1.0)
    flow.receive([part(13, *range(12, 20)), part(1, *range(3)), part(4, *range(3, 12))])
    flow.receive(None)
    for _ in range(20):
        flow.fill(inputs, never, 0.0)  # one input, as from a slow generator
        found += taken(flow)
        if flow.done:
            break
        assert len(found) == flow.given == flow.fed
    assert (found, flow.done, feed.items) == ([0, 1, 2, 3, 4], True, [])


def test_failures_behind_the_last_input_are_not_those_of_the_call() -> None:
    flow, _ = a_flow(accepted=6)
    flow.fill(iter(range(2)), never, 1.0)
    flow.receive([part(1, 0, 1, 2), dead(4), Cancelled(5, 2)])
    assert (taken(flow), flow.done) == ([0, 1], True)


@pytest.mark.parametrize("ordered", [True, False])
def test_results_that_wait_for_their_inputs_are_told(ordered: bool) -> None:
    """Whoever reads the inputs beside it wakes whoever takes the results then."""
    flow, _ = a_flow(accepted=3, ordered=ordered)
    assert not flow.short
    flow.receive([part(1, "A", "B"), part(3, "C")])
    flow.receive(None)
    assert flow.take() is None
    assert flow.short
    for value in "ABC":
        flow.put(0)
        assert (taken(flow), flow.done) == ([value], False)
    assert not flow.short, "nothing is held, and more inputs may come"
    flow.over = True
    assert (taken(flow), flow.done) == ([], True)


def test_what_was_tried_again_counts_once_also_while_it_waits_for_its_input() -> None:
    order = AsCompleted()
    order.add(dead(5))
    assert order.take(4) is None
    order.add(part(5, "tried again"))
    assert order.ready(5)
    assert not order.ready(4)
    assert (order.take(5), order.take(9)) == (part(5, "tried again"), None)
    assert not order.ready(9)


@pytest.mark.parametrize("ends", [SystemExit(3), GeneratorExit(), ValueError("odd")])
def test_whatever_ends_the_inputs_but_an_interrupt_comes_behind_the_results(
    ends: BaseException,
) -> None:
    def inputs(error: BaseException) -> Any:
        yield 1
        raise error

    flow, _ = a_flow()
    flow.fill(inputs(ends), never, 1.0)
    assert (flow.over, flow.whole) == (True, False)
    flow.receive([part(1, "A")])
    assert flow.take() == ["A"]
    with pytest.raises(type(ends)):
        flow.take()
    with pytest.raises(KeyboardInterrupt):
        a_flow()[0].fill(inputs(KeyboardInterrupt()), never, 1.0)

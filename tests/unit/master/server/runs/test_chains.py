"""Runs that are asked for after others: what is checked, who is told, what is refused."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from master.server.runs.asked import same_arguments
from queue_manager import codec
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import (
    Accepted,
    OpenRun,
    RunOpened,
    StartRun,
    SubmitTasks,
    TasksEnded,
)
from queue_manager.wire.records import Failed, RunOptions
from tests.unit.master.conftest import FakePeer, World, block
from tests.unit.master.server.runs.test_runs import submit, work


async def behind(world: World, *after: int, key: str | None = None, **fields: Any) -> Any:
    """A new run that is after others, on disk."""
    options = RunOptions(feeder=fields.get("feeder", "runner"))
    ask = StartRun(0, "later", [], key, after=list(after), **fields)
    assert await world.runs.find(ask) is None
    run, is_new = await world.runs.start(ask, options)
    assert is_new
    await world.turns()
    return run


async def end(world: World, run: Any, bad: bool = False) -> None:
    await submit(world, run, block(1))
    world.ask(FakePeer("runner"), TasksEnded(1, run.id))
    if not bad:
        await work(world, 1)
        return
    peer, worker = world.worker()
    world.report(worker, want=1)
    await world.turns()
    world.report(worker, Failed(peer.leases[-1].number, 0, "bad", reject=True))
    await world.turns()


def told(world: World) -> dict[str, list[int]]:
    """By occasion, the runs that listeners are told of from now on."""
    found: dict[str, list[int]] = {"started": [], "held up": []}
    world.runs.on_started.append(lambda run: found["started"].append(run.id))
    world.runs.on_held_up.append(lambda run: found["held up"].append(run.id))
    return found


def test_a_pending_run_has_no_runner_until_it_begins(
    play: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scene(world: World) -> None:
        first = await world.start_run()
        found = told(world)
        later = await behind(world, first.id)
        assert found["started"] == []
        assert (await submit(world, later, block(1))).sent[0].error.startswith("run 2 has not")
        peer = FakePeer("runner")
        world.ask(peer, TasksEnded(3, later.id))
        await world.turns()
        assert "has not begun" in peer.sent[0].error
        await end(world, first)
        assert found["started"] == [later.id]
        (accepted,) = (await submit(world, later, block(1))).sent
        assert accepted == Accepted(1, 1)

    play(scene)
    assert "run 2 (later) waits for run 1" in caplog.text
    assert "run 2 (later) begins: run 1 is done" in caplog.text


def test_a_run_after_one_that_is_done_on_disk_alone_starts_at_once(play: Any) -> None:
    async def scene(world: World) -> None:
        first = await world.start_run()
        await end(world, first)
        world.broker.retire(first)
        number = first.id
        del first
        found = told(world)
        later = await behind(world, number)
        assert found["started"] == [later.id]

    play(scene)


def test_a_run_that_is_asked_for_in_the_turn_of_the_end_starts_once(play: Any) -> None:
    async def scene(world: World) -> None:
        first = await world.start_run()
        found = told(world)
        world.ask(FakePeer("runner"), TasksEnded(1, first.id))
        ask = StartRun(0, "later", [], after=[first.id])
        later, _ = await world.runs.start(ask, RunOptions())
        await world.turns()
        assert found["started"] == [later.id]

    play(scene)


def test_those_behind_a_run_that_fails_are_told(
    play: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(world: World) -> None:
        first = await world.start_run()
        later = [await behind(world, first.id) for _ in range(5)]
        found = told(world)
        await end(world, first, bad=True)
        assert found == {"started": [], "held up": [run.id for run in later]}

    play(scene)
    line = "runs 2, 3, 4 and 2 more can't begin: run 1 has failed: `qm retry 1`, or `qm cancel 2`"
    assert line in caplog.text


def test_what_no_run_can_be_after_is_refused(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        world.broker.cancel(run, 0.0)
        world.turn.wake()
        await world.turns()
        for number, why in (
            (0, "the queue run never ends"),
            (7, "no run 7 to be after"),
            (-1, "no run -1"),
            (2**70, "no run"),
            (run.id, "run 1 was cancelled"),
        ):
            with pytest.raises(RefusedError, match=why):
                await behind(world, number)

    play(scene)


def test_a_run_named_twice_counts_once(play: Any) -> None:
    async def scene(world: World) -> None:
        first = await world.start_run()
        later = await behind(world, first.id, first.id)
        assert (later.after, later.waits_for) == ([first.id], [first.id])

    play(scene)


def test_the_same_key_needs_the_same_predecessors_and_values(play: Any) -> None:
    async def scene(world: World) -> None:
        first, second = await world.start_run(), await world.start_run()
        later = await behind(world, first.id, key="k")
        find = world.runs.find
        assert await find(StartRun(0, "later", [], "k", after=[first.id])) is later
        with pytest.raises(RefusedError, match="which is after run 1: take another"):
            await find(StartRun(0, "later", [], "k", after=[second.id]))
        values = codec.encode({"a": 1})
        with pytest.raises(RefusedError, match="is that of run 3"):
            await find(StartRun(0, "later", [], "k", arguments=values, after=[first.id]))
        with pytest.raises(RefusedError, match="a runner gives its tasks"):
            await find(StartRun(0, "later", [], "k", "results", after=[first.id]))

    play(scene)


def test_arguments_are_the_same_whatever_order_their_parts_have() -> None:
    one = codec.encode({"a": 1, "b": {"x": [2]}})
    assert same_arguments(one, codec.encode({"b": {"x": [2]}, "a": 1}))
    assert not same_arguments(one, codec.encode({"a": 1, "b": {"x": [3]}}))
    assert not same_arguments(one, b"")
    assert not same_arguments(one, b"\xc1")


def test_arguments_that_hold_one_value_many_times_are_compared_by_their_bytes() -> None:
    """Python would compare 2**60 texts, in the master's loop."""
    value: object = ["a"]
    for _ in range(60):
        value = [value, value]
    one, other = codec.encode({"x": value, "y": 1}), codec.encode({"y": 1, "x": value})
    assert same_arguments(one, one)
    assert not same_arguments(one, other)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"feeder": "client", "after": [1]}, "a client gives the tasks"),
        ({"feeder": "client", "arguments": b"x"}, "a client gives the tasks"),
        ({"feeder": "results"}, "say after which ones"),
        ({"feeder": "results", "after": [1], "args": ["a=1"]}, "takes no arguments"),
        ({"feeder": "results", "after": [1], "arguments": b"x"}, "takes no arguments"),
        ({"arguments": bytes(200_000)}, "put them in a file"),
    ],
)
def test_what_does_not_go_together_is_refused(play: Any, fields: dict[str, Any], why: str) -> None:
    async def scene(world: World) -> None:
        with pytest.raises(RefusedError, match=why):
            await world.runs.find(StartRun(0, "job", **({"args": []} | fields)))

    play(scene)


def test_a_runner_is_told_who_feeds_its_run_and_after_which_it_is(play: Any) -> None:
    async def scene(world: World) -> None:
        first = await world.start_run()
        later = await behind(world, first.id, feeder="results")
        peer = FakePeer("runner")
        world.ask(peer, OpenRun(1, later.id))
        await world.turns()
        (opened,) = peer.sent
        assert isinstance(opened, RunOpened)
        assert (opened.feeder, opened.arguments, opened.after) == ("results", b"", [first.id])

    play(scene)


def test_a_pending_run_takes_tasks_of_nobody(play: Any) -> None:
    async def scene(world: World) -> None:
        later = await behind(world, (await world.start_run()).id)
        peer = FakePeer("runner")
        world.ask(peer, SubmitTasks(1, later.id, [block(1)]))
        await world.turns()
        assert later.tasks == 0

    play(scene)

"""Runs over the wire: started once a key, filled with back-pressure, collected in order, read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from master.server.runs import submits as submits_module
from master.turn.steps import RETRY_S
from queue_manager import codec
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import (
    Accepted,
    OpenRun,
    Refused,
    RunOpened,
    StartRun,
    SubmitTasks,
    TasksEnded,
)
from queue_manager.wire.records import Done, NewBlock, RunOptions
from tests.unit.master.conftest import FakePeer, World, block


async def submit(world: World, run: Any, *blocks: NewBlock, seq: int = 1) -> FakePeer:
    peer = FakePeer("runner")
    world.ask(peer, SubmitTasks(seq, run.id, list(blocks)))
    await world.turns()
    return peer


async def work(world: World, tasks: int) -> None:
    """Have a worker do so many tasks, one at a time."""
    peer, worker = world.worker()
    for done in range(tasks):
        world.report(worker, want=1)
        await world.turns()
        lease = peer.leases[done]
        stop = lease.start + 1
        result = codec.encode_batch([-(lease.first + lease.start)])
        world.report(worker, Done(lease.number, lease.start, stop, result, 1.0))
        await world.turns()


# --- a run begins ---


def test_the_same_key_gives_the_same_run_within_a_turn_later_and_after_a_restart(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        start = world.runs.start
        ask = StartRun(0, "job", [], "k")
        started = await asyncio.gather(*(start(ask, run_options()) for _ in range(2)))
        assert [(run.id, created) for run, created in started] == [(1, True), (1, False)]
        assert (await world.start_run(key="k")).id == 1
        assert (await world.start_run(key="other")).id == 2
        assert (await world.start_run()).id == 3

    async def after(world: World) -> None:
        assert (await world.start_run(key="k")).id == 1
        assert (await world.start_run()).id == 4

    play(scene, after)


def test_a_map_takes_a_run_that_start_has_begun_unless_it_has_other_tasks_than_inputs(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        ask = StartRun(0, "job", [], "k", "client")
        plain = RunOptions(feeder="client")
        run, _ = await world.runs.start(ask, plain)
        mapped = replace(ask, inputs_only=True)
        assert await world.runs.find(ask) is run
        assert await world.runs.find(mapped) is None, "it is to take that"
        same, created = await world.runs.start(mapped, plain)
        assert (same is run, created, run.options.inputs_only) == (True, False, True)
        await world.runs.start(ask, plain)
        assert run.options.inputs_only, "its results belong to its inputs from now on"
        assert await world.runs.find(mapped) is run
        other, _ = await world.runs.start(replace(ask, key="other"), plain)
        world.broker.submit(other, block(1, keys=["a"]), 0.0, 0.0, True)
        with pytest.raises(RefusedError, match="run 2, which has tasks with keys, quotas or"):
            await world.runs.start(replace(mapped, key="other"), plain)

    async def after(world: World) -> None:
        assert world.broker.runs[1].options.inputs_only

    play(scene, after)


def run_options() -> Any:
    return RunOptions()


def test_listeners_hear_of_a_run_after_it_is_on_disk_and_once_when_it_ends(play: Any) -> None:
    async def scene(world: World) -> None:
        heard: list[Any] = []
        world.runs.on_started.append(lambda run: heard.append(("started", run.id)))
        world.runs.on_ended.append(lambda run: heard.append(("ended", run.id)))
        world.store.full = True
        with pytest.raises(RefusedError, match="full"):
            await world.start_run()
        assert heard == []
        world.store.full = False
        run = await world.start_run()
        await submit(world, run, block(1))
        for seq in (2, 3):
            world.ask(FakePeer(), TasksEnded(seq, run.id))
        await work(world, 1)
        assert heard == [("started", run.id), ("ended", run.id)]

    play(scene)


def test_an_unknown_run_is_refused_with_the_ones_there_are(play: Any) -> None:
    async def scene(world: World) -> None:
        await world.start_run()
        with pytest.raises(RefusedError, match="no run 9; there is 1"):
            world.ask(FakePeer(), OpenRun(1, 9))

    play(scene)


# --- tasks ---


def test_a_submit_is_answered_when_it_is_on_disk(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer = await submit(world, run, block(3), block(2))
        assert peer.sent == [Accepted(1, 5)]

    async def after(world: World) -> None:
        assert world.broker.runs[1].tasks == world.broker.runs[1].waiting == 5

    play(scene, after)


@pytest.mark.usefixtures("apart")
def test_a_key_is_taken_once_within_a_block_a_submit_a_turn_and_for_ever(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peers = [FakePeer() for _ in range(3)]
        blocks = [block(3, keys=["a", "b", "a"]), block(2, first=10, keys=["b", "c"])]
        for seq, peer in enumerate(peers):
            world.ask(peer, SubmitTasks(seq, run.id, blocks))
        await world.turns()
        assert [peer.sent for peer in peers] == [
            [Accepted(0, 3)],
            [Accepted(1, 0)],
            [Accepted(2, 0)],
        ]
        assert run.tasks == 3
        await work(world, 3)
        assert (await submit(world, run, *blocks)).sent == [Accepted(1, 0)]
        found, _ = world.store.read_outcomes(run.id, 0, 10**6)
        bodies = [codec.decode_batch(world.store.read_body(o.block)) for o in found]
        assert bodies == [[1, 2], [1, 2], [11]]

    async def after(world: World) -> None:
        run = world.broker.runs[1]
        assert (await submit(world, run, block(1, keys=["c"]))).sent == [Accepted(1, 0)]

    play(scene, after)


def test_keys_of_a_commit_that_failed_are_free(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        world.store.full = True
        peer = FakePeer()
        world.ask(peer, SubmitTasks(1, run.id, [block(1, keys=["a"])]))
        await world.turns()
        world.store.full = False
        await world.later(RETRY_S)
        assert peer.sent == [Accepted(1, 1)]
        assert run.tasks == 1

    play(scene)


def test_a_runner_waits_while_the_store_takes_nothing(play: Any) -> None:
    """A refusal would end it, and five ends stall the run."""

    async def scene(world: World) -> None:
        run = await world.start_run()
        world.store.full = True
        peer = await submit(world, run, block(1))
        world.ask(peer, TasksEnded(2, run.id))
        await world.later(5 * RETRY_S)
        assert peer.sent == []
        world.store.full = False
        await world.later(RETRY_S)
        assert peer.sent == [Accepted(1, 1), Accepted(2, 0)]

    play(scene)


def test_a_new_runner_is_told_of_what_its_forerunner_submitted_last(play: Any) -> None:
    """Else it would submit the same tasks again."""

    async def scene(world: World) -> None:
        run = await world.start_run()
        world.store.full = True
        dead = await submit(world, run, block(4), block(2, keys=["a", "b"]))
        world.runs.closed(dead.peer)
        peer = FakePeer()
        world.ask(peer, OpenRun(7, run.id))
        await world.turns()
        world.store.full = False
        await world.later(RETRY_S)
        assert peer.sent == [RunOpened(7, "job", [], 4, False, 0, 0)]

    play(scene)


@pytest.mark.parametrize(
    "wrong",
    [
        NewBlock(2, codec.encode_batch([1])),
        NewBlock(1, b"nonsense"),
        NewBlock(2, codec.encode_batch([1, 2]), keys=["a"]),
        NewBlock(1_025, codec.encode_batch([0] * 1_025)),
        NewBlock(1, codec.encode_batch([1]), priority=2**63),
        NewBlock(1, codec.encode_batch([1]), delay_s=float("nan")),
    ],
    ids=["count", "body", "keys", "tasks", "priority", "delay"],
)
def test_a_block_that_is_not_what_it_says_is_refused_with_all_of_its_submit(
    play: Any, wrong: NewBlock
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer = await submit(world, run, block(1), wrong)
        assert isinstance(peer.sent[0], Refused)
        assert (run.tasks, run.accepted, run.delayed) == (0, 0, 0)
        assert (await submit(world, run, block(1))).sent == [Accepted(1, 1)]

    play(scene)


def test_a_run_that_said_that_it_has_no_more_takes_no_more(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        world.ask(FakePeer(), TasksEnded(1, run.id))
        await world.turns()
        assert not run.active
        assert isinstance((await submit(world, run, block(1))).sent[0], Refused)

    play(scene)


def test_nobody_can_end_or_fill_the_queue_run_from_the_network(play: Any) -> None:
    async def scene(world: World) -> None:
        peer = FakePeer()
        world.ask(peer, TasksEnded(1, 0))
        world.ask(peer, SubmitTasks(2, 0, [block(1)]))
        await world.turns()
        assert [type(message) for message in peer.sent] == [Refused, Refused]
        assert world.broker.runs[0].active
        assert not world.broker.runs[0].exhausted

    play(scene)


# --- back-pressure ---


@pytest.mark.parametrize("delay_s", [0.0, 60.0])
def test_a_runner_that_is_too_far_ahead_waits_for_the_workers(
    play: Any, monkeypatch: pytest.MonkeyPatch, delay_s: float
) -> None:
    monkeypatch.setattr(submits_module, "AHEAD_TASKS", 5)

    async def scene(world: World) -> None:
        run = await world.start_run()
        first = await submit(world, run, block(4, delay_s=delay_s))
        second = await submit(world, run, block(3, delay_s=delay_s), seq=2)
        assert (first.sent, second.sent) == ([Accepted(1, 4)], [])
        await world.later(delay_s)
        await work(world, 1)
        assert second.sent == []
        await work(world, 1)
        assert second.sent == [Accepted(2, 3)]

    play(scene)


def test_what_a_closed_map_has_submitted_is_answered_when_its_run_is_opened_again(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session may close any number of maps over one run early: none of them is remembered."""
    monkeypatch.setattr(submits_module, "AHEAD_TASKS", 0)

    async def scene(world: World) -> None:
        world.runs.on_taken_up.append(world.submits.taken_up)
        run, peer = await world.start_run(options=RunOptions(feeder="client")), FakePeer()
        world.ask(peer, OpenRun(1, run.id))
        world.ask(peer, SubmitTasks(2, run.id, [block(1)]))
        await world.turns()
        assert peer.of(Accepted) == []
        world.ask(peer, OpenRun(3, run.id))
        assert peer.of(Accepted) == [Accepted(2, 1)]
        assert not world.submits._paused

    play(scene)


def test_nothing_stays_of_a_run_that_ends_in_the_turn_of_its_last_submit(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(1, keys=["a"]))
        await work(world, 1)
        world.ask(FakePeer(), SubmitTasks(2, run.id, [block(1, keys=["a"])]))
        world.ask(FakePeer(), TasksEnded(3, run.id))
        await world.turns()
        assert (run.state, world.submits._sizes) == ("done", {})

    play(scene)


def test_being_ahead_is_measured_in_bytes_too_also_after_a_restart(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submits_module, "AHEAD_BYTES", 1_500)
    large = NewBlock(1, codec.encode_batch([b"x" * 1_000]))

    async def scene(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(500))
        await work(world, 1)
        world.broker.runs[1].size = 500
        peer, worker = world.worker()
        world.report(worker, want=1)
        await world.turns()
        (lease,) = peer.leases
        results = codec.encode_batch([0] * (lease.stop - lease.start))
        world.report(worker, Done(lease.number, lease.start, lease.stop, results, 1.0))
        await world.turns()

    async def after(world: World) -> None:
        run = world.broker.runs[1]
        await work(world, run.waiting)
        assert (await submit(world, run, large)).sent == [Accepted(1, 1)]
        waits = await submit(world, run, large, seq=2)
        assert waits.sent == []
        await work(world, 1)
        assert waits.sent == [Accepted(2, 1)]

    play(scene, after)

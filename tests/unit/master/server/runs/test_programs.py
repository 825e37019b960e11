"""Two programs that ask for one run by its key: one of them feeds it, and the other is told so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from queue_manager.errors import RefusedError
from queue_manager.wire.messages import (
    Accepted,
    Collected,
    OpenRun,
    Refused,
    StartRun,
    SubmitTasks,
    TasksEnded,
)
from queue_manager.wire.records import NOBODY_COLLECTS
from tests.unit.master.conftest import FakePeer, World, block
from tests.unit.master.server.runs.clients import CLIENT, a_client, answer

Play = Callable[..., None]


KEYED = StartRun(0, "job", [], "words", "client", code={"job.py": b""})


async def asks_for(
    world: World, peer: FakePeer, version: str = "one", ask: StartRun = KEYED
) -> Any:
    """A program begins the run of the key, or takes it up, and opens it."""
    run, _ = await world.runs.start(ask, CLIENT, version, peer=peer.peer)
    world.ask(peer, OpenRun(1, run.id))
    await world.turns()
    return run


def test_a_second_program_that_is_there_at_the_same_time_gets_no_run_that_is_being_fed(
    play: Play,
) -> None:
    """Both functions' results, or both programs' inputs, were a mixture in one run."""

    async def scene(world: World) -> None:
        one, other = a_client(1), a_client(2)
        run = await asks_for(world, one)
        refused = (
            f"run {run.id} of key 'words' is being fed by another program (client host/1):"
            " wait for it, or take another key"
        )
        for version in ("one", "two"):
            with pytest.raises(RefusedError) as error:
                await asks_for(world, other, version)
            assert str(error.value) == refused
        assert run.version == "one"
        world.ask(one, SubmitTasks(2, run.id, [block(3)]))
        await world.turns()
        assert answer(one) == Accepted(2, 3)

    play(scene)


def test_a_job_of_the_masters_has_one_feeder_at_a_time_too(play: Play) -> None:
    async def scene(world: World) -> None:
        ask = StartRun(0, "job", [], "words", "client")
        run = await asks_for(world, a_client(1), "", ask)
        with pytest.raises(RefusedError, match="is being fed by another program"):
            await world.runs.find(ask, a_client(2).peer)
        assert await world.runs.find(ask, a_client(1).peer) is run

    play(scene)


@pytest.mark.parametrize("how", ["dead", "came back", "said so"])
def test_a_run_is_taken_up_at_once_when_its_program_is_gone_or_has_left_it(
    play: Play, how: str
) -> None:
    async def scene(world: World) -> None:
        one = a_client(1)
        run = await asks_for(world, one)
        if how == "dead":
            world.feeders.closed(one.peer)
        elif how == "said so":  # its map was closed early
            world.ask(one, Collected(run.id, NOBODY_COLLECTS))
        other = a_client(1 if how == "came back" else 2)
        assert await asks_for(world, other, "two") is run
        assert run.version == "two"

    play(scene)


def test_what_is_left_of_a_run_that_gets_no_more_is_read_by_all_that_have_its_code(
    play: Play,
) -> None:
    async def scene(world: World) -> None:
        one, other = a_client(1), a_client(2)
        run = await asks_for(world, one)
        world.ask(one, SubmitTasks(2, run.id, [block(3)]))
        world.ask(one, TasksEnded(3, run.id))
        await world.turns()
        with pytest.raises(RefusedError, match=r"is being read by another program \(client host/1"):
            await asks_for(world, other, "two")
        assert await asks_for(world, other, "one") is run

    play(scene)


@pytest.mark.parametrize(
    ("how", "why"),
    [("cancelled", "it was cancelled"), ("ended", "it has ended with 0 inputs")],
)
def test_a_run_that_takes_no_more_says_what_to_do(play: Play, how: str, why: str) -> None:
    async def scene(world: World) -> None:
        peer = a_client()
        run = await asks_for(world, peer)
        if how == "cancelled":
            world.broker.cancel(run, 1.0)
            world.turn.wake()
        else:
            world.ask(peer, TasksEnded(2, run.id))
        await world.turns()
        world.ask(peer, SubmitTasks(3, run.id, [block(1)]))
        await world.turns()
        expected = f"forget it (`qm forget {run.id}`), or take another key"
        said = f"run {run.id} takes no more tasks: {why}; {expected}"
        assert answer(peer) == Refused(3, said)

    play(scene)


def test_a_program_that_comes_back_after_another_has_begun_to_feed_its_run_is_refused(
    play: Play,
) -> None:
    """The master starts again, and the other one is the first that asks for the run."""

    async def before(world: World) -> None:
        one = a_client(1)
        run = await asks_for(world, one)
        world.ask(one, SubmitTasks(2, run.id, [block(3)]))
        await world.turns()

    async def after(world: World) -> None:
        one, other = a_client(1), a_client(2)
        run = await asks_for(world, other)
        refused = r"run 1 of key 'words' is being fed by another program \(client host/2\): wait"
        with pytest.raises(RefusedError, match=refused):
            world.ask(one, OpenRun(1, run.id))
        world.ask(one, SubmitTasks(2, run.id, [block(2)]))
        world.ask(other, SubmitTasks(2, run.id, [block(1)]))
        await world.turns()
        assert isinstance(answer(one), Refused)
        assert (answer(other), run.tasks) == (Accepted(2, 1), 4)

    play(before, after)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_of_two_programs_that_ask_before_one_has_opened_the_run_one_gets_it(
    play: Play, at_once: bool, known: bool
) -> None:
    """The inputs of the first one ran with the code of the second one."""

    async def scene(world: World) -> None:
        one, other = a_client(1), a_client(2)
        if known:
            first = a_client(3)
            await asks_for(world, first)
            world.feeders.closed(first.peer)
        asking = [
            asyncio.ensure_future(world.runs.start(KEYED, CLIENT, version, peer=peer.peer))
            for version, peer in (("one", one), ("two", other))
            if at_once or peer is one
        ]
        answers: list[Any] = await asyncio.gather(*asking, return_exceptions=True)
        (run, _), *refused = answers
        if not at_once:
            with pytest.raises(RefusedError, match="is being fed by another program"):
                await world.runs.start(KEYED, CLIENT, "two", peer=other.peer)
        assert [type(error) for error in refused] == [RefusedError] * at_once
        assert run.version == "one"
        world.ask(one, SubmitTasks(1, run.id, [block(3)]))
        await world.turns()
        assert answer(one) == Refused(1, f"run {run.id}: open it first")
        world.ask(one, OpenRun(2, run.id))
        world.ask(one, SubmitTasks(3, run.id, [block(3)]))
        await world.turns()
        assert answer(one) == Accepted(3, 3)

    play(scene)


@pytest.mark.parametrize("how", ["gone before", "gone behind", "full"])
def test_a_program_that_never_opens_what_it_has_asked_for_keeps_it_from_nobody(
    play: Play, how: str
) -> None:
    async def scene(world: World) -> None:
        one, other = a_client(1), a_client(2)
        one.gone = how == "gone before"  # while its request waited for its turn
        world.store.full = how == "full"
        starting = asyncio.ensure_future(world.runs.start(KEYED, CLIENT, "one", peer=one.peer))
        await asyncio.gather(starting, return_exceptions=True)
        if how == "gone behind":
            world.feeders.closed(one.peer)
        world.store.full = False
        feeders = world.feeders
        assert (feeders._runs, feeders._peers, feeders._asked) == ({}, {}, set())
        assert (await asks_for(world, other, "two")).version == "two"

    play(scene)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (a_client(1, "x"), a_client(1, "y")),  # both are the first process of a container
        (a_client(1, "x"), a_client(1)),  # one of them is of an older release
    ],
)
def test_two_programs_that_have_host_and_process_number_in_common_are_two(
    play: Play, one: FakePeer, other: FakePeer
) -> None:
    async def scene(world: World) -> None:
        await asks_for(world, one)
        with pytest.raises(RefusedError, match="is being fed by another program"):
            await asks_for(world, other)

    play(scene)


def test_a_program_is_known_by_its_id_in_a_new_session(play: Play) -> None:
    async def scene(world: World) -> None:
        run = await asks_for(world, a_client(1, "x"))
        assert await asks_for(world, a_client(1, "x")) is run

    play(scene)

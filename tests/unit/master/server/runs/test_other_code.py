"""A run that is asked for with other code: when it counts as other, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from queue_manager import codec
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import OpenRun, StartRun, SubmitTasks, TasksEnded
from queue_manager.wire.records import Done, RunOptions
from tests.unit.master.conftest import FakePeer, World, block

Play = Callable[..., None]
OLD = StartRun(0, "job", [], "words", "client", code={"job.py": b""}, fingerprint="old")
AGAIN, NEW = replace(OLD), replace(OLD, fingerprint="new")


async def asks(world: World, ask: StartRun, version: str, peer: FakePeer | None = None) -> int:
    """How many results of other code a program is told of, which asks for the run."""
    options = RunOptions(feeder="client", fingerprint=ask.fingerprint)
    run, _ = await world.runs.start(ask, options, version, peer=None if peer is None else peer.peer)
    assert run.version == version, "the newest code runs, whatever is told"
    return world.runs.older(run, ask, version)


async def fed(world: World, done: int = 2, leased: int = 0) -> FakePeer:
    """The run, with results of the old code."""
    peer = FakePeer("client")
    await asks(world, OLD, "version 1", peer)
    world.ask(peer, OpenRun(1, 1))
    world.ask(peer, SubmitTasks(2, 1, [block(5)]))
    worker, session = world.worker()
    for at in range(done + leased):
        world.report(session, want=1)
        await world.turns()
        lease = worker.leases[-1]
        if at < done:
            results = codec.encode_batch([0])
            world.report(session, Done(lease.number, lease.start, lease.start + 1, results, 1.0))
            await world.turns()
    world.feeders.closed(peer.peer)
    assert (world.broker.runs[1].done, world.broker.runs[1].leased) == (done, leased)
    return peer


def test_the_same_function_of_another_process_is_no_other_code(play: Play) -> None:
    async def scene(world: World) -> None:
        await fed(world)
        assert await asks(world, AGAIN, "version 2") == 0
        assert await asks(world, AGAIN, "version 3") == 0

    play(scene)


def test_results_of_other_code_are_told_to_all_who_ask_later(play: Play) -> None:
    """Those too that bring the newest code once more, or the first one again."""

    async def scene(world: World) -> None:
        await fed(world)
        assert await asks(world, NEW, "version 2") == 2
        assert await asks(world, NEW, "version 2") == 2

    async def after(world: World) -> None:
        assert await asks(world, NEW, "version 3") == 2
        assert await asks(world, OLD, "version 1") == 2
        assert await asks(world, OLD, "version 1") == 2

    play(scene, after)


def test_code_that_has_made_no_result_is_told_to_nobody(play: Play) -> None:
    async def scene(world: World) -> None:
        await fed(world, done=0)
        assert await asks(world, NEW, "version 2") == 0
        assert not world.broker.runs[1].options.mixed

    play(scene)


def test_a_task_that_runs_will_be_a_result_of_the_code_before(play: Play) -> None:
    async def scene(world: World) -> None:
        await fed(world, done=0, leased=1)
        assert await asks(world, NEW, "version 2") == 0
        assert world.broker.runs[1].options.mixed

    play(scene)


@pytest.mark.parametrize(("old", "new"), [("", "new"), ("old", ""), ("", "")])
def test_of_older_clients_the_versions_are_compared(play: Play, old: str, new: str) -> None:
    async def scene(world: World) -> None:
        await fed(world)
        run = world.broker.runs[1]
        run.options = replace(run.options, fingerprint=old)
        assert await asks(world, replace(OLD, fingerprint=new), "version 1") == 0
        run.options = replace(run.options, fingerprint=old)
        assert await asks(world, replace(OLD, fingerprint=new), "version 2") == 2

    play(scene)


def test_who_reads_what_is_left_is_not_disturbed_by_the_same_function(play: Play) -> None:
    async def scene(world: World) -> None:
        await fed(world)
        reader, other = FakePeer("client a"), FakePeer("client b")
        await asks(world, AGAIN, "version 2", reader)
        world.ask(reader, OpenRun(1, 1))
        world.ask(reader, TasksEnded(2, 1))
        await world.turns()
        assert await asks(world, AGAIN, "version 3", other) == 0
        with pytest.raises(RefusedError, match=r"is being read by another program \(client a\)"):
            await asks(world, NEW, "version 4", other)

    play(scene)

"""Lists of tasks: the store says what is on disk, the run which of these tasks are leased."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from master.server.task_lists import RESULT_BYTES, TaskLists
from queue_manager import codec
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import CancelRun
from queue_manager.wire.records import Done, Failed
from queue_manager.wire.task_lists import AskTasks, TaskList
from tests.unit.master.conftest import FakePeer, World, reply_to
from tests.unit.master.server.runs.test_run_control import Desk, filled, lease


def shown(world: World, state: Any, run: int = 1, **how: int) -> TaskList:
    peer = FakePeer("client")
    lists = TaskLists(world.turn, cast(Any, SimpleNamespace(stock=list)))
    lists.show(reply_to(peer, AskTasks(7, run, state)), AskTasks(7, run, state, **how))
    (page,) = peer.sent
    assert isinstance(page, TaskList)
    return page


def numbers(world: World, state: Any, **how: int) -> list[int]:
    return [one.task for one in shown(world, state, **how).tasks]


def test_what_is_leased_does_not_wait_and_has_its_worker(play: Any) -> None:
    async def scene(world: World) -> None:
        await filled(world, 9)
        _, worker, given = await lease(world)
        held = [given.first + n for n in range(given.start, given.stop)]
        assert numbers(world, "leased") == held
        assert numbers(world, "waiting") == [n for n in range(1, 10) if n not in held]
        (line, *_) = shown(world, "leased").tasks
        assert (line.worker, line.since_s is not None) == (worker.session.name, True)
        result = codec.encode_batch(["short"] * (given.stop - given.start))
        world.report(worker, Done(given.number, given.start, given.stop, result, 0.1))
        await world.turns()
        assert numbers(world, "done") == held
        (line, *_) = shown(world, "done").tasks
        assert codec.decode_batch(line.result or b"") == ["short"]

    play(scene)


def test_pages_of_what_is_leased_go_on_behind_a_task(play: Any) -> None:
    async def scene(world: World) -> None:
        await filled(world, 40)
        _, worker = world.worker()
        for _ in range(8):
            world.report(worker, want=1)
            await world.turns()
        held = numbers(world, "leased")
        assert len(held) > 3
        found, after, complete = list[int](), 0, False
        while not complete:
            page = shown(world, "leased", after=after, limit=3)
            assert len(page.tasks) <= 3
            found += [one.task for one in page.tasks]
            after, complete = page.last, page.complete
        assert found == held

    play(scene)


def test_a_cancelled_run_has_nothing_that_waits_and_a_large_result_is_left_out(play: Any) -> None:
    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 4)
        _, worker, given = await lease(world)
        large = codec.encode_batch(["x" * RESULT_BYTES])
        world.report(worker, Done(given.number, 0, 1, large, 0.1), want=1)
        await world.turns()
        (line,) = shown(world, "done").tasks
        assert (line.task, line.result) == (1, None)
        again = worker.peer.leases[-1]
        world.report(worker, Failed(again.number, again.start, "bad\n" * 1_000), want=1)
        await world.turns()
        (dead,) = shown(world, "dead").tasks
        assert len(dead.error.encode()) < 1_000
        await desk.ask(CancelRun(7, run.id))
        rest = [n for n in range(1, 5) if n not in (1, dead.task)]
        assert numbers(world, "cancelled") == rest
        assert [numbers(world, state) for state in ("waiting", "delayed", "leased")] == [[]] * 3

    play(scene)


def test_there_is_no_list_of_a_run_that_is_none(play: Any) -> None:
    async def scene(world: World) -> None:
        with pytest.raises(RefusedError, match="no run 99"):
            shown(world, "waiting", run=99)

    play(scene)


def test_a_result_that_nobody_can_read_is_left_out_of_its_list(play: Any) -> None:
    """The worker is at fault. An error would close the session of whoever looks."""

    async def scene(world: World) -> None:
        await filled(world, 4)
        _, worker, given = await lease(world)
        world.report(worker, Done(given.number, 0, 1, b"L\x91", 0.1))
        await world.turns()
        (line,) = shown(world, "done").tasks
        assert line.result is None

    play(scene)

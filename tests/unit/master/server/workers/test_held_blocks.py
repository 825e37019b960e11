"""What is read for a hello: the blocks of its leases, and what their groups have of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from master.changes import BlockRecord, Changes, GroupRecord
from master.reads import ReadRequest
from master.server.workers.held_blocks import HeldBlocks
from master.turn.known import Known
from queue_manager import codec
from queue_manager.wire.records import GroupLimit, HeldLease, RunOptions
from tests.unit.master.conftest import World

BLOCK = 50
OWN = GroupLimit(1, 9.0)


async def run_with_a_held_block(world: World) -> Any:
    """A run with a block of the group `g`, which has a limit of its own on disk alone."""
    run = await world.start_run(options=RunOptions(per_group=GroupLimit(2, 0.0)))
    body = codec.encode_batch([1])
    groups = {(run.id, "g"): GroupRecord(OWN)}
    record = BlockRecord(BLOCK, run.id, 1, 1, body, group="g")
    world.store.commit(Changes(blocks=[record], groups=groups))
    run.groups.limits.more = True
    return run


def test_the_broker_learns_the_limit_of_a_group_before_its_lease_goes_on(
    play: Callable[..., None],
) -> None:
    async def scene(world: World) -> None:
        run = await run_with_a_held_block(world)
        blocks = HeldBlocks(world.turn, [HeldLease(1, run.id, BLOCK, [(0, 1)])])
        known, asked = Known(), []
        for request in blocks.needs(known):
            asked.append(request)
            known.add(world.store.read(request))
        assert [request.groups for request in asked] == [{}, {run.id: {"g"}}]
        world.turn.known = known
        assert list(blocks.states(world.turn.wall)) == [BLOCK]
        assert run.groups.limits.record("g").limit == OWN

    play(scene)


def test_a_block_is_not_recognized_while_its_group_can_not_be_read(
    play: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(world: World) -> None:
        run = await run_with_a_held_block(world)
        blocks = HeldBlocks(world.turn, [HeldLease(1, run.id, BLOCK, [(0, 1)])])
        known = Known()
        requests = blocks.needs(known)
        known.add(world.store.read(next(requests)))
        unread: ReadRequest = next(requests)
        known.add_unread(unread, "can't read it")
        world.turn.known = known
        assert blocks.states(world.turn.wall) == {}
        assert "can't read it; what is held of 1 block(s) is not recognized" in caplog.text

    play(scene)

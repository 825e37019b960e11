"""A worker that comes back with very many leases: the time grows with their number, no faster."""

from __future__ import annotations

import time
from typing import Any

import pytest

from queue_manager.wire.messages import Hello, SubmitTasks, Welcome, decode_request, encode
from queue_manager.wire.records import HeldLease, NewBlock, RunOptions
from tests.unit.master.conftest import FakePeer, World, block

LEASES = 20_000
MOST_S = 3.0
"""An idle machine needs under 0.5 s (`make bench`); with leases compared in pairs it is 20 s."""


async def fill(world: World, in_a_block: int, **fields: Any) -> None:
    run = await world.start_run(options=RunOptions())
    left = LEASES
    while left:
        blocks = [block(in_a_block, **fields) for _ in range(min(1_000, left // in_a_block))]
        submit(world, run, blocks)
        await world.turns()
        left -= in_a_block * len(blocks)


def submit(world: World, run: Any, blocks: list[NewBlock]) -> None:
    world.ask(FakePeer(), SubmitTasks(1, run.id, blocks))


def held(epoch: int, in_a_block: int) -> list[HeldLease]:
    number = epoch << 32
    return [
        HeldLease(number + at, 1, 1 + at // in_a_block, [(at % in_a_block, at % in_a_block + 1)])
        for at in range(LEASES)
    ]


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("workers", [1, 100])
@pytest.mark.parametrize("in_a_block", [1, 1_000])
def test_leases_of_before_a_restart_are_recognized_in_time(
    play: Any, in_a_block: int, workers: int
) -> None:
    async def before(world: World) -> None:
        await fill(world, in_a_block)

    async def after(world: World) -> None:
        peers = []
        await world.turns()  # which reads ahead what waits
        all_held = held(1, in_a_block)
        began = time.process_time()
        for number in range(workers):
            mine = all_held[number::workers]
            body = encode(Hello("worker", "host", 1, 4_096, "9.9", f"w{number}", mine, []))
            hello = decode_request(body)
            assert isinstance(hello, Hello)
            peers.append(FakePeer("worker"))
            world.workers.open(peers[-1].peer, 1_000 + number, hello)
        await world.turns()
        assert time.process_time() - began < MOST_S
        assert sum(len(peer.welcomed or ()) for peer in peers) == LEASES
        assert world.broker.runs[1].leased == LEASES

    play(before, after)


def test_a_worker_that_only_lost_its_connection_goes_on_in_time(play: Any) -> None:
    async def before(world: World) -> None:
        await fill(world, 1_000)

    async def after(world: World) -> None:
        mine = held(1, 1_000)
        world.worker(4_096, "w", mine)
        await world.turns()
        began = time.process_time()
        peer, _ = world.worker(4_096, "w", mine[: LEASES // 2])
        await world.turns()
        assert time.process_time() - began < MOST_S
        assert len(peer.of(Welcome)[0].held) == LEASES // 2
        assert world.broker.runs[1].leased == LEASES // 2

    play(before, after)

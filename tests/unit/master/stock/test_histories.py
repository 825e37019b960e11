"""Random histories of scripts of many kinds: no task is lost, no result is on another's task.

Each script is what is found in the world: one that takes and puts, one that takes several first,
one that skips what raises, one that says task_done, one that ends in the middle. Between them the
disk refuses, and the master crashes.
"""

from __future__ import annotations

import queue
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from queue_manager import codec
from tests.unit.master.conftest import World

from .test_stock import Client, queue_run, results

TASKS, POISON = 40, 17

Script = Callable[[World, random.Random], AsyncIterator[None]]


async def patiently(call: Any, *args: Any) -> Any:
    """As a script that tries again when the master says that it can't."""
    client = call.__self__
    while True:
        try:
            return await call(*args)
        except RuntimeError:
            client.world.store.full = False


async def take(client: Client) -> Any:
    """A task, or None when there is none."""
    try:
        return await patiently(client.take)
    except queue.Empty:
        return None


async def put(client: Client, result: Any) -> None:
    await patiently(client.put_result, result)


async def one_by_one(world: World, rng: random.Random) -> AsyncIterator[None]:
    client = Client(world)
    while True:
        n = await take(client)
        yield
        if n is not None:
            await put(client, n * n)
        yield


async def several(world: World, rng: random.Random) -> AsyncIterator[None]:
    client = Client(world)
    while True:
        taken = []
        for _ in range(rng.randrange(1, 6)):
            n = await take(client)
            yield
            if n is None:
                break
            taken.append(n)
        for n in taken:
            await put(client, n * n)
            yield


async def skips(world: World, rng: random.Random) -> AsyncIterator[None]:
    """It catches what one task raises, prints it, and goes on."""
    client = Client(world)
    while True:
        n = await take(client)
        yield
        if n is not None and n != POISON:
            await put(client, n * n)
        yield


async def says_done(world: World, rng: random.Random) -> AsyncIterator[None]:
    client = Client(world)
    while True:
        taken = [n for n in [await take(client), await take(client)] if n is not None]
        yield
        for _ in taken:
            await patiently(client.call, world.tasks, "task_done")
            yield


async def ends_in_the_middle(world: World, rng: random.Random) -> AsyncIterator[None]:
    client, taken = Client(world), []
    for _ in range(rng.randrange(1, 4)):
        n = await take(client)
        yield
        if n is not None:
            taken.append(n)
    for n in taken[: rng.randrange(len(taken) + 1)]:
        await put(client, n * n)
        yield
    await client.end(reset=rng.random() < 0.5)
    yield


async def reads(world: World, rng: random.Random) -> AsyncIterator[None]:
    client = Client(world, "reader")
    while True:
        if world.store.full:
            yield
            continue
        try:
            world.read.append(await client.read())  # type: ignore[attr-defined]
        except queue.Empty:
            yield
        yield


KINDS: list[Script] = [one_by_one, several, skips, says_done, ends_in_the_middle, reads, reads]


async def history(world: World, rng: random.Random, read: list[Any], steps: int) -> None:
    """Some scripts, step by step in a random order."""
    world.read = read  # type: ignore[attr-defined]
    scripts = [kind(world, rng) for kind in [*KINDS, *rng.choices(KINDS[:4], k=2)]]
    for _ in range(steps):
        script = rng.choice(scripts)
        if await anext(script, script) is script:
            scripts.remove(script)
        if rng.random() < 0.05:
            await world.later(rng.uniform(0.1, 3.0))
        world.store.full = rng.random() < 0.1
    world.store.full = False


async def to_the_end(world: World, read: list[Any]) -> None:
    """What is left is done by one that does all, and skips what it can't."""
    run, worker = queue_run(world), Client(world)
    for _ in range(400):
        n = await take(worker)
        if n is None:
            await world.later(5.0)
        elif n != POISON:
            await put(worker, n * n)
        if not run.unended:
            break
    reader = Client(world, "reader")
    while not await reader.call(world.results, "empty"):
        read.append(await reader.read())
    await reader.call(world.results, "qsize")


@pytest.mark.parametrize("seed", range(25))
def test_whatever_scripts_do_each_result_is_on_its_own_task(play: Any, seed: int) -> None:
    rng, read = random.Random(seed), []  # type: ignore[var-annotated]

    async def begin(world: World) -> None:
        client = Client(world)
        for n in range(TASKS):
            await client.put(n)
        await history(world, rng, read, rng.randrange(20, 150))

    async def go_on(world: World) -> None:
        await history(world, rng, read, rng.randrange(20, 150))

    async def end(world: World) -> None:
        await to_the_end(world, read)
        run = queue_run(world)
        assert (run.unended, run.leased) == (0, 0)
        found = results(world)
        assert len(found) == run.done
        assert run.dead == TASKS - run.done
        for task, result in found.items():
            assert result in ((task - 1) ** 2, None), "a result of another task"
        records = world.store._kept.tracked.values()
        dead = {s.task - 1: s.error for s in records if s.state == "dead"}
        assert set(dead) <= {POISON}, dead
        charged = {s.task - 1 for s in records if s.attempts}
        assert charged <= {POISON}, "an innocent task was charged"
        # Each result was read once, but what was on its way when the master crashed, twice at most.
        settled = Counter(
            value
            for o in world.store.read_outcomes(0, 0, 10**9)[0]
            if o.results != codec.NOTHING
            for value in codec.decode_batch(o.results)
        )
        assert set(read) == set(settled)
        assert sum((Counter(read) - settled).values()) <= 2 * 2, "read again"

    play(begin, go_on, end)

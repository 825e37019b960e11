"""A run that a client feeds over the wire: no child process, over deaths of client and master."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest

from queue_manager import codec
from queue_manager.client.connection.link import Link
from queue_manager.errors import ConnectionLostError, RefusedError
from queue_manager.wire.messages import (
    Accepted,
    AskTask,
    Collect,
    Collected,
    Hello,
    OpenRun,
    Page,
    RunOpened,
    RunStarted,
    StartRun,
    SubmitTasks,
    TasksEnded,
    TaskShown,
)
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.records import NewBlock
from tests.integration.processes import KEY, PATIENCE_S, Master, eventually
from tests.integration.shared import SharedMaster

TASKS, BLOCK = 2_000, 50


@pytest.fixture
def master(lone_master: SharedMaster) -> SharedMaster:
    """A serving master without a worker, which the tests share."""
    return lone_master


class Program:
    """A program that feeds a run with the numbers from 0 on, and collects. So far as it knows."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.run = 0
        self.collected: list[tuple[int, int]] = []
        self.after = 0

    async def take_up(self) -> RunOpened:
        """Ask for the run by its key, whether there is one or not, and open it."""
        link = self.link
        async with asyncio.timeout(PATIENCE_S):
            await link.wait_up()
            started = await link.request(
                lambda seq: StartRun(seq, "square", [], "feed", "client"), RunStarted
            )
            self.run = started.run
            return await link.request(lambda seq: OpenRun(seq, self.run), RunOpened)

    def block(self, first: int) -> NewBlock:
        return NewBlock(BLOCK, codec.encode_batch(list(range(first, first + BLOCK))))

    async def submit(self, first: int) -> None:
        blocks = [self.block(first)]
        await self.link.request(lambda seq: SubmitTasks(seq, self.run, blocks), Accepted)

    async def feed(self, first: int, stop: int) -> None:
        """Give the numbers up to `stop`, however often the session is lost."""
        while first < stop:
            try:
                await self.submit(first)
                first += BLOCK
            except ConnectionLostError:
                first = (await self.take_up()).accepted

    async def collect(self) -> Page:
        """Collect all there is until the run has ended."""
        while True:
            try:
                page = await self.link.request(lambda seq: Collect(seq, self.run, self.after), Page)
            except ConnectionLostError:
                await self.take_up()
                continue
            for ended in page.outcomes:
                body = page.bodies[ended.first]
                payloads = codec.decode_each(body, ended.start, ended.stop)
                results = codec.decode_each(ended.results, 0, ended.stop - ended.start)
                self.collected += zip(payloads, results, strict=True)
            self.after = page.last
            self.link.send(Collected(self.run, self.after))
            if page.complete:
                return page


@contextlib.asynccontextmanager
async def program(master: Master) -> AsyncIterator[Program]:
    """A program with a session of its own, until its end in good order or by an error."""
    hello = Hello("client", "tests", os.getpid())
    link = Link(Masters([("127.0.0.1", master.port)]), KEY.encode(), lambda: hello, mode="off")
    running = asyncio.create_task(link.run())
    try:
        yield Program(link)
    finally:
        link.close()
        await running


def none_runs(master: Master) -> bool:
    return not master.children("master.runner.main")


def test_a_client_feeds_a_run_over_its_own_death_and_the_masters(master: Master) -> None:
    async def first_program() -> None:
        async with program(master) as client:
            assert (await client.take_up()).accepted == 0
            await client.feed(0, 500)
            on_its_way = asyncio.create_task(client.submit(500))
            await asyncio.sleep(0)
            assert none_runs(master)
            assert client.link._stream is not None
            client.link._stream.end()  # it dies here
            await asyncio.gather(on_its_way, return_exceptions=True)

    async def second_program() -> Program:
        async with program(master) as client:
            accepted = (await client.take_up()).accepted
            assert accepted in (500, 500 + BLOCK)
            collecting = asyncio.create_task(client.collect())
            await client.feed(accepted, 1_000)
            master.process.kill()
            serving = asyncio.create_task(asyncio.to_thread(master.serve))
            await client.feed(1_000, TASKS)
            await serving
            assert none_runs(master)
            await client.link.request(lambda seq: TasksEnded(seq, client.run), Accepted)
            await collecting
            assert none_runs(master)
            return client

    asyncio.run(first_program())
    waits = "its program has not given all its inputs; none is connected: start it again, or"
    eventually(lambda: waits in master.status(), what="why it waits")
    master.worker()
    client = asyncio.run(second_program())
    collected = Counter(client.collected)
    assert collected == {(n, n * n): 1 for n in range(TASKS)}
    assert len(master.results(client.run)) == TASKS
    assert master.run_line(client.run)["state"] == "done"
    line = master.process.says(rf"run {client.run} \(square\): 2,000 tasks done")
    assert "Submit another" not in line
    assert none_runs(master)


def test_many_clients_feed_one_run_and_find_their_tasks(master: Master) -> None:
    """Each is told the number of its task, also if the answer was lost with the master."""

    async def scene() -> None:
        async with program(master) as one, program(master) as other:
            await asyncio.gather(one.link.wait_up(), other.link.wait_up())
            made = [
                await client.link.request(
                    lambda seq: StartRun(seq, "square", [], "many", "clients", ["pool"]), RunStarted
                )
                for client in (one, other)
            ]
            assert [started.created for started in made] == [True, False]
            run = made[0].run

            async def put(client: Program, key: str, number: int) -> Accepted:
                new = NewBlock(1, codec.encode_batch([number]), [key])
                make = partial(SubmitTasks, run=run, blocks=[new])
                return await client.link.request(make, Accepted)

            told = [await put(one, "a", 3), await put(other, "b", 4), await put(one, "b", 4)]
            assert [(t.tasks, t.first) for t in told] == [(1, 1), (1, 2), (0, 0)]
            master.process.kill()
            await asyncio.to_thread(master.serve)
            await asyncio.gather(one.link.wait_up(), other.link.wait_up())
            assert (await put(one, "c", 5)).first == 3
            shown = await other.link.request(lambda seq: AskTask(seq, run, 0, "b"), TaskShown)
            assert (shown.task.task, codec.decode_batch(shown.task.body)) == (2, [4])
            master.worker()
            eventually(lambda: "no worker has the tag pool" in master.status())
            master.worker(WORKER_TAGS="pool")
            assert [line["result"] for line in master.ended_tasks(run, 3)] == [9, 16, 25]
            assert master.run_line(run)["state"] == "active"
            assert master.run_line(run)["why"] == "[]"
            await other.link.request(lambda seq: TasksEnded(seq, run), Accepted)
            eventually(lambda: master.run_line(run)["state"] == "done")

    asyncio.run(scene())
    assert none_runs(master)


def test_a_run_that_a_client_feeds_can_be_cancelled_and_is_no_other_run(master: Master) -> None:
    async def scene() -> None:
        async with program(master) as client:
            await client.take_up()
            await client.feed(0, 500)
            with pytest.raises(RefusedError, match="a client gives its tasks: take another one"):
                await client.link.request(
                    lambda seq: StartRun(seq, "square", [], "feed"), RunStarted
                )
            assert master.command("cancel", str(client.run)).code == 0
            with pytest.raises(RefusedError, match="takes no more tasks"):
                await client.submit(500)
            page = await client.link.request(lambda seq: Collect(seq, client.run, 0), Page)
            assert page.complete

    asyncio.run(scene())
    assert none_runs(master)

"""Tasks on their way to a run: blocks, lost sessions, what was accepted, who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from queue_manager import Task, codec
from queue_manager.client.connection import suspicion
from queue_manager.client.connection.session import Session
from queue_manager.client.runs import feeding
from queue_manager.client.runs.feeding import Feed
from queue_manager.errors import ConnectionLostError, NotPlainDataError, QueueError, RefusedError
from queue_manager.wire.messages import Accepted, OpenRun, RunOpened, SubmitTasks, TasksEnded


class FakeMaster:
    """Takes the tasks of one run. lose: before or behind which submits the session is lost."""

    losses = 0

    def __init__(self) -> None:
        self.tasks: list[Any] = []
        self.keys: set[str] = set()
        self.unkeyed = 0
        self.submits: list[int] = []
        self.opened = 0
        self.ended = False
        self.lose: dict[int, str] = {}
        self.hold: asyncio.Event | None = None
        self.refuse = ""
        self.down = False

    async def call_once(self, make: Callable[[int], Any], answer: Any) -> Any:
        message = make(1)
        if isinstance(message, TasksEnded):
            self.ended = True
            return Accepted(1, 0)
        assert isinstance(message, SubmitTasks)
        if self.refuse:
            raise RefusedError(self.refuse)
        self.submits.append(sum(block.count for block in message.blocks))
        loss = self.lose.pop(len(self.submits), "")
        self.down = self.down or loss == "before"
        if self.down:  # what was sent behind it does not arrive either
            raise ConnectionLostError("lost")
        for block in message.blocks:
            values = codec.decode_batch(block.body)
            if block.keys is None:
                self.tasks += values
                self.unkeyed += len(values)
            else:
                new = [(k, v) for k, v in zip(block.keys, values, strict=True)]
                self.tasks += [value for key, value in new if key not in self.keys]
                self.keys |= set(block.keys)
        await asyncio.sleep(0)
        if self.hold is not None:
            await self.hold.wait()
        self.down = self.down or loss == "behind"
        if self.down:
            raise ConnectionLostError("lost")
        return Accepted(1, 0)

    async def call_idempotent(
        self, make: Callable[[int], Any], answer: Any, again: Any = None
    ) -> Any:
        message = make(1)
        if isinstance(message, OpenRun):
            self.opened += 1
            return RunOpened(1, "job", [], self.unkeyed, self.ended, 0)
        return await self.call_once(make, answer)

    async def come_back(self) -> None:
        await asyncio.sleep(0)
        self.down = False


Scene = Callable[[Feed, FakeMaster], Awaitable[None]]


def play(scene: Scene, master: FakeMaster | None = None) -> FakeMaster:
    master = master or FakeMaster()

    async def played() -> None:
        feed = Feed(cast(Session, master), 1, 10_000)
        await feed.open()
        await scene(feed, master)
        await feed.close()

    asyncio.run(asyncio.wait_for(played(), 20.0))
    return master


async def give(feed: Feed, items: Any) -> None:
    for item in items:
        feed.add(item)
        if not feed.room:
            await feed.wait_room()


def test_all_that_is_added_is_submitted_in_order_and_the_run_gets_no_more() -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        await give(feed, range(50_000))
        await feed.end()
        assert feed.accepted == 50_000

    master = play(scene)
    assert master.tasks == list(range(50_000))
    assert master.ended
    assert max(master.submits) <= 4 * 1_024


def test_single_tasks_that_come_close_together_travel_as_one_block() -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        master.hold = asyncio.Event()
        feed.add(0)
        while not master.submits:
            await asyncio.sleep(0)
        for n in range(1, 100):
            feed.add(n)
            await asyncio.sleep(0)
        assert master.submits == [1]
        master.hold.set()
        await feed.flush()

    assert play(scene).submits == [1, 99]


@pytest.mark.parametrize("loss", ["before", "behind"])
def test_no_task_is_lost_or_given_twice_when_the_session_is_lost(loss: str) -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        master.lose = {2: loss, 5: loss, 6: loss}
        for n in range(30_000):
            feed.add(n)
            if n % 100 == 0:
                feed.add(Task(f"value {n}", key=f"key {n}"))
                await asyncio.sleep(0)
        await feed.end()

    master = play(scene)
    assert [one for one in master.tasks if isinstance(one, int)] == list(range(30_000))
    assert len(master.tasks) == 30_300
    assert master.opened > 1


def test_a_master_that_is_lost_at_each_submit_is_given_up() -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        master.lose = dict.fromkeys(range(1, 1_000), "before")
        feed.add(1)
        with pytest.raises(ConnectionLostError):
            await feed.flush()

    assert len(play(scene).submits) == suspicion._TRIES


def test_losses_between_which_tasks_with_keys_are_accepted_do_not_add_up() -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        master.lose = dict.fromkeys(range(1, 1_000, 2), "before")
        for n in range(2 * suspicion._TRIES):
            feed.add(Task(n, key=str(n)))
            while len(master.tasks) <= n and feed.error is None:
                await asyncio.sleep(0)
        await feed.flush()

    assert play(scene).tasks == list(range(2 * suspicion._TRIES))


def test_a_feed_that_has_nothing_to_send_outlives_any_number_of_losses() -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        for n in range(2 * suspicion._TRIES):
            master.losses += 1
            feed._kick()
            while master.opened < n + 2 and feed.error is None:
                await asyncio.sleep(0)
        feed.add(1)
        await feed.flush()

    assert play(scene).tasks == [1]


def test_a_refusal_ends_it_and_nobody_waits_for_room() -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        master.refuse = "run 1 takes no more tasks"
        feed.add(1)
        with pytest.raises(RefusedError, match="takes no more"):
            await feed.flush()
        with pytest.raises(RefusedError, match="takes no more"):
            await feed.wait_room()

    play(scene)


def test_who_adds_waits_while_much_is_on_its_way() -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        master.hold = asyncio.Event()
        added = 0
        while feed.room:
            feed.add(added)
            added += 1
            if added % 1_024 == 0:
                await asyncio.sleep(0)
        assert added <= (feeding.AHEAD_BLOCKS + 2) * 1_024
        waiting = asyncio.create_task(feed.wait_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        master.hold.set()
        await waiting
        assert feed.room

    play(scene)


def test_a_value_that_cannot_travel_is_refused_where_it_is_added() -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        feed.add(1)
        with pytest.raises(NotPlainDataError):
            feed.add(object())
        feed.add(2)
        await feed.flush()

    assert play(scene).tasks == [1, 2]


def test_an_accepted_submit_does_not_come_again_behind_one_of_keys_alone() -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        for n in range(5_000):
            feed.add(Task(f"value {n}", key=f"key {n}"))
        await give(feed, range(10_000))
        master.lose = {1: "behind"}
        await feed.end()

    master = play(scene)
    assert [one for one in master.tasks if isinstance(one, int)] == list(range(10_000))
    assert len(master.tasks) == 15_000


def test_a_run_that_takes_no_more_says_so_to_whoever_adds() -> None:
    """Somebody has cancelled it. An endless generator must not fill the memory."""

    async def scene(feed: Feed, master: FakeMaster) -> None:
        master.refuse = "run 1 takes no more tasks"
        feed.add(0)
        while not feed._stopped:
            await asyncio.sleep(0)
        with pytest.raises(RefusedError, match="no more tasks"):
            feed.add(1)

    play(scene)


def test_a_run_that_has_ended_says_with_how_many_inputs_and_what_to_do() -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        await asyncio.sleep(0)  # it sees that there is nothing to do
        says = (
            r"run 1 has ended with 20 inputs, .* forget it \(`qm forget 1`\), or take another key"
        )
        with pytest.raises(QueueError, match=says):
            feed.add(21)
        with pytest.raises(QueueError, match=says):
            await feed.wait_accepted(21)

    master = FakeMaster()
    master.ended, master.unkeyed = True, 20
    play(scene, master)


def test_a_run_that_somebody_else_has_fed_meanwhile_gets_nothing_more_of_this_one() -> None:
    """Or the inputs behind would be given for those that the other one had."""

    async def scene(feed: Feed, master: FakeMaster) -> None:
        await give(feed, range(10))
        while feed.accepted < 10:
            await asyncio.sleep(0)
        master.unkeyed += 5  # another client of the same program had it
        master.losses += 1
        feed.add(10)
        with pytest.raises(QueueError, match=r"fed by another call .* 15 inputs, .* gave 10"):
            await feed.flush()

    assert play(scene).tasks == list(range(10))


def test_a_feed_that_is_cut_off_takes_and_sends_nothing_more() -> None:
    async def scene(feed: Feed, master: FakeMaster) -> None:
        master.hold = asyncio.Event()
        feed.add(1)
        while not master.submits:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(feed.end())
        await asyncio.sleep(0)
        await feed.cut_off(QueueError("a later call has it"))
        with pytest.raises(QueueError, match="later call"):
            await waiting
        with pytest.raises(QueueError, match="later call"):
            feed.add(2)

    master = play(scene)
    assert master.submits == [1]
    assert not master.ended

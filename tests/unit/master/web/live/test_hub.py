"""The hub: asks once for all who look, nothing while nobody looks, and keeps no queue."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator

from master.web.live.hub import Hub, News, Parts, Stream
from tests.unit.master.web.loops import in_loop

TICK_S = 0.001


class Counted:
    """A page whose parts are numbers."""

    def __init__(self) -> None:
        self.loads = 0
        self.fails = False

    async def __call__(self) -> Parts:
        self.loads += 1
        if self.fails:
            raise ValueError("a fault of this page")
        return {"count": str(self.loads), "still": "the same"}


class Stuck(Counted):
    """A page that is never loaded. left: how often nobody waits for it any more."""

    left = 0

    async def __call__(self) -> Parts:
        self.loads += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.left += 1
        return {}


@contextlib.asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[None]:
    task = asyncio.create_task(hub.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def later(stream: Stream) -> Parts:
    async with asyncio.timeout(60.0):
        news = await stream.get()
        assert news is not None, "the visit has ended"
        return news.parts


async def loaded(page: Counted, times: int) -> None:
    async with asyncio.timeout(60.0):
        while page.loads < times:
            await asyncio.sleep(TICK_S)


@in_loop
async def test_who_looks_gets_all_and_then_what_changes() -> None:
    hub, page = Hub(TICK_S), Counted()
    async with running(hub):
        stream = hub.join("page", page)
        assert await later(stream) == {"count": "1", "still": "the same"}
        assert set(await later(stream)) == {"count"}


@in_loop
async def test_nothing_is_asked_while_nobody_looks() -> None:
    hub, page, other = Hub(TICK_S), Counted(), Counted()
    async with running(hub):
        stream = hub.join("page", page)
        await later(stream)
        hub.leave("page", stream)
        await loaded(page, page.loads)
        before = page.loads
        still = hub.join("other", other)
        await loaded(other, 3)
        hub.leave("other", still)
        assert page.loads <= before + 1  # one may have been on its way


@in_loop
async def test_a_thousand_who_look_at_one_page_ask_once() -> None:
    hub, page = Hub(TICK_S), Counted()
    streams = [hub.join("page", page) for _ in range(1_000)]
    async with running(hub):
        found = [await later(stream) for stream in streams]
    assert all("still" in parts for parts in found)
    assert page.loads < 100


@in_loop
async def test_who_comes_later_gets_the_page_at_once() -> None:
    hub, page = Hub(TICK_S), Counted()
    async with running(hub):
        await later(hub.join("page", page))
    second = hub.join("page", page)
    assert (await later(second))["still"] == "the same"


@in_loop
async def test_a_slow_reader_gets_the_newest_and_no_queue() -> None:
    stream = Stream()
    for number in range(10_000):
        stream.put(News({"count": str(number), f"old{number % 3}": "x"}))
    assert len(await later(stream)) == 4
    assert (stream._news, stream._come.is_set()) == (None, False)


@in_loop
async def test_a_visit_that_ends_is_told_nothing_more_and_the_others_are() -> None:
    hub, page, other = Hub(TICK_S), Counted(), Counted()
    async with running(hub):
        mine = [hub.join("page", page, "me"), hub.join("other", other, "me")]
        you, program = hub.join("page", page, "you"), hub.join("page", page)
        hub.end("me")
        hub.end("")
        async with asyncio.timeout(10.0):
            assert [await stream.get() for stream in mine] == [None, None]
        mine[0].put(News({"count": "x"}))
        assert await mine[0].get() is None
        assert await later(you)
        assert await later(program)


@in_loop
async def test_a_fault_in_one_page_does_not_end_the_others() -> None:
    hub, bad, good = Hub(TICK_S), Counted(), Counted()
    bad.fails = True
    hub.join("bad", bad)
    stream = hub.join("good", good)
    async with running(hub):
        await later(stream)
        await loaded(bad, 3)
        await loaded(good, 3)


@in_loop
async def test_the_hub_is_full_at_its_bound_and_has_room_again() -> None:
    hub, page = Hub(TICK_S, most=2), Counted()
    first = hub.join("page", page)
    hub.join("page", page)
    assert not hub.has_room("page")
    hub.leave("page", first)
    hub.leave("page", first)
    assert hub.has_room("page")
    assert hub.count == 1


@in_loop
async def test_so_many_pages_are_looked_at_at_a_time_each_by_many() -> None:
    hub, page = Hub(TICK_S, most_topics=2), Counted()
    first = hub.join("one", page)
    hub.join("two", page)
    assert hub.has_room("one")
    assert not hub.has_room("three")
    hub.leave("one", first)
    assert hub.has_room("three")


@in_loop
async def test_a_slow_page_holds_no_other_up_and_is_loaded_once_at_a_time() -> None:
    hub, slow, fast = Hub(TICK_S), Stuck(), Counted()
    async with running(hub):
        hub.join("slow", slow)
        hub.join("fast", fast)
        await loaded(slow, 1)
        await loaded(fast, 20)
    assert (slow.loads, slow.left) == (1, 1), "the end of the hub ends it"


@in_loop
async def test_a_page_that_takes_too_long_is_left_and_tried_again() -> None:
    hub, slow = Hub(TICK_S, turn_s=0.01), Stuck()
    hub.join("slow", slow)
    async with running(hub):
        await loaded(slow, 3)
    assert slow.left == slow.loads


@in_loop
async def test_a_page_that_nobody_looks_at_any_more_is_not_loaded_to_its_end() -> None:
    hub, slow = Hub(TICK_S), Stuck()
    stream = hub.join("slow", slow)
    async with running(hub):
        await loaded(slow, 1)
        hub.leave("slow", stream)
        async with asyncio.timeout(60.0):
            while not slow.left:
                await asyncio.sleep(TICK_S)


@in_loop
async def test_a_dear_page_rests_longer_than_it_took() -> None:
    loop = asyncio.get_running_loop()
    began: list[float] = []

    async def dear() -> Parts:
        began.append(loop.time())
        await asyncio.sleep(0.02)
        return {"count": str(len(began))}

    hub = Hub(TICK_S)
    stream = hub.join("dear", dear)
    async with running(hub):
        for _ in range(3):
            await later(stream)
    assert all(after - before >= 0.09 for before, after in itertools.pairwise(began))


def test_news_are_json_once_for_all() -> None:
    news = News({"a": "<b>&\n"})
    assert json.loads(news.text) == {"a": "<b>&\n"}
    assert "\n" not in news.text
    assert news.text is news.text

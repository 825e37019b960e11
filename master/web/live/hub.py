"""One loop that asks the master for all who look at a page, and tells each what has changed.

Whoever looks at the same page is one topic: it is loaded and rendered once. The loop loads one
topic after the other, so the master has one request of it at a time. While nobody looks, it asks
nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping
from functools import cached_property

log = logging.getLogger("quartermaster.web")

TICK_S = 1.0
MOST_STREAMS = 1_200
"""How many may look at a time."""

Parts = Mapping[str, str]
"""Pieces of a page by the id of their element, as HTML."""

Render = Callable[[], Awaitable[Parts]]
"""Loads and renders the parts of one page. It never raises."""


class News:
    """Parts that have changed."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    @cached_property
    def text(self) -> str:
        """As JSON: made once for all who get it."""
        return json.dumps(self.parts, ensure_ascii=False, separators=(",", ":"))


class Stream:
    """One who looks. It keeps what it has not sent yet: the newest of each part, never a queue."""

    def __init__(self) -> None:
        self._news: News | None = None
        self._come = asyncio.Event()

    def put(self, news: News) -> None:
        """Parts have changed."""
        before = self._news
        self._news = news if before is None else News({**before.parts, **news.parts})
        self._come.set()

    async def get(self) -> News:
        """Wait for parts that have changed."""
        await self._come.wait()
        self._come.clear()
        news, self._news = self._news, None
        assert news is not None  # `put` has set both
        return news


class _Topic:
    """One page, and who looks at it."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._shown: dict[str, str] = {}
        self.streams: set[Stream] = set()

    async def turn(self) -> None:
        """Load it once more, and tell everyone what has changed."""
        parts = await self._render()
        changed = {name: html for name, html in parts.items() if self._shown.get(name) != html}
        self._shown.update(changed)
        if changed:
            news = News(changed)
            for stream in self.streams:
                stream.put(news)

    def join(self, stream: Stream) -> None:
        self.streams.add(stream)
        if self._shown:
            stream.put(News(dict(self._shown)))


class Hub:
    """Knows who looks at what. `run` is the loop."""

    def __init__(self, tick_s: float = TICK_S, most: int = MOST_STREAMS) -> None:
        self._tick_s, self._most = tick_s, most
        self._topics: dict[Hashable, _Topic] = {}
        self._looked_at = asyncio.Event()
        self.count = 0

    @property
    def full(self) -> bool:
        """Whether as many look as may."""
        return self.count >= self._most

    def join(self, key: Hashable, render: Render) -> Stream:
        """Somebody looks from now on. key: the same for those who see the same."""
        self.count += 1
        topic = self._topics.setdefault(key, _Topic(render))
        stream = Stream()
        topic.join(stream)
        self._looked_at.set()
        return stream

    def leave(self, key: Hashable, stream: Stream) -> None:
        """Somebody looks no more."""
        topic = self._topics.get(key)
        if topic is None or stream not in topic.streams:
            return
        self.count -= 1
        topic.streams.discard(stream)
        if not topic.streams:
            del self._topics[key]
        if not self._topics:
            self._looked_at.clear()

    async def run(self) -> None:
        """Tell those who look what changes, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._looked_at.wait()
            began = loop.time()
            for topic in list(self._topics.values()):
                try:
                    await topic.turn()
                except Exception:  # a fault in one page must not end the others
                    log.exception("a page can't be shown")
            await asyncio.sleep(max(self._tick_s / 10, began + self._tick_s - loop.time()))

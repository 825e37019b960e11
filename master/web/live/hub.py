"""One loop that asks the master for all who look at a page, and tells each what has changed.

Whoever looks at the same page is one topic: it is loaded and rendered once. Topics are loaded side
by side, so a slow one holds no other up; how many requests the master has at a time is bounded in
`Master`. A topic rests for a multiple of the time that it took. While nobody looks, nothing is
asked.
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

MOST_TOPICS = 128
"""How many pages may be looked at at a time. Each asks the master once in a tick."""

TURN_S = 15.0
"""A topic that is not loaded after so long is left for now, and tried again after its rest."""

REST = 4.0
"""A topic rests so many times as long as it took: dear pages change less often."""

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
    """One who looks. It keeps what it has not sent yet: the newest of each part, never a queue.

    visit: which visit it is of; empty: it ends with its connection alone.
    """

    def __init__(self, visit: str = "") -> None:
        self.visit = visit
        self._news: News | None = None
        self._come = asyncio.Event()
        self._is_over = False

    def end(self) -> None:
        """The visit has ended: nothing more is told."""
        self._is_over = True
        self._come.set()

    def put(self, news: News) -> None:
        """Parts have changed."""
        before = self._news
        self._news = news if before is None else News({**before.parts, **news.parts})
        self._come.set()

    async def get(self) -> News | None:
        """Wait for parts that have changed. None: the visit has ended."""
        await self._come.wait()
        if self._is_over:
            return None
        self._come.clear()
        news, self._news = self._news, None
        assert news is not None  # `put` has set both
        return news


class _Topic:
    """One page, and who looks at it. due: when its next turn is (seconds of the loop's clock)."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._shown: dict[str, str] = {}
        self._turn: asyncio.Task[None] | None = None
        self._told_slow = False
        self.streams: set[Stream] = set()
        self.due = 0.0

    def is_due(self, now: float) -> bool:
        """Whether its next turn may begin. It has one at a time."""
        return self.due <= now and (self._turn is None or self._turn.done())

    def begin(self, tick_s: float, most_s: float) -> None:
        """Load it once more, beside the others. most_s: how long that may take."""
        self._turn = asyncio.create_task(self._one_turn(tick_s, most_s))

    def end(self) -> asyncio.Task[None] | None:
        """Nobody looks any more. The turn that goes on ends soon; None: there is none."""
        if self._turn is not None:
            self._turn.cancel()
        return self._turn

    async def _one_turn(self, tick_s: float, most_s: float) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(most_s):
                parts = await self._render()
            self._tell(parts)
        except TimeoutError:
            if not self._told_slow:
                log.warning("a page takes longer than %g s: it changes less often", most_s)
            self._told_slow = True
        except Exception:  # a fault in one page must not end the others
            log.exception("a page can't be shown")
        finally:
            self.due = max(began + tick_s, clock() + REST * (clock() - began))

    def _tell(self, parts: Parts) -> None:
        """Tell everyone what has changed."""
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

    def __init__(
        self,
        tick_s: float = TICK_S,
        most: int = MOST_STREAMS,
        most_topics: int = MOST_TOPICS,
        turn_s: float = TURN_S,
    ) -> None:
        self._tick_s, self._most, self._most_topics = tick_s, most, most_topics
        self._turn_s = turn_s
        self._topics: dict[Hashable, _Topic] = {}
        self._looked_at = asyncio.Event()
        self.count = 0

    def has_room(self, key: Hashable) -> bool:
        """Whether one more may look at a page."""
        known = key in self._topics or len(self._topics) < self._most_topics
        return known and self.count < self._most

    def join(self, key: Hashable, render: Render, visit: str = "") -> Stream:
        """Somebody looks from now on. key: the same for those who see the same. visit: whose."""
        self.count += 1
        topic = self._topics.setdefault(key, _Topic(render))
        stream = Stream(visit)
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
            topic.end()
        if not self._topics:
            self._looked_at.clear()

    def end(self, visit: str) -> None:
        """A visit has ended: nobody looks with it any more."""
        for topic in self._topics.values():
            for stream in topic.streams:
                if visit and stream.visit == visit:
                    stream.end()

    async def run(self) -> None:
        """Tell those who look what changes, for ever."""
        now = asyncio.get_running_loop().time
        try:
            while True:
                await self._looked_at.wait()
                for topic in self._topics.values():
                    if topic.is_due(now()):
                        topic.begin(self._tick_s, self._turn_s)
                await asyncio.sleep(self._tick_s / 10)
        finally:
            turns = [turn for topic in self._topics.values() if (turn := topic.end())]
            if turns:
                await asyncio.wait(turns)

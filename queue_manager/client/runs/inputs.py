"""The inputs that a program gives to a map or a start, also those that come by themselves.

This module reads them. `flow` says how far ahead, and `feeding` sends them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from typing import Any

from .flow import Delivery, Flow

log = logging.getLogger("quartermaster.client")

CLOSE_S = 5.0
"""How long a map that is over waits for the end of its asynchronous input."""


class Mailbox:
    """What has come for a map.

    stirred: is set whenever there may be room for more inputs. left: nobody takes anything more.
    """

    def __init__(self) -> None:
        self._deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self.stirred = asyncio.Event()
        self.left = False

    @property
    def full(self) -> bool:
        """Whether something is there."""
        return not self._deliveries.empty()

    def put(self, delivery: Delivery) -> None:
        """Deliver outcomes, or nothing but that the feed has room again."""
        self._deliveries.put_nowait(delivery)
        self.stirred.set()

    async def get(self) -> Delivery:
        """What came first."""
        return await self._deliveries.get()


async def pump(flow: Flow, items: AsyncIterable[Any], mailbox: Mailbox) -> None:
    """Give the flow what an asynchronous iterator has, while there is room.

    Results that are here may wait for their inputs alone. Whoever gives them out is woken then, and
    also if it asks for nothing more until an input comes: that one's result may not be here.

    An input that catches its CancelledError has no further item taken.

    Whatever ends the iterator, also a CancelledError of its own, comes out of the map.
    """
    try:
        inputs = aiter(items)
        try:
            async for item in inputs:
                if mailbox.left:  # `cancelling()` also counts what a TaskGroup of the input does
                    return
                while not flow.roomy:
                    mailbox.stirred.clear()
                    await mailbox.stirred.wait()
                short = flow.short
                flow.put(item)
                if (short or flow.ready) and not mailbox.full:
                    mailbox.put([])
        finally:
            await _close(inputs)
        flow.over = True
    except BaseException as error:
        flow.fail(error)
        if not isinstance(error, Exception | SystemExit):  # that one would end the loop
            raise
    finally:
        mailbox.put([])


async def stop(pumping: asyncio.Task[None], mailbox: Mailbox) -> None:
    """End a `pump` with its mailbox, and wait until the iterator of its inputs is closed.

    An input that was cancelled and waits for something all the same is left after `CLOSE_S`.
    """
    mailbox.left = True
    pumping.cancel()
    _, late = await asyncio.wait([pumping], timeout=CLOSE_S)
    if late:
        log.warning(
            "the asynchronous input of a map goes on though the map is over: it catches"
            " CancelledError; raise that again there"
        )


async def _close(inputs: Any) -> None:
    """Close an iterator of inputs. Only generators need that."""
    if isinstance(inputs, AsyncGenerator):
        await inputs.aclose()


def is_asynchronous(iterables: tuple[Any, ...]) -> bool:
    """Whether inputs come by themselves, or a part of each."""
    return any(isinstance(one, AsyncIterable) for one in iterables)


def coming(iterables: tuple[Any, ...]) -> AsyncIterable[Any]:
    """The inputs that come by themselves: of one iterable, or tuples of several."""
    inputs: AsyncIterable[Any] = iterables[0] if len(iterables) == 1 else _together(iterables)
    return inputs


async def _together(iterables: tuple[Any, ...]) -> AsyncGenerator[tuple[Any, ...], None]:
    """As `zip`, of iterables some of which are asynchronous: until the first of them ends."""
    iterators: list[Any] = [
        aiter(i) if isinstance(i, AsyncIterable) else iter(i) for i in iterables
    ]
    try:
        while True:
            values = []
            for iterator in iterators:
                try:
                    is_async = isinstance(iterator, AsyncIterator)
                    values.append(await anext(iterator) if is_async else next(iterator))
                except (StopIteration, StopAsyncIteration):
                    return
            yield tuple(values)
    finally:
        for iterator in iterators:
            await _close(iterator)


async def each_of(iterables: tuple[Any, ...]) -> AsyncGenerator[Any, None]:
    """Each input of a start. Between them the loop is given to others."""
    if is_asynchronous(iterables):
        inputs = aiter(coming(iterables))
        try:
            async for item in inputs:
                yield item
        finally:
            await _close(inputs)
    else:
        for place, item in enumerate(inputs_of(iterables)):
            if place % 64 == 0:
                await asyncio.sleep(0)
            yield item


def inputs_of(iterables: tuple[Any, ...]) -> Iterator[Any]:
    """The inputs of a map over one iterable or over several."""
    if len(iterables) == 1:
        return iter(iterables[0])
    return zip(*iterables, strict=False)


def length_of(iterables: tuple[Any, ...]) -> int | None:
    """How many inputs there are. None: nobody knows."""
    try:
        return min(map(len, iterables))
    except TypeError:
        return None

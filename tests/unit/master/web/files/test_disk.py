"""A disk that hangs holds up nobody but whoever looks at it, and not for long."""

from __future__ import annotations

import asyncio
import threading

import pytest

from master.web.files.disk import Disk, SlowDiskError
from tests.unit.master.web.loops import in_loop


@in_loop
async def test_a_disk_that_hangs_is_given_up_and_others_have_threads() -> None:
    disk, back, closed = Disk(within_s=0.05), threading.Event(), threading.Event()
    try:
        looks = [disk.look(back.wait, late=closed.set) for _ in range(100)]
        found = await asyncio.gather(*looks, return_exceptions=True)
        assert {type(one) for one in found} == {SlowDiskError}
        async with asyncio.timeout(60.0):
            assert await asyncio.to_thread(lambda: "a log-out") == "a log-out"
    finally:
        back.set()
    assert await asyncio.to_thread(closed.wait, 60.0)
    assert await Disk().look(lambda: "there") == "there"


@in_loop
async def test_who_looks_for_the_same_shares_what_was_seen_for_a_moment() -> None:
    disk, seen = Disk(young_s=0.05), []
    await asyncio.gather(*(disk.recent("folder", seen.append, 1) for _ in range(100)))
    assert seen == [1]
    await disk.recent("another", seen.append, 2)
    async with asyncio.timeout(60.0):
        while len(seen) < 3:
            await disk.recent("folder", seen.append, 1)
            await asyncio.sleep(0.001)


@in_loop
async def test_what_a_look_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await Disk().recent("", lambda: 1 // 0)

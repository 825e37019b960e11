"""A map on the wire, and a later call that takes its run."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from queue_manager.client.runs.mapping import Mapping
from queue_manager.errors import QueueError


def test_whoever_waits_for_a_map_hears_that_it_was_cut_off_though_the_later_call_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        delivered: list[Any] = []
        session: Any = SimpleNamespace(welcome=SimpleNamespace(max_bytes=1_000), losses=0)
        mapping = Mapping(session, 7, "a key", delivered.append)
        stopping = asyncio.Event()

        async def never(error: QueueError) -> None:
            stopping.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(mapping.feed, "cut_off", never)
        error = QueueError("a later call has it")
        later = asyncio.create_task(mapping.cut_off(error))
        await stopping.wait()
        later.cancel()
        await asyncio.wait([later])
        assert cast(list[Any], delivered) == [error]

    asyncio.run(asyncio.wait_for(scene(), 20.0))

"""What a child writes is read to its end, whatever is known first: its end or its words."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from master.processes import child_output
from master.processes.child_output import output_of
from tests.unit.master.conftest import JumpingLoop

LOOK_S = 0.02


async def read(process: Any, stream: asyncio.StreamReader) -> bytes:
    return b"".join([part async for part in output_of(process, stream)])


def test_last_words_that_come_behind_the_news_of_the_end_are_read(
    loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine may tell of both in any order."""
    monkeypatch.setattr(child_output, "LOOK_S", LOOK_S)

    async def scenario() -> bytes:
        stream = asyncio.StreamReader()
        loop.call_later(1.5 * LOOK_S, stream.feed_data, b"fine")
        return await read(SimpleNamespace(returncode=0), stream)

    assert loop.run_until_complete(scenario()) == b"fine"


def test_a_pipe_that_somebody_else_holds_open_is_not_waited_for(
    loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_output, "LOOK_S", LOOK_S)

    async def scenario() -> bytes:
        stream = asyncio.StreamReader()
        stream.feed_data(b"words")
        process = SimpleNamespace(returncode=None)
        loop.call_later(3 * LOOK_S, setattr, process, "returncode", 0)
        return await asyncio.wait_for(read(process, stream), 60.0)

    assert loop.run_until_complete(scenario()) == b"words"


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_whoever_reads_and_is_cancelled_just_as_words_come_reads_no_more(turns: int) -> None:
    """The `wait_for` of Python 3.11 loses such a cancel."""

    async def scenario() -> None:
        stream = asyncio.StreamReader()
        reading = asyncio.create_task(read(SimpleNamespace(returncode=None), stream))
        for _ in range(5):
            await asyncio.sleep(0)
        stream.feed_data(b"words")
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(reading, 60.0)

    asyncio.run(scenario())

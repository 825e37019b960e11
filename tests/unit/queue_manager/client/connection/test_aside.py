"""Blocking functions beside the loop, also when Python starts no more threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from queue_manager.client.connection import aside as module
from queue_manager.client.connection.aside import aside, keep_spare
from queue_manager.client.loop_thread import LoopThread
from queue_manager.errors import ConnectionLostError


@pytest.fixture
def the_program_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python 3.12 has it once the main thread has ended. A spare thread is there before."""
    monkeypatch.setattr(module, "_spare", None)
    keep_spare()

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)


def name() -> str:
    return threading.current_thread().name


def test_a_thread_of_its_own_does_it() -> None:
    keep_spare()
    assert asyncio.run(aside(name)) == "quartermaster-aside"


@pytest.mark.usefixtures("the_program_ends")
def test_the_spare_thread_does_one_after_the_other_when_no_thread_can_be_started() -> None:
    async def scene() -> list[str]:
        async with asyncio.timeout(60.0):
            return await asyncio.gather(aside(name), aside(name))

    assert asyncio.run(scene()) == ["quartermaster-spare"] * 2

    def odd() -> None:
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        asyncio.run(aside(odd))
    assert asyncio.run(scene()) == ["quartermaster-spare"] * 2


@pytest.mark.usefixtures("the_program_ends")
def test_without_a_spare_thread_there_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    module._forked()
    with pytest.raises(ConnectionLostError, match="no thread can be started"):
        asyncio.run(aside(name))


def test_a_program_without_a_loop_of_its_own_has_a_spare_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_spare", None)
    thread = LoopThread()
    assert module._spare is not None
    thread.soon(thread.loop.stop)
    thread._thread.join(60.0)
    thread.loop.close()

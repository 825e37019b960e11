"""The session of a Django process: its time limit, and the thread that it shares with clients."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from queue_manager.client.connection.link import FaultyRequestError
from queue_manager.client.loop_thread import loop_thread
from queue_manager.django import connection as module
from queue_manager.django.connection import Connection, connection_to
from queue_manager.errors import ConnectionLostError, UnreachableError
from queue_manager.settings import load_settings
from queue_manager.wire.messages import AskStatus, Request, Status, Welcome


def connection(port: int, timeout_s: float = 0.2) -> Connection:
    settings = load_settings({"QUEUE_HOST": "127.0.0.1", "QUEUE_PORT": str(port)})
    return Connection(settings, b"key", timeout_s)


def ask(one: Connection) -> Status:
    return one.begin(one.limited(one.again(AskStatus, Status))).result(10.0)


def test_a_master_that_is_not_there_is_one_line_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        since = time.monotonic()
        one = connection(silent.getsockname()[1])
        with pytest.raises(UnreachableError, match=r"^no master at 127"):
            ask(one)
        one.close()
        assert time.monotonic() - since < 4.0


def test_a_master_that_is_there_and_does_not_answer_is_one_line_within_the_timeout() -> None:
    """A frozen master blocked a request of the web for ever."""
    one = connection(1)
    link = one._session._link
    link._send = lambda body: None  # type: ignore[method-assign]
    link._stream = SimpleNamespace(place=None)  # type: ignore[assignment]
    loop_thread().soon(link._received, Welcome("1", 1))
    with pytest.raises(UnreachableError, match=r"^the master at 127\.0\.0\.1:1 has not answered"):
        ask(one)
    link._stream = None
    one.close()


def test_it_has_no_thread_of_its_own() -> None:
    loop_thread()
    before = threading.active_count()
    one = connection(1)
    assert one.begin(_thread()).result(10.0) == "quartermaster"
    assert threading.active_count() - before <= 1  # one that connects
    one.close()


async def _thread() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


def test_the_child_of_a_fork_has_a_session_of_its_own() -> None:
    settings = load_settings({"QUEUE_PORT": "1", "QUEUE_AUTHKEY": "a key for this test alone"})
    one = connection_to(settings, 0.2)
    assert connection_to(settings, 0.2) is one
    child = os.fork()
    if not child:
        try:
            other = connection_to(settings, 0.2)
            os._exit(0 if other is not one and other._thread.pid == os.getpid() else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    one.close()


def test_a_request_after_the_end_of_the_session_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was tried again without a pause for ever, and held up each client of the process."""
    one = connection(1)
    one.close()
    reach, tries = one._session.reach, iter(range(100))

    async def reached() -> None:
        assert next(tries, None) is not None, "it spins"
        await reach()

    monkeypatch.setattr(one._session, "reach", reached)
    with pytest.raises(ConnectionLostError, match=r"^the client was closed$"):
        ask(one)


def test_a_request_that_the_master_cannot_read_is_sent_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ended the session of all threads again and again, until the timeout."""
    one, sent = connection(1, 10.0), []

    async def reached() -> None:
        """There is always a new session."""

    async def request(make: Callable[[int], Request], answer: type) -> None:
        sent.append(make(1))
        assert len(sent) < 100, "it spins"
        raise FaultyRequestError("lost the master: not a request of ours")

    monkeypatch.setattr(one._session, "reach", reached)
    monkeypatch.setattr(one._session._link, "request", request)
    with pytest.raises(FaultyRequestError):
        ask(one)
    assert len(sent) == 1
    one.close()


def test_a_session_that_has_ended_is_given_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_open", {})
    settings = load_settings({"QUEUE_PORT": "1", "QUEUE_AUTHKEY": "a key for this test alone"})
    ended = connection_to(settings, 0.2)
    ended.close()
    one = connection_to(settings, 0.2)
    assert not one.closed
    module._close()  # as at the end of the program
    assert one.closed
    assert module._open == {}


def test_the_end_of_the_session_ends_what_goes_on_beside() -> None:
    one = connection(1)
    ended = threading.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def begin() -> None:
        one.beside(for_ever())
        await asyncio.sleep(0)  # it has begun

    one.begin(begin()).result(10.0)
    assert not ended.is_set()
    one.close()
    assert ended.wait(60.0)

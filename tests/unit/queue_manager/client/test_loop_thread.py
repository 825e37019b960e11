"""Who must not wait for the loop of the clients."""

from __future__ import annotations

import os
import signal
import threading
from types import SimpleNamespace
from typing import Any, cast

from queue_manager.client import loop_thread as module
from queue_manager.client.loop_thread import LoopThread, holds_loop_lock, loop_lock
from queue_manager.client.own_session import OwnSession
from queue_manager.client.synchronous import Client

PATIENCE_S = 20.0


def test_only_the_thread_that_holds_a_lock_of_the_loop_must_not_wait() -> None:
    lock, seen = loop_lock(), list[bool]()
    assert not holds_loop_lock()
    with lock:
        with lock:
            assert holds_loop_lock()
        assert holds_loop_lock()
        other = threading.Thread(target=lambda: seen.append(holds_loop_lock()))
        other.start()
        other.join(PATIENCE_S)
    assert not holds_loop_lock()
    assert seen == [False]


def test_a_lock_that_nobody_has_is_forgotten() -> None:
    lock = loop_lock()
    known = id(lock)
    assert known in module._locks
    del lock
    assert known not in module._locks


def test_a_lock_that_a_thread_held_at_a_fork_is_nobodys_in_the_child() -> None:
    held, free = loop_lock(), loop_lock()
    taken, going = threading.Event(), threading.Event()

    def hold() -> None:
        with held:
            taken.set()
            going.wait(PATIENCE_S)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    assert taken.wait(PATIENCE_S)
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            known = id(free) in module._locks and id(held) not in module._locks
            os._exit(0 if known and not holds_loop_lock() else 1)
        finally:
            os._exit(2)
    going.set()
    holder.join(PATIENCE_S)
    assert os.waitpid(child, 0)[1] == 0


def test_a_finalizer_that_interrupts_the_client_closes_it_without_waiting() -> None:
    closed = threading.Event()

    async def close() -> None:
        closed.set()

    client: Any = Client.__new__(Client)
    client._own, client._calling = OwnSession(*cast(Any, [None] * 4)), ()
    thread = client._own._thread = LoopThread()
    client._own._own = thread, SimpleNamespace(close=close)
    with loop_lock():
        client.close()
    assert closed.wait(PATIENCE_S)
    thread.soon(thread.loop.stop)
    thread._thread.join(PATIENCE_S)
    thread.loop.close()

"""`QueueManager` as a client: the tutorials' class, over our own Listener and Client."""

from __future__ import annotations

import queue
import socket
import threading

import pytest

from queue_manager import QueueManager
from queue_manager.errors import ConnectionLostError, NotPlainDataError, WrongKeyError
from tests.integration.processes import KEY, Master


def connected(master: Master) -> QueueManager:
    manager = QueueManager(("127.0.0.1", master.port), KEY.encode())
    manager.connect()
    return manager


def test_it_puts_takes_settles_and_reads_as_a_stock_client_does(master: Master) -> None:
    manager = connected(master)
    for names in (("get_task_queue", "get_result_queue"), ("getTaskQueue", "getResultQueue")):
        tasks, results = (getattr(manager, name)() for name in names)
        tasks.put({"n": 7})
        assert tasks.qsize() == 1
        assert tasks.get(timeout=30) == {"n": 7}
        results.put(49)
        assert results.get(timeout=30) == 49
        assert tasks.empty()


def test_errors_of_a_call_arrive_as_built_in_classes(master: Master) -> None:
    manager = connected(master)
    tasks, results = manager.get_task_queue(), manager.get_result_queue()
    with pytest.raises(queue.Empty):
        results.get_nowait()
    with pytest.raises(TypeError, match="plain data"):
        tasks.put(threading.Event)
    with pytest.raises(ValueError, match="shared disk"):
        tasks.put(b"x" * 2_000_000)
    tasks.put(1)
    assert tasks.get() == 1  # the connection has outlived all of them


def test_a_wrong_key_is_one_clear_error(master: Master) -> None:
    manager = QueueManager(("127.0.0.1", master.port), b"not the key at all")
    with pytest.raises(WrongKeyError, match=f"wrong authkey for 127.0.0.1:{master.port}"):
        manager.connect()


def test_a_server_that_hangs_up_or_sends_a_class_does_no_harm() -> None:
    from queue_manager.wire.reach.masters import Masters
    from queue_manager.wire.transport import Connection

    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            server.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(ConnectionLostError, match="closed the connection"):
            Masters([("127.0.0.1", server.getsockname()[1])]).open(b"a key of some length")

    import multiprocessing.connection
    import pickle

    here, there = socket.socketpair()
    sender = multiprocessing.connection.Connection(there.detach())
    receiver = Connection(here.detach())
    sender.send_bytes(pickle.dumps(("#RETURN", threading.Thread)))
    with pytest.raises(NotPlainDataError):
        receiver.recv()
    sender.close()
    receiver.close()

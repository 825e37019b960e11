"""The tutorial's program: two queues in a BaseManager, one call a task, no sleep, nothing on disk.

`serve PORT` is its master, `work PORT` one of its workers. A task is (work, number, payload), so
that results find their tasks. There is no bulk call. Nobody reconnects, as in the tutorial.
"""

from __future__ import annotations

import os
import queue
import sys
from multiprocessing.managers import BaseManager
from typing import Any

from bench.peers.work import WORK

AUTHKEY = b"benchmark"
TIMEOUT_S = 60.0
tasks: queue.Queue[Any] = queue.Queue()
results: queue.Queue[Any] = queue.Queue()


class ServingManager(BaseManager):
    """The master's side."""


class QueueManager(BaseManager):
    """The side of workers and clients."""

    get_task_queue: Any
    get_result_queue: Any


ServingManager.register("get_task_queue", callable=lambda: tasks)
ServingManager.register("get_result_queue", callable=lambda: results)
QueueManager.register("get_task_queue")
QueueManager.register("get_result_queue")


class Client:
    def __init__(self) -> None:
        manager = connected(int(os.environ["PEER_URL"].rpartition(":")[2]))
        self._tasks, self._results = manager.get_task_queue(), manager.get_result_queue()
        self._submitted = 0
        self._found: dict[int, Any] = {}

    def one_by_one(self, work: str, payloads: list[Any]) -> list[int]:
        handles = []
        for payload in payloads:
            self._submitted += 1
            self._tasks.put((work, self._submitted, payload))
            handles.append(self._submitted)
        return handles

    def collect(self, handles: list[int]) -> list[Any]:
        for _ in handles:
            number, result = self._results.get(timeout=TIMEOUT_S)
            self._found[number] = result
        return [self._found.pop(handle) for handle in handles]

    def peek(self, handle: int) -> Any:
        try:
            number, result = self._results.get_nowait()
            self._found[number] = result
        except queue.Empty:
            pass
        return self._found.get(handle)

    def close(self) -> None:
        """The server ends by itself."""


def connected(port: int) -> QueueManager:
    manager = QueueManager(("127.0.0.1", port), AUTHKEY)
    manager.connect()
    return manager


def main(role: str, port: int) -> None:
    if role == "serve":
        ServingManager(("127.0.0.1", port), AUTHKEY).get_server().serve_forever()
    manager = connected(port)
    tasks, results = manager.get_task_queue(), manager.get_result_queue()
    while True:
        work, number, payload = tasks.get()
        results.put((number, WORK[work](payload)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""The tutorial's master and workers, without the sleep and the prints.

This module imports nothing of ours. `master COUNT` prints the tasks per second. `worker PORT` is
one of its two workers. `serve` is a plain server that ends with its standard input.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.managers import BaseManager
from typing import Any

AUTHKEY = b"benchmark"
WORKERS = 2
TIMEOUT_S = 20.0

task_queue: queue.Queue[int] = queue.Queue()
result_queue: queue.Queue[int] = queue.Queue()


class QueueManager(BaseManager):
    """The worker's side of the tutorial's manager."""

    get_task_queue: Any
    get_result_queue: Any


class ServingManager(QueueManager):
    """The master's side of the tutorial's manager."""


ServingManager.register("get_task_queue", callable=lambda: task_queue)
ServingManager.register("get_result_queue", callable=lambda: result_queue)
QueueManager.register("get_task_queue")
QueueManager.register("get_result_queue")


def started() -> ServingManager:
    """Start a manager that serves in a process of its own, on a free port."""
    context = multiprocessing.get_context("fork")
    manager = ServingManager(("127.0.0.1", 0), AUTHKEY, ctx=context)
    manager.start()
    return manager


def port_of(manager: BaseManager) -> int:
    """The port on which a manager serves."""
    address: Any = manager.address
    return int(address[1])


def connected(port: int, authkey: bytes = AUTHKEY) -> QueueManager:
    """Connect a client that has nothing but the standard library."""
    manager = QueueManager(("127.0.0.1", port), authkey)
    manager.connect()
    return manager


def master(count: int) -> float:
    """Put every task, then get every result. Returns tasks per second."""
    manager = started()
    command = [sys.executable, "-m", "bench.rig.tutorial", "worker", str(port_of(manager))]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(WORKERS)]
    for process in workers:
        assert process.stdout is not None
        process.stdout.readline()
    tasks, results = manager.get_task_queue(), manager.get_result_queue()
    began = time.monotonic()
    for n in range(count):
        tasks.put(n)
    squares = [results.get(timeout=TIMEOUT_S) for _ in range(count)]
    took_s = time.monotonic() - began
    assert sorted(squares) == [n * n for n in range(count)]
    for _ in workers:
        tasks.put(None)
    for process in workers:
        process.wait(TIMEOUT_S)
    manager.shutdown()
    return count / took_s


def worker(port: int) -> None:
    """Get a task, work on it and put its result, until the task is None."""
    manager = connected(port)
    tasks, results = manager.get_task_queue(), manager.get_result_queue()
    print("ready", flush=True)
    while (n := tasks.get(timeout=TIMEOUT_S)) is not None:
        results.put(n * n)


def serve() -> None:
    """Serve until standard input ends."""
    manager = started()
    print(port_of(manager), flush=True)
    sys.stdin.read()
    manager.shutdown()


def measure(count: int) -> float:
    """Measure the tasks per second of the tutorial, in processes of its own."""
    command = [sys.executable, "-m", "bench.rig.tutorial", "master", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return float(done.stdout)


@contextlib.contextmanager
def plain_server() -> Iterator[int]:
    """Start a plain server for one user, and give its port."""
    command = [sys.executable, "-m", "bench.rig.tutorial", "serve"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


@contextlib.contextmanager
def idle_worker(port: int) -> Iterator[None]:
    """Start a worker of a plain server. It waits for a task."""
    command = [sys.executable, "-m", "bench.rig.tutorial", "worker", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            connected(port).get_task_queue().put(None)


def main(role: str, *numbers: str) -> None:
    if role == "master":
        print(master(int(numbers[0])))
    elif role == "worker":
        worker(int(numbers[0]))
    else:
        serve()


if __name__ == "__main__":
    main(*sys.argv[1:])

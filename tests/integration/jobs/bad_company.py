"""Six bad tasks among good ones."""

import ctypes
import os
import time

from queue_manager import Options

OPTIONS = Options(attempts=2, timeout_s=2.0, memory_bytes=1024**3)
BAD = ["segfault", "exit", "memory", "loop", "loop in C", "fork bomb"]


def tasks(good: int = 1000):
    for n in range(good):
        if n % (good // len(BAD)) == 7 and n // (good // len(BAD)) < len(BAD):
            yield BAD[n // (good // len(BAD))]
        yield n


def work(task):
    if not isinstance(task, str):
        return task * task
    if task == "segfault":
        ctypes.string_at(0)
    if task == "exit":
        os._exit(3)
    if task == "memory":
        return len(bytearray(4 * 1024**3))
    if task == "loop":
        while True:
            pass
    if task == "loop in C":
        return sum(range(10**12))
    for _ in range(50):
        if os.fork() == 0:
            time.sleep(300)
            os._exit(0)
    time.sleep(300)

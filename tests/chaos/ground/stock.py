"""Clients with nothing but the standard library: put tasks, read results, or work.

Run as `python stock.py ROLE PORT KEY_IN_HEX TAG`, with the diary's folder on the path. They
reconnect as a script would: with a new manager. A put whose answer never came is not repeated:
it may or may not be there.
"""

import contextlib
import queue
import sys
import time
from multiprocessing import AuthenticationError
from multiprocessing.managers import BaseManager

from diary import answer, note

PAUSE_S = 0.1


class QueueManager(BaseManager):
    pass


QueueManager.register("get_task_queue")
QueueManager.register("get_result_queue")


def connect(port, key):
    """Both queues, as soon as there is a master."""
    while True:
        manager = QueueManager(("127.0.0.1", port), key)
        try:
            manager.connect()
            return manager.get_task_queue(), manager.get_result_queue()
        except (OSError, EOFError, AssertionError, AuthenticationError):
            time.sleep(PAUSE_S)  # the last two: a master that stands by for a moment


def put(tasks, results, tag, state):
    """One task; `A` is written before it is put, `P` when that was acknowledged."""
    number = state["number"] = state.get("number", -1) + 1
    note("A", tag, number)
    tasks.put([tag, str(number), 0.02])
    note("P", tag, number)
    time.sleep(PAUSE_S)


def read(tasks, results, tag, state):
    """One result."""
    item, number = results.get(timeout=1.0)
    note("R", "queue", item, number)


def work(tasks, results, tag, state):
    """One task, from get to put."""
    theirs, item, length_s = tasks.get(timeout=1.0)
    note("S", theirs, item)
    time.sleep(length_s)
    note("E", theirs, item)
    results.put(answer(theirs, item))


def main(role, port, key, tag):
    turn = {"put": put, "read": read, "work": work}[role]
    state = {}
    while True:
        queues = connect(int(port), bytes.fromhex(key))
        try:
            while True:
                with contextlib.suppress(queue.Empty):
                    turn(*queues, tag, state)
        except (OSError, EOFError) as error:
            print(role, "lost the master:", repr(error), flush=True)
        except Exception as error:  # such as a refusal because the disk is full
            print(role, "was refused:", repr(error), flush=True)
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])

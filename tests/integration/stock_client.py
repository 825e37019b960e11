"""A client with nothing but the standard library, in any Python from 3.8 on, told what to do.

Run as `python -I -S stock_client.py FD HOST PORT KEY_IN_HEX`: connects as the tutorials do, then
evaluates what comes over the descriptor, with `tasks` and `results` in reach, and sends back what
each gave. Not a test, and it imports nothing of ours.
"""

import os
import queue
import socket
import struct
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.managers import BaseManager, dispatch

NAMES = ("get_task_queue", "get_result_queue", "getTaskQueue", "getResultQueue")


class QueueManager(BaseManager):
    pass


for name in NAMES:
    QueueManager.register(name)


class Evil:
    """Unpickled without care, it runs a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def raw(proxy):
    """The connection under a proxy, to write to it what no proxy would."""
    proxy._callmethod("qsize")
    return proxy._tls.connection


def take_and_die(proxy):
    """Call get, and die with a reset once the answer is there, unread."""
    connection = raw(proxy)
    connection.send((proxy._id, "get", (), {}))
    if not connection.poll(30):
        raise TimeoutError("no answer to get")
    linger = struct.pack("ii", 1, 0)
    with socket.socket(fileno=os.dup(connection.fileno())) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
    os._exit(0)


def main():
    orders = Connection(int(sys.argv[1]))
    manager = QueueManager((sys.argv[2], int(sys.argv[3])), bytes.fromhex(sys.argv[4]))
    names = {"queue": queue, "time": time, "manager": manager, "Evil": Evil, "raw": raw}
    names.update(take_and_die=take_and_die, dispatch=dispatch)
    try:
        manager.connect()
        names.update(tasks=manager.get_task_queue(), results=manager.get_result_queue())
        orders.send((None, "connected"))
        while True:
            code, values = orders.recv()
            try:
                orders.send((None, eval(code, {**names, **values})))
            except Exception as error:
                orders.send((error, None))
    except EOFError:
        pass
    except Exception as error:
        orders.send((error, None))


if __name__ == "__main__":
    main()

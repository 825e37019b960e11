"""By what the master knows a program again."""

from __future__ import annotations

import os

from queue_manager.client.connection.program import client_hello


def test_all_sessions_of_a_process_have_one_id_and_the_child_of_a_fork_has_another() -> None:
    mine = client_hello().program
    assert client_hello().program == mine
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, client_hello().program.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        childs = answer.read()
    os.waitpid(child, 0)
    assert len(childs) == len(mine) > 20
    assert childs != mine

"""Results on their way to stock clients, and what a restart of the master leaves of everything."""

from __future__ import annotations

import signal

import pytest

from tests.integration.processes import Master
from tests.integration.stock import StockClient


def put_results(client: StockClient, count: int) -> None:
    """So many tasks of the queue run, done."""
    client("[tasks.put(n) for n in range(count)]", count=count)
    for n in range(count):
        client("(tasks.get(timeout=30), results.put(n))", n=n)


def test_a_result_whose_reader_died_unread_comes_again(master: Master) -> None:
    put_results(master.client(), 2)
    dying = master.client()
    dying.begin("take_and_die(results)")
    dying.popen.wait(60.0)
    reader = master.client()
    assert reader("[results.get(timeout=30), results.get(timeout=30)]") == [0, 1]
    assert reader("results.qsize()") == 0


def test_a_result_that_was_read_comes_to_nobody_else(master: Master) -> None:
    put_results(master.client(), 2)
    reader = master.client()
    assert reader("results.get(timeout=30)") == 0
    reader.end()  # a script that ends: a clean EOF
    assert master.client()("results.get(timeout=30)") == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_waiting_tasks_and_unread_results_outlive_the_master(
    how: signal.Signals, master: Master
) -> None:
    client, reader = master.client(), master.client()
    put_results(client, 3)
    client("[tasks.put(n) for n in ('a', 'b')]")
    assert client("tasks.get()") == "a"  # a lease that ends with the master counts for nothing
    assert reader("results.get(timeout=30)") == 0
    reader.end()

    master.process.popen.send_signal(how)
    code = master.process.wait()
    assert code == (0 if how == signal.SIGTERM else -9)
    master.serve()
    client = master.client()
    assert client("tasks.qsize()") == 2
    assert sorted(client("[tasks.get(), results.put(1), tasks.get(), results.put(2)]")[::2]) == [
        "a",
        "b",
    ]
    assert {t["payload"]: t["attempts"] for t in master.results(0)}["a"] == 1
    left = client("[results.get(timeout=30) for _ in range(results.qsize())]")
    if how == signal.SIGKILL and left[0] == 0:
        left = left[1:]  # after a crash one may come again
    assert left == [1, 2, 1, 2]


@pytest.mark.parametrize("reader", ["has ended", "is still connected"])
def test_a_delivered_result_is_not_repeated_after_a_clean_stop(reader: str, master: Master) -> None:
    client = master.client()
    put_results(client, 3)
    assert client("results.get(timeout=30)") == 0
    if reader == "has ended":
        client.end()
    assert master.process.terminate() == 0
    master.serve()
    assert master.client()("[results.get(timeout=30) for _ in range(2)]") == [1, 2]

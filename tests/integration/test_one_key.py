"""Calls with one key in one program: the newest one gives the run its inputs."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from queue_manager import Client, connect, connect_async
from queue_manager.errors import QueueError
from tests.integration.processes import KEY, PATIENCE_S, Master
from tests.integration.shared import SharedMaster

pytestmark = pytest.mark.timeout(300)

INPUTS = 70_000
"""More than a map reads ahead, so that one which nobody reads still has inputs to give."""


@pytest.fixture
def master(share_master: Callable[[bool], SharedMaster]) -> SharedMaster:
    return share_master(True)


@pytest.fixture
def qm(master: Master) -> Iterator[Client]:
    with connect(f"127.0.0.1:{master.port}", authkey=KEY) as client:
        yield client


def squares(stop: int) -> list[int]:
    return [n * n for n in range(stop)]


def the_run(master: Master) -> dict[str, str]:
    [number] = [run.run for run in master.runs() if run.run]
    return master.run_line(number)


def test_a_cell_that_is_run_again_has_the_run_and_the_generator_that_was_left_says_so(
    qm: Client, master: Master
) -> None:
    left = qm.map("square", range(INPUTS), key="cell")
    assert [next(left) for _ in range(5)] == squares(5)
    assert list(qm.map("square", range(INPUTS), key="cell")) == squares(INPUTS)
    with pytest.raises(QueueError, match="later call of this program has taken run"):
        list(left)
    assert the_run(master)["done"] == f"{INPUTS}"


def test_threads_that_map_with_one_key_double_nothing(qm: Client, master: Master) -> None:
    found: list[list[int] | QueueError] = []
    together = threading.Barrier(3)

    def mapped() -> None:
        together.wait(PATIENCE_S)
        try:
            found.append(list(qm.map("square", range(INPUTS), key="threads")))
        except QueueError as error:
            found.append(error)

    threads = [threading.Thread(target=mapped) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    whole = [one for one in found if not isinstance(one, QueueError)]
    assert len(found) == 3
    assert whole
    assert all(one == squares(INPUTS) for one in whole)
    assert the_run(master)["done"] == f"{INPUTS}"


def test_a_start_that_a_later_call_has_followed_gives_nothing_more(
    qm: Client, master: Master
) -> None:
    go_on, begun = threading.Event(), threading.Event()
    raised: list[QueueError] = []

    def slow() -> Iterator[int]:
        yield from range(100)
        begun.set()
        assert go_on.wait(PATIENCE_S)
        yield from itertools.repeat(-1, 100)

    def started() -> None:
        with pytest.raises(QueueError) as caught:
            qm.start("square", slow(), key="start")
        raised.append(caught.value)

    thread = threading.Thread(target=started)
    thread.start()
    assert begun.wait(PATIENCE_S)
    run = qm.start("square", range(300), key="start")
    go_on.set()
    thread.join(PATIENCE_S)
    assert "later call of this program" in str(raised[0])
    assert run.wait(PATIENCE_S).done == 300
    assert list(run.results()) == squares(300)


def test_a_map_that_has_given_all_its_inputs_goes_on_beside_a_later_one(qm: Client) -> None:
    first = qm.map("square", range(2_000), key="both")
    assert [next(first) for _ in range(1_500)] == squares(1_500)
    qm.run("both").wait(PATIENCE_S)
    second = qm.map("square", range(2_000), key="both")
    assert [next(second) for _ in range(10)] == squares(10)
    assert list(first) == squares(2_000)[1_500:]
    assert list(second) == squares(2_000)[10:]


def test_two_clients_of_one_program_double_nothing(qm: Client, master: Master) -> None:
    left = qm.map("square", range(INPUTS), key="clients")
    assert next(left) == 0
    with connect(f"127.0.0.1:{master.port}", authkey=KEY) as other:
        assert list(other.map("square", range(INPUTS), key="clients")) == squares(INPUTS)
    with pytest.raises(QueueError):
        list(left)
    assert the_run(master)["done"] == f"{INPUTS}"


def test_an_asynchronous_map_is_cut_off_too(master: Master) -> None:
    async def scene() -> None:
        async with await connect_async(f"127.0.0.1:{master.port}", authkey=KEY) as qm:
            left: Any = qm.map("square", range(INPUTS), key="async")
            assert await anext(left) == 0
            results = [one async for one in qm.map("square", range(INPUTS), key="async")]
            assert results == squares(INPUTS)
            with pytest.raises(QueueError, match="later call"):
                async for _ in left:
                    pass

    asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))
    assert the_run(master)["done"] == f"{INPUTS}"

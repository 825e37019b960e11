"""Clients and workers with two masters, of which one after the other is the active one.

The masters are doors to one real master (`tests.doors`), and a real one that starts elsewhere. What
becomes of the database when two masters share it is tested with PostgreSQL.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queue_manager import connect, connect_async
from queue_manager.client.connection.link import Link
from queue_manager.client.connection.program import client_hello
from queue_manager.client.connection.session import connected
from queue_manager.django.connection import connection_to
from queue_manager.errors import UnreachableError, WrongKeyError
from queue_manager.settings import load_settings
from queue_manager.wire.messages import AskSessions, AskStatus, SessionList, Status
from queue_manager.wire.reach.masters import Masters
from tests.doors import Door
from tests.integration.processes import KEY, Master, Process, eventually
from tests.integration.shared import SharedMaster

pytestmark = pytest.mark.timeout(300)

TAKEN_OVER_S = 3.1
"""How long after a freeze the other master becomes the active one, at the latest."""
FOUND_S = 5.0
"""How long after the freeze everybody is with the new master."""


@pytest.fixture
def master(lone_master: SharedMaster) -> SharedMaster:
    """The master behind both doors."""
    return lone_master


@pytest.fixture
def doors(master: Master) -> Iterator[tuple[Door, Door]]:
    """The first one is open, and the second one stands by."""
    made = Door(master.port, "open"), Door(master.port, "standby")
    yield made
    for one in made:
        one.end()


def both(doors: tuple[Door, Door]) -> str:
    return ",".join(door.address for door in doors)


def at(doors: tuple[Door, Door]) -> dict[str, str]:
    """The settings of a process. QUEUE_PORT leads nowhere."""
    return {"QUEUE_HOST": both(doors), "QUEUE_PORT": "1"}


def worker(master: Master, doors: tuple[Door, Door], **settings: str) -> Process:
    process = master.worker(**at(doors), **settings)
    process.says("connected to")
    return process


def freeze(first: Door, second: Door) -> float:
    """The first master freezes, and the second one takes over. Returns when the first froze."""
    first.becomes("frozen")
    frozen_at = time.monotonic()
    time.sleep(TAKEN_OVER_S)  # the take-over itself: a lease that runs out
    second.becomes("open")
    return frozen_at


def crash(first: Door, second: Door) -> float:
    """The first master dies, and the second one takes over."""
    first.becomes("gone")
    died_at = time.monotonic()
    second.becomes("open")
    return died_at


def workers_of(master: Master) -> list[str]:
    sessions = master.asked(AskSessions(1), SessionList).sessions
    return [one.name for one in sessions if one.role == "worker"]


# --- who reads QUEUE_HOST ---


def test_a_worker_finds_the_active_one_and_says_which_it_is(
    master: Master, doors: tuple[Door, Door]
) -> None:
    doors[0].becomes("standby")
    doors[1].becomes("open")
    process = worker(master, doors)
    process.says(rf"connected to {doors[1].address}, 2 slots")
    run = master.submit("square", "count=3")
    assert len(master.ended_tasks(run, 3)) == 3


@pytest.mark.parametrize("words", [["status"], ["jobs"], ["submit", "square", "count=1"]])
def test_commands_find_the_active_one(
    words: list[str], master: Master, doors: tuple[Door, Door]
) -> None:
    for roles in (("standby", "open"), ("frozen", "open"), ("open", "standby")):
        for door, role in zip(doors, roles, strict=True):
            door.becomes(role)  # type: ignore[arg-type]
        began = time.monotonic()
        ended = master.command(*words, **at(doors))
        assert ended.code == 0, repr(ended)
        assert time.monotonic() - began < FOUND_S


def test_a_command_says_in_one_line_that_no_master_is_active(
    master: Master, doors: tuple[Door, Door]
) -> None:
    doors[0].becomes("standby")
    doors[1].becomes("gone")
    refusal = master.command("status", **at(doors)).refusal
    assert refusal == (
        f"qm: no master at {doors[0].address}, {doors[1].address} (QUEUE_HOST, QUEUE_PORT):"
        f" {doors[0].address}: this master stands by; ask the active one;"
        f" {doors[1].address}: [Errno 111] Connection refused"
    )


@pytest.mark.parametrize("command", [["master", "status"], ["worker"]])
def test_a_wrong_address_is_one_line_and_exit_code_2(command: list[str], master: Master) -> None:
    process = master.start("wrong.log", *command, QUEUE_HOST="a,,b")
    assert process.wait() == 2
    assert process.log.strip().endswith(
        "QUEUE_HOST='a,,b': expected HOST or HOST:PORT, with commas between several, such as"
        " a,b:5001,[::1]:5000"
    )
    assert len(process.log.strip().splitlines()) == 1


def test_qm_map_uses_the_active_one(master: Master, doors: tuple[Door, Door]) -> None:
    worker(master, doors)
    doors[0].becomes("standby")
    doors[1].becomes("open")
    inputs = master.folder / "inputs.jsonl"
    inputs.write_text("1\n2\n3\n")
    job = master.folder / "doubled.py"
    job.write_text("def work(n):\n    return 2 * n\n")
    ended = master.command("map", str(job), str(inputs), **at(doors))
    assert (ended.code, ended.out.split()) == (0, ["2", "4", "6"]), repr(ended)


def test_completion_asks_the_active_one(master: Master, doors: tuple[Door, Door]) -> None:
    doors[0].becomes("frozen")
    doors[1].becomes("open")
    words = {"COMP_WORDS": "qm submit squa", "COMP_CWORD": "2", "_QM_COMPLETE": "bash_complete"}
    ended = master.command(**at(doors), **words)
    assert "square" in ended.out, repr(ended)


def test_programs_name_several_masters(master: Master, doors: tuple[Door, Door]) -> None:
    worker(master, doors)
    doors[0].becomes("standby")
    doors[1].becomes("open")
    with connect(both(doors), authkey=KEY) as qm:
        assert list(qm.map("square", range(3))) == [0, 1, 4]
        with qm.executor() as executor:
            assert list(executor.map(abs, [-1, -2])) == [1, 2]

    async def ask() -> str:
        async with await connect_async(both(doors), authkey=KEY) as qm:
            return (await qm.status()).version

    assert asyncio.run(ask())


def test_the_session_of_a_django_process_finds_the_active_one(
    master: Master, doors: tuple[Door, Door]
) -> None:
    settings = load_settings({**at(doors), "QUEUE_AUTHKEY": KEY})
    session = connection_to(settings, 20.0)
    assert connection_to(settings, 20.0) is session

    def ask() -> str:
        return session.begin(session.limited(session.again(AskStatus, Status))).result().version

    version = ask()
    crash(*doors)
    assert ask() == version
    assert doors[1].came > 0
    session.close()


def test_a_wrong_key_is_told_while_the_other_master_stands_by(doors: tuple[Door, Door]) -> None:
    with pytest.raises(WrongKeyError, match=f"wrong authkey for {doors[0].address}"):
        connect(both(doors), authkey="another key of the tests")


def test_a_program_waits_for_a_take_over_as_long_as_it_says(
    master: Master, doors: tuple[Door, Door]
) -> None:
    doors[0].becomes("standby")
    with pytest.raises(UnreachableError, match="this master stands by"):
        connect(both(doors), authkey=KEY, timeout=0.5)
    threading.Timer(1.0, doors[1].becomes, ["open"]).start()
    with connect(both(doors), authkey=KEY) as qm:
        assert qm.runs() is not None


# --- a master that is lost ---


def test_a_worker_goes_to_the_new_master_with_what_it_runs(
    master: Master, doors: tuple[Door, Door], tmp_path: Path
) -> None:
    process = worker(master, doors)
    gate, log = tmp_path / "gate", tmp_path / "log"
    run = master.submit("held", f"gate={gate}", f"log={log}", "count=4")
    eventually(lambda: log.exists() and len(log.read_text().split("\n")) == 3)
    frozen_at = freeze(*doors)
    process.says(rf"connected to {doors[1].address}")
    assert time.monotonic() - frozen_at < FOUND_S
    gate.touch()
    assert len(master.ended_tasks(run, 4)) == 4
    began = [line.split()[0] for line in log.read_text().splitlines()]
    assert sorted(began) == ["0", "1", "2", "3"]  # each once: the leases went on
    assert len(workers_of(master)) == 1


@pytest.mark.parametrize("loss", [freeze, crash])
def test_an_idle_worker_goes_to_the_new_master(
    loss: Callable[[Door, Door], float], master: Master, doors: tuple[Door, Door]
) -> None:
    process = worker(master, doors)
    lost_at = loss(*doors)
    process.says(rf"connected to {doors[1].address}")
    assert time.monotonic() - lost_at < FOUND_S
    loss(doors[1], doors[0])  # and back
    back = f"connected to {doors[0].address}"
    eventually(lambda: process.log.count(back) == 2)


@pytest.mark.parametrize("loss", [freeze, crash])
def test_a_map_goes_on_with_the_new_master(
    loss: Callable[[Door, Door], float], master: Master, doors: tuple[Door, Door]
) -> None:
    """Its inputs are on their way, and its results, when the master is lost."""
    worker(master, doors)
    middle = threading.Event()
    lost: list[float] = []

    def lose() -> None:
        middle.wait(60.0)
        lost.append(loss(*doors))

    losing = threading.Thread(target=lose)
    losing.start()
    results: list[int] = []
    began_again: list[float] = []
    with connect(both(doors), authkey=KEY) as qm:
        for result in qm.map("square", itertools.count(), buffer=2_000):
            if len(results) == 5_000:
                middle.set()
            results.append(result)
            if lost and len(results) > 10_000:
                began_again.append(time.monotonic())
                break
            if len(results) > 1_000_000:
                break
        losing.join()
    assert results == [n * n for n in range(len(results))]
    assert len(results) < 1_000_000
    assert began_again


@pytest.mark.parametrize("loss", [freeze, crash])
def test_a_program_that_waits_learns_it_from_the_new_master(
    loss: Callable[[Door, Door], float], master: Master, doors: tuple[Door, Door], tmp_path: Path
) -> None:
    """A wait, a page of results and a submit are under way. None of them ends in an error."""
    worker(master, doors)
    gate, log = tmp_path / "gate", tmp_path / "log"
    with connect(both(doors), authkey=KEY) as qm:
        run = qm.submit("held", gate=str(gate), log=str(log), count=3)
        ended: list[Any] = []
        waiting = [
            threading.Thread(target=lambda: ended.append(run.wait(60.0))),
            threading.Thread(target=lambda: ended.append(sorted(run.results()))),
        ]
        for thread in waiting:
            thread.start()
        eventually(log.exists)
        loss(*doors)
        gate.touch()
        for thread in waiting:
            thread.join(60.0)
        assert len(ended) == 2
        assert [0, 1, 2] in ended


def test_a_busy_master_is_not_left_while_the_other_one_stands_by(
    master: Master, doors: tuple[Door, Door]
) -> None:
    process = worker(master, doors)
    told = doors[1].told
    doors[0].becomes("frozen")
    eventually(lambda: doors[1].told >= told + 5, what="the worker looks at the other master")
    doors[0].becomes("open")
    run = master.submit("square", "count=3")
    assert len(master.ended_tasks(run, 3)) == 3
    assert not process.lines("lost the master")
    assert doors[0].came == 1


def test_a_session_with_a_single_master_is_not_asked_whether_it_is_there(
    master: Master, doors: tuple[Door, Door]
) -> None:
    process = master.worker(QUEUE_HOST=doors[0].address)
    doors[0].becomes("frozen")
    time.sleep(2.5)  # the time in which one of several would have been asked, and others looked at
    doors[0].becomes("open")
    assert doors[1].told == 0
    assert not process.lines("lost the master")


def test_hundreds_that_wait_for_a_take_over_are_no_storm(doors: tuple[Door, Door]) -> None:
    count, seconds = 100, 3.0
    doors[0].becomes("standby")

    async def wait() -> None:
        masters = [Masters([("127.0.0.1", door.port) for door in doors]) for _ in range(count)]
        links = [Link(one, KEY.encode(), client_hello, quiet=True) for one in masters]
        running = [asyncio.create_task(link.run()) for link in links]
        await asyncio.sleep(1.0)
        before = doors[0].told, doors[1].told
        await asyncio.sleep(seconds)
        rates = [(door.told - b) / seconds for door, b in zip(doors, before, strict=True)]
        assert all(count / 0.8 < rate < count / 0.2 for rate in rates), rates
        doors[1].becomes("open")
        async with asyncio.timeout(FOUND_S):
            await asyncio.gather(*(link.wait_up() for link in links))
        for link in links:
            link.close()
        await asyncio.gather(*running)

    asyncio.run(wait())


def test_a_real_master_that_starts_elsewhere_is_found(
    start_master: Callable[..., Master], tmp_path: Path
) -> None:
    """Two real processes: the first is killed, the second begins with its store.

    What the worker runs when the first one dies goes on with the second, and is run once.
    """
    first = start_master()
    standby = Door(first.port, "standby")
    gate, log = tmp_path / "gate", tmp_path / "log"
    try:
        hosts = f"127.0.0.1:{first.port},{standby.address}"
        process = first.worker(QUEUE_HOST=hosts, WORKER_SLOTS="4")
        run = first.submit("held", f"gate={gate}", f"log={log}", "count=2")
        eventually(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
        with connect(hosts, authkey=KEY) as qm:
            results = qm.map("square", range(20_000), buffer=1_000)
            head = list(itertools.islice(results, 5_000))
            first.process.kill()
            first.settings["QUEUE_PORT"] = "0"
            first.serve()  # on another port
            standby._behind = first.port
            standby.becomes("open")
            assert head + list(results) == [n * n for n in range(20_000)]
        process.says(rf"connected to {standby.address}")
        gate.touch()
        assert len(first.ended_tasks(run, 2)) == 2
        assert sorted(line.split()[0] for line in log.read_text().splitlines()) == ["0", "1"]
    finally:
        standby.end()


def test_a_silent_host_costs_a_session_less_than_a_second(doors: tuple[Door, Door]) -> None:
    doors[0].becomes("dropping")
    doors[1].becomes("open")

    async def reach() -> None:
        settings = load_settings({**at(doors)})
        began = time.monotonic()
        async with connected(settings, KEY.encode()):
            assert time.monotonic() - began < 1.0

    asyncio.run(reach())

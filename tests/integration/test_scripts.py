"""Patterns of public scripts, each of both sides run by a stock Python against our master.

The workers are of every Python that is here, what puts the tasks is of the system's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.processes import HERE, KEY, Master, Process, clean_environment
from tests.integration.stock import SYSTEM_PYTHON, stock_pythons

WITHIN_S = 40.0

each_python = pytest.mark.parametrize(
    "python", [pytest.param(path, id=name) for name, path in stock_pythons()]
)


def script(master: Master, name: str, *words: str, python: str = SYSTEM_PYTHON) -> Process:
    """Start one side of a pattern, in a terminal of its own."""
    log = master.folder / f"{name}-{len(master.started)}.log"
    command = [python, "-I", "-S", "-u", str(HERE / "scripts.py")]
    process = Process(
        log, [*command, name, str(master.port), KEY.encode().hex(), *words], clean_environment({})
    )
    master.started.append(process)
    return process


def ends(*processes: Process) -> None:
    """Each comes to its end, and none with an error."""
    for process in processes:
        assert process.wait(WITHIN_S) == 0, process.log


def done(master: Master, count: int) -> None:
    """So many tasks of the queue run were done at their first try, and nothing is left."""
    line = master.run_line(0)
    found = {name: line[name] for name in ("done", "dead", "waiting", "leased", "delayed")}
    assert found == {"done": str(count), "dead": "0", "waiting": "0", "leased": "0", "delayed": "0"}
    assert {task["attempts"] for task in master.results(0)} == {1}


@each_python
def test_a_crawler_follows_links_until_none_is_left(python: str, master: Master) -> None:
    nodes = [script(master, "crawl_node", python=python) for _ in range(3)]
    control = script(master, "crawl_control", "3")
    ends(control, *nodes)
    assert control.lines("^pages 31 31$")
    done(master, 31 + 3)


@each_python
def test_a_farm_of_processes_with_a_manager_each_factors_all_numbers_once(
    python: str, master: Master
) -> None:
    server = script(master, "farm_server")
    server.says("^put$")
    client = script(master, "farm_client", python=python)
    ends(client, server)
    assert server.lines("^factored 999$")
    done(master, 24)


@each_python
def test_renderers_that_take_several_frames_return_as_many_images(
    python: str, master: Master
) -> None:
    boss = script(master, "render_boss")
    nodes = [script(master, "render_node", places, python=python) for places in ("4", "3", "1")]
    ends(boss, *nodes)
    assert boss.lines("^rendered 50$")
    done(master, 50)
    assert all(t["result"][0] == t["payload"]["frame"] for t in _unpacked(master))


def _unpacked(master: Master) -> list[dict[str, object]]:
    return [{**t, "result": t["result"]["$tuple"]} for t in master.results(0)]  # type: ignore[misc]


@each_python
def test_threads_on_one_manager_end_with_a_stop_value_each_and_are_joined(
    python: str, master: Master
) -> None:
    worker = script(master, "threads_worker", "4", python=python)
    boss = script(master, "threads_boss", "4")
    ends(boss, worker)
    assert boss.lines("^joined$")
    done(master, 44)


@each_python
def test_one_stop_value_that_is_put_back_ends_all_workers(python: str, master: Master) -> None:
    workers = [script(master, "pill_worker", python=python) for _ in range(4)]
    boss = script(master, "pill_boss")
    ends(boss, *workers)
    assert boss.lines("^counted 20$")
    line = master.run_line(0)
    assert (line["done"], line["dead"], line["waiting"]) == ("24", "0", "1")


@each_python
def test_jobs_in_portions_all_come_back(python: str, master: Master) -> None:
    workers = [script(master, "portions_worker", python=python) for _ in range(2)]
    boss = script(master, "portions_boss")
    ends(boss, *workers)
    assert boss.lines("^finished 30$")
    done(master, 30)


@each_python
def test_workers_that_put_nothing_come_to_an_end_with_stock_ack_next(
    python: str, start_master: Callable[..., Master]
) -> None:
    master = start_master(QUEUE_STOCK_ACK="next")
    workers = [script(master, "log_worker", python=python) for _ in range(2)]
    boss = script(master, "log_boss")
    ends(boss, *workers)
    lines = [line for worker in workers for line in worker.lines("^line ")]
    assert sorted(lines) == sorted(f"line {n}" for n in range(30))
    done(master, 30)

"""Clients of the standard library and two masters: what docs/high-availability.md says."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from queue_manager import connect
from queue_manager.errors import ConnectionLostError
from tests.doors import Door
from tests.integration.processes import KEY, REPO, Master, Process, eventually
from tests.integration.shared import SharedMaster
from tests.integration.stock import stock_pythons

pytestmark = pytest.mark.timeout(300)

PAGE = REPO / "docs" / "high-availability.md"
HOSTS = ("10.0.0.11", "10.0.0.12")
"""The hosts of the page's masters, which listen on port 5000."""


def example(kind: str, name: str) -> str:
    """A code block of the page."""
    block = rf"^```{kind}\n# {re.escape(name)}\n(.*?)^```$"
    found = re.search(block, PAGE.read_text("utf-8"), re.M | re.S)
    assert found, name
    return found[1]


@pytest.fixture
def master(lone_master: SharedMaster) -> SharedMaster:
    return lone_master


@pytest.fixture
def doors(master: Master) -> Iterator[tuple[Door, Door]]:
    made = Door(master.port, "standby"), Door(master.port, "open")
    yield made
    for one in made:
        one.end()


WORKER = """
from multiprocessing.managers import BaseManager


class QueueManager(BaseManager):
    pass


QueueManager.register("get_task_queue")
QueueManager.register("get_result_queue")
while True:
    manager = connected(QueueManager, KEY)
    print("connected", manager.address[1], flush=True)
    try:
        tasks, results = manager.get_task_queue(), manager.get_result_queue()
        while True:
            n = tasks.get()
            results.put(n * n)
            print("done", n, flush=True)
    except (EOFError, OSError) as error:
        print("lost", repr(error), flush=True)
"""


@pytest.mark.parametrize("python", [pytest.param(path, id=name) for name, path in stock_pythons()])
def test_the_loop_of_the_page_finds_the_active_one(
    python: str, master: Master, doors: tuple[Door, Door], tmp_path: Path
) -> None:
    text = example("python", "find_master.py")
    for host, door in zip(HOSTS, doors, strict=True):
        text = text.replace(f'("{host}", 5000)', f'("127.0.0.1", {door.port})')
    script = tmp_path / "worker.py"
    script.write_text(f"KEY = {KEY.encode()!r}\n{text}\n{WORKER}")
    process = Process(tmp_path / "script.log", [python, "-I", "-S", str(script)], {})
    master.started.append(process)
    process.says(rf"^connected {doors[1].port}$")
    assert process.lines("this master stands by; ask the active one")
    client = master.client()
    client("tasks.put(3)")
    process.says("^done 3$")
    doors[1].becomes("standby")
    doors[0].becomes("open")
    process.says("^lost ")
    process.says(rf"^connected {doors[0].port}$")
    client("tasks.put(4)")
    process.says("^done 4$")
    assert sorted([client("results.get(timeout=30)"), client("results.get(timeout=30)")]) == [9, 16]


@pytest.fixture
def proxy(doors: tuple[Door, Door], tmp_path: Path, started: list[Process]) -> int:
    """The port of an HAProxy with the page's configuration, in front of both doors."""
    program = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no haproxy: scripts/haproxy.sh; CI=true lets no test be left out")
        pytest.skip("no haproxy on this machine: scripts/haproxy.sh")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    text = example("haproxy", "haproxy.cfg").replace("bind :5000", f"bind 127.0.0.1:{port}")
    for host, door in zip(HOSTS, doors, strict=True):
        assert f" {host}:5000 " in text
        text = text.replace(f" {host}:5000 ", f" {door.address} ")
    path = tmp_path / "haproxy.cfg"
    path.write_text(text)
    checked = subprocess.run([program, "-c", "-f", str(path)], capture_output=True, timeout=60)
    assert checked.returncode == 0, checked.stderr.decode()
    assert b"WARNING" not in checked.stderr, checked.stderr.decode()
    process = Process(tmp_path / "haproxy.log", [program, "-db", "-f", str(path)], {})
    started.append(process)

    def serves() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5.0) as sock:
                return b"#CHALLENGE#" in sock.recv(100)
        except OSError:
            return False

    eventually(serves, what=f"the proxy serves:\n{process.log}")
    return port


def test_the_proxy_of_the_page_leads_to_the_active_one(
    proxy: int, master: Master, doors: tuple[Door, Door]
) -> None:
    client = master.client_at(proxy)
    client("tasks.put(3)")
    assert client("tasks.get(timeout=30)") == 3
    client.begin("tasks.get()")
    doors[1].becomes("frozen")  # nobody closes its connections but the proxy
    doors[0].becomes("open")
    began = time.monotonic()
    with pytest.raises((EOFError, OSError)):
        client.answer()
    assert time.monotonic() - began < 10.0
    again = _connected(master, proxy)
    again("tasks.put(4)")
    assert again("tasks.get(timeout=30)") == 4
    assert doors[0].came > 0


def _connected(master: Master, port: int) -> object:
    def tries() -> object:
        try:
            return master.client_at(port)
        except (OSError, EOFError):
            return None

    return eventually(tries)


def test_our_own_client_goes_through_the_proxy_too(
    proxy: int, master: Master, doors: tuple[Door, Door]
) -> None:
    with connect(f"127.0.0.1:{proxy}", authkey=KEY) as qm:
        assert qm.runs() is not None
        doors[1].becomes("standby")
        doors[0].becomes("open")

        def asked() -> bool:
            try:
                return qm.status() is not None
            except ConnectionLostError:
                return False

        eventually(asked)

"""`docker compose up --scale worker=8` does what the README says."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import pytest

from .conftest import CHECKOUT, WORKERS, Stack, eventually

STOCK = """
import sys
from multiprocessing.managers import BaseManager

class QueueManager(BaseManager):
    pass

QueueManager.register("get_task_queue")
QueueManager.register("get_result_queue")
m = QueueManager(address=(sys.argv[1], int(sys.argv[2])), authkey=sys.argv[3].encode())
m.connect()
task, result = m.get_task_queue(), m.get_result_queue()
for n in range(5):
    task.put(n)
print(sorted(result.get(timeout=20) for n in range(5)))
"""


def test_the_log_shows_ten_squares_and_what_to_try_next(stack: Stack) -> None:
    log = stack.compose("logs", "--no-log-prefix", "master")
    squares = re.findall(r"(\d+) \* (\d+) = (\d+)", log)
    assert len(squares) == 10
    assert all(int(a) == int(b) and int(a) ** 2 == int(c) for a, b, c in squares)
    assert "10 tasks done, 0 dead letters" in log
    assert "docker compose exec master qm submit square" in log


def test_master_and_workers_become_healthy(stack: Stack) -> None:
    def healthy() -> bool:
        found = [*stack.containers("master"), *stack.containers("worker")]
        states = [c.attrs["State"]["Health"]["Status"] for c in found]
        return len(states) == WORKERS + 1 and set(states) == {"healthy"}

    eventually(healthy, 60)


def test_eight_workers_all_take_part_in_a_run(stack: Stack) -> None:
    run = int(stack.qm("submit", "where", "count=200", "pause_s=0.1", "--wait"))
    rows = stack.results(run)
    assert [row["result"][0] for row in rows] == list(range(200))
    assert len({row["result"][1] for row in rows}) == WORKERS


def test_nothing_runs_as_root(stack: Stack) -> None:
    for container in [*stack.containers("master"), *stack.containers("worker")]:
        top = container.top(ps_args="-eo pid,uid,comm")
        # Two processes are the engine's: init, and a health check before it has changed its user.
        ours = [p for p in top["Processes"] if not p[2].startswith(("docker-init", "runc"))]
        users = {int(uid) for _, uid, _ in ours}
        assert users == {1000}
    for container in stack.containers("worker"):
        settings = container.attrs["HostConfig"]
        assert settings["ReadonlyRootfs"]
        assert settings["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in settings["SecurityOpt"]


def test_the_worker_image_has_no_master_package(stack: Stack) -> None:
    worker = stack.containers("worker")[0]
    code = "import importlib.util as u; print([bool(u.find_spec(n)) for n in NAMES])"
    code = code.replace("NAMES", "('queue_manager', 'worker', 'master')")
    assert worker.exec_run(["python", "-c", code]).output.decode().strip() == "[True, True, False]"
    assert worker.exec_run(["ls", "/app/master"]).exit_code != 0


def test_scaling_down_and_up_during_a_run_loses_and_charges_nothing(stack: Stack) -> None:
    run = int(stack.qm("submit", "where", "count=600", "pause_s=0.1"))
    eventually(lambda: len(stack.results(run)) > 20)
    stack.compose("up", "--detach", "--no-build", "--scale", "worker=2")
    assert len(stack.containers("worker")) == 2
    stack.compose("up", "--detach", "--no-build", "--scale", f"worker={WORKERS}")
    eventually(lambda: len(stack.results(run)) == 600, 120)
    rows = stack.results(run)
    assert [row["result"][0] for row in rows] == list(range(600))
    log = stack.compose("logs", "--no-log-prefix", "master")
    assert {row["attempts"] for row in rows} == {1}, re.findall(r".* failed: .*", log)
    assert len({row["result"][1] for row in rows}) > WORKERS


def test_a_job_from_the_readme_is_submitted_without_a_rebuild(stack: Stack, clone: Path) -> None:
    text = (CHECKOUT / "README.md").read_text()
    name, code = _own_job(text)
    (clone / "jobs" / f"{name}.py").write_text(code)
    run = int(stack.qm("submit", name, "--wait"))
    rows = stack.results(run)
    assert rows
    assert {row["state"] for row in rows} == {"done"}


def _own_job(readme: str) -> tuple[str, str]:
    found = re.search(r"```python\n# jobs/(\w+)\.py\n(.*?)```", readme, re.DOTALL)
    assert found, "the README shows a job of one's own"
    assert len([line for line in found[2].splitlines() if line.strip()]) <= 10
    return found[1], found[2]


def test_the_lines_of_make_client_make_the_tutorials_script_a_client(
    stack: Stack, clone: Path
) -> None:
    environment = {"COMPOSE_PROJECT_NAME": stack.project, "PATH": _path()}
    lines = subprocess.run(
        ["make", "--no-print-directory", "client"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert len(lines) == 3
    script = "\n".join([*STOCK.split("m = ")[0].splitlines(), *lines, "print('connected')"])
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", script], capture_output=True, text=True, timeout=30
    )
    assert done.stdout.strip() == "connected", done.stderr


def _path() -> str:
    return os.environ["PATH"]


def test_a_stock_client_on_the_host_uses_the_master_in_the_container(stack: Stack) -> None:
    host, port = stack.address()

    class Queues(BaseManager):
        pass

    queues: Any = Queues
    queues.register("get_task_queue")
    queues.register("get_result_queue")
    manager = queues(address=(host, port), authkey=stack.key())
    manager.connect()
    tasks, results = manager.get_task_queue(), manager.get_result_queue()
    for number in range(10):
        tasks.put(number)
    assert sorted(results.get(timeout=20) for _ in range(10)) == [n * n for n in range(10)]


def test_a_worker_on_the_host_works_for_the_master_in_the_container(
    stack: Stack, tmp_path: Path
) -> None:
    host, port = stack.address()
    environment = {
        "PATH": _path(),
        "QUEUE_HOST": host,
        "QUEUE_PORT": str(port),
        "QUEUE_AUTHKEY": stack.key().decode(),
        "JOBS_FOLDER": str(stack.folder / "jobs"),
        "HEALTH_FILE": str(tmp_path / "health"),
        "WORKER_SLOTS": "2",
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "worker"], cwd=CHECKOUT, env=environment, start_new_session=True
    )
    try:
        eventually(lambda: f"{socket.gethostname()}/" in stack.qm("status"))
        run = int(stack.qm("submit", "where", "count=200", "pause_s=0.1", "--wait"))
        hosts = {row["result"][1] for row in stack.results(run)}
        assert socket.gethostname() in hosts
        assert len(hosts) > 1
    finally:
        worker.terminate()
        assert worker.wait(20) == 0


def test_clients_in_a_container_use_a_master_on_the_host(stack: Stack, tmp_path: Path) -> None:
    """A stock client and our worker, with the container's Python 3.13, meet the host's Python."""
    network = stack.client.networks.list(names=[f"{stack.project}_queue"])[0]
    gateway = network.attrs["IPAM"]["Config"][0]["Gateway"]
    key = secrets.token_urlsafe(16)  # beyond loopback the master takes no weaker key
    environment = {
        "PATH": _path(),
        "QUEUE_BIND": gateway,
        "QUEUE_PORT": "0",
        "QUEUE_AUTHKEY": key,
        "MASTER_DATA": str(tmp_path / "data"),
        "MASTER_HTTP_PORT": "off",
        "HEALTH_FILE": str(tmp_path / "health"),
        "JOB": "square",
        "JOB_ARGS": "count=1",
        "QUEUE_TLS": "off",  # the host's Python may have no pre-shared keys
    }
    log = tmp_path / "log"
    with log.open("w") as output:
        master = subprocess.Popen(
            [sys.executable, "-m", "master", "serve"],
            cwd=CHECKOUT,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    image = stack.containers("worker")[0].image
    worker = None
    try:
        found = eventually(lambda: re.search(r"listening on \S+:(\d+)", log.read_text()))
        port = found[1]
        worker = stack.client.containers.run(
            image,
            network=network.name,
            detach=True,
            environment={
                "QUEUE_HOST": gateway,
                "QUEUE_PORT": port,
                "QUEUE_AUTHKEY": key,
                "QUEUE_TLS": "off",
            },
        )
        output = stack.client.containers.run(
            image,
            ["python", "-c", STOCK, gateway, port, key],
            network=network.name,
            remove=True,
            stderr=True,
        )
        assert output.decode().strip() == "[0, 1, 4, 9, 16]"
        eventually(lambda: "1 task done" in log.read_text())
    finally:
        if worker is not None:
            worker.remove(force=True)
        master.terminate()
        master.wait(20)


def test_a_restart_does_not_run_the_seed_again(stack: Stack) -> None:
    stack.compose("restart", "--timeout", "12")
    eventually(lambda: stack.compose("logs", "master").count("run 1 was done before") == 1)
    status = stack.qm("status")
    runs = re.findall(r"^ +(\d+)  .*  square$", status, re.MULTILINE)
    assert runs == ["1"]
    assert "worker" in eventually(lambda: _workers_are_back(stack))


def _workers_are_back(stack: Stack) -> str:
    status = stack.qm("status")
    return status if len(re.findall(r"^worker", status, re.MULTILINE)) == WORKERS else ""


@pytest.mark.parametrize("key", ["痛点就是起点"])
def test_a_short_or_chinese_key_works_through_the_compose_file(
    stack: Stack, clone: Path, key: str
) -> None:
    project = f"{stack.project}-key"
    environment = {**os.environ, "QUEUE_AUTHKEY": key, "COMPOSE_PROJECT_NAME": project}
    command = ["docker", "compose", "-f", str(clone / "docker-compose.yml")]

    def compose(*words: str) -> str:
        return subprocess.run(
            [*command, *words], env=environment, capture_output=True, text=True, check=True
        ).stdout

    try:
        compose("up", "--detach", "--build", "--scale", "worker=1")
        eventually(lambda: "tasks done" in compose("logs", "master"), 60)
    finally:
        compose("down", "--volumes", "--timeout", "12")

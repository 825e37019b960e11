"""Docker kills, freezes and cuts off containers, and the queue's promises hold."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.chosen import take_chosen

from .conftest import Stack, eventually

WORKERS = 4
LEASE_S = 15.0
KEY = "a key of the chaos tests"

ENDURE = '''
"""Each try writes down when it starts and ends."""

import os
import time


def step(log, event, n):
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{event} {n} {os.uname().nodename} {time.monotonic():.3f}\\n".encode())
    os.close(file)


def tasks(log: str, count: int = 100, length_s: float = 0.2):
    for n in range(count):
        yield [n, 10 * length_s if n % 20 == 0 else length_s, log]


def work(task):
    n, length_s, log = task
    step(log, "S", n)
    time.sleep(length_s)
    step(log, "E", n)
    return n * n
'''

LAST_WILL = '''
"""One of its tasks kills every process of its container."""

import os
import time


def tasks(count: int = 40):
    for n in range(count):
        yield "the end" if n == 3 else n


def work(n):
    if n != "the end":
        time.sleep(0.3)
        return n * n
    # It must do so only in a worker's own container.
    with open("/proc/1/cmdline", "rb") as file:
        words = file.read().split(b"\\0")
    if b"worker" not in words or not words[0].endswith(b"docker-init"):
        raise RuntimeError("not in a container")
    os.kill(-1, 9)
'''

FAT = """
def work(body):
    return len(body)
"""


GLUTTON = """
import time
from queue_manager import Options

OPTIONS = Options(attempts=3)

def tasks():
    for n in range(20):
        yield n
        if n == 5:
            yield "much"

def work(n):
    if n == "much":
        return len(b"x" * 2**30)
    time.sleep(0.05)
    return n
"""


@pytest.fixture(scope="module")
def chaos_stack(clone: Path, docker_compose_file: str) -> Iterator[Stack]:
    """A compose project of its own, so that the other tests' project is left alone."""
    take_chosen("BASE")
    jobs = {"endure": ENDURE, "last_will": LAST_WILL, "fat": FAT, "glutton": GLUTTON}
    for name, code in jobs.items():
        (clone / "jobs" / f"{name}.py").write_text(code)
    client = docker.from_env()
    stack = Stack(client, f"quartermaster-chaos-{os.getpid()}", docker_compose_file)
    before = {name: os.environ.get(name) for name in ("WORKER_SLOTS", "JOB")}
    os.environ.update(WORKER_SLOTS="2", JOB="square")
    try:
        stack.compose("up", "--build", "--detach", "--scale", f"worker={WORKERS}")
        eventually(lambda: "tasks done" in stack.compose("logs", "master"), 60)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "12", check=False)
        client.close()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@dataclass
class Steps:
    """The lines that tasks of one run wrote to the volume that all containers share."""

    stack: Stack
    path: str

    def all(self) -> list[list[str]]:
        """Return every line as (event, task, container, time)."""
        out = self.stack.compose("exec", "-T", "master", "cat", self.path, check=False)
        return [words for line in out.splitlines() if len(words := line.split()) == 4]

    def running(self, container: Any) -> list[str]:
        """Return the tasks that a container has started and not ended."""
        name = container.attrs["Config"]["Hostname"]
        mine = [(event, n) for event, n, where, _ in self.all() if where == name]
        started, ended = ([n for e, n in mine if e == event] for event in "SE")
        return list((Counter(started) - Counter(ended)).elements())

    def starts(self) -> Counter[str]:
        """Count how often each task was started."""
        return Counter(n for event, n, _, _ in self.all() if event == "S")


def is_there(stack: Stack) -> bool:
    """Whether the master answers: a command waits some seconds for one that starts, and no more."""
    try:
        return bool(stack.qm("status"))
    except AssertionError:
        return False


def connected(stack: Stack) -> int:
    """Count the workers that the master knows."""
    return len(re.findall(r"^worker ", stack.qm("status"), re.MULTILINE))


def refused(stack: Stack) -> int:
    """Count the late outcomes that the master has refused."""
    found = re.search(r"([\d,]+) outcomes? of old leases", stack.qm("status"))
    return int(found[1].replace(",", "")) if found else 0


def network(stack: Stack) -> Any:
    """Return the network of the project."""
    return stack.client.networks.get(f"{stack.project}_queue")


def address_of(container: Any) -> str:
    """Return the container's address in that network."""
    container.reload()
    (found,) = container.attrs["NetworkSettings"]["Networks"].values()
    return str(found["IPAddress"])


def kill_from_the_host(container: Any) -> None:
    """Kill a container's first process, and wait until its restart policy has started it again.

    After `docker kill` the restart policy would do nothing.
    """
    container.reload()
    before = container.attrs["State"]["StartedAt"]
    os.kill(container.attrs["State"]["Pid"], signal.SIGKILL)

    def back() -> bool:
        container.reload()
        state = container.attrs["State"]
        return bool(state["Running"] and state["StartedAt"] != before)

    eventually(back, 60)


def all_done(stack: Stack, run: int, count: int, within_s: float) -> list[dict[str, Any]]:
    """Wait for the end of a run, and return its results, which must be right and uncharged."""
    eventually(
        lambda: re.search(rf"^ +{run} .* (done|failed) ", stack.qm("status"), re.M), within_s
    )
    rows = stack.results(run)
    assert [row["payload"][0] for row in rows] == list(range(count))
    assert {(row["state"], row["attempts"]) for row in rows} == {("done", 1)}
    assert all(row["result"] == row["payload"][0] ** 2 for row in rows)
    return rows


def test_chaos_in_containers_loses_nothing_and_charges_nothing(chaos_stack: Stack) -> None:
    stack, steps = chaos_stack, Steps(chaos_stack, "/shared/chaos.log")
    count = 900
    run = int(stack.qm("submit", "endure", f"log={steps.path}", f"count={count}", "length_s=0.2"))
    workers = stack.containers("worker")
    eventually(lambda: all(steps.running(w) for w in workers), 60)

    workers[0].pause()
    paused_at = time.monotonic()
    network(stack).disconnect(workers[1])
    cut_at = time.monotonic()
    try:
        workers[2].kill()  # after `docker kill` the restart policy does nothing
        workers[2].start()
        kill_from_the_host(workers[3])
        kill_from_the_host(stack.containers("master")[0])
        eventually(lambda: time.monotonic() - cut_at > LEASE_S, LEASE_S + 5)
        network(stack).connect(workers[1])
        eventually(lambda: time.monotonic() - paused_at > LEASE_S + 1, LEASE_S + 5)
    finally:
        workers[0].unpause()
    eventually(lambda: connected(stack) == WORKERS, 60)

    stack.compose("up", "--detach", "--no-build", "--scale", "worker=2")
    stack.compose("up", "--detach", "--no-build", "--scale", f"worker={WORKERS}")
    all_done(stack, run, count, 120)
    # Each container has two slots, and each fault hit the tasks that these slots held.
    again = sum(times - 1 for times in steps.starts().values())
    print(f"{count} tasks, {again} re-runs, {refused(stack)} late outcomes refused")
    assert again <= 7 * 2 * 3


def test_a_paused_containers_tasks_run_again_in_15_s_and_its_late_outcome_is_refused(
    chaos_stack: Stack,
) -> None:
    stack, steps = chaos_stack, Steps(chaos_stack, "/shared/paused.log")
    eventually(lambda: connected(stack) == WORKERS, 60)
    # Its 15 s must go on when it is paused: a look at a container takes seconds on a busy machine.
    run = int(stack.qm("submit", "endure", f"log={steps.path}", "count=1", "length_s=1.5"))
    held = eventually(lambda: [w for w in stack.containers("worker") if steps.running(w)])
    before = refused(stack)
    held[0].pause()
    paused_at = time.monotonic()
    try:
        # This deadline is longer than the promise, because a look takes seconds on a busy machine.
        # The task itself writes down when it started.
        eventually(lambda: steps.starts()["0"] == 2, 4 * LEASE_S)
        (_, _, _, at) = [words for words in steps.all() if words[0] == "S"][1]
        assert float(at) - paused_at < LEASE_S
        all_done(stack, run, 1, 60)
    finally:
        held[0].unpause()
    eventually(lambda: refused(stack) == before + 1, 60)
    assert len(stack.results(run)) == 1


def test_workers_find_a_master_that_came_back_at_another_address(chaos_stack: Stack) -> None:
    stack, steps = chaos_stack, Steps(chaos_stack, "/shared/moved.log")
    run = int(stack.qm("submit", "endure", f"log={steps.path}", "count=16", "length_s=2"))
    eventually(lambda: len(steps.starts()) >= 2 * WORKERS)
    (master,) = stack.containers("master")
    before = address_of(master)
    master.kill()
    # Another container gets the address that the master had.
    other = stack.client.containers.run(
        master.image.id, ["sleep", "120"], entrypoint=[], network=network(stack).name, detach=True
    )
    try:
        assert address_of(other) == before
        master.start()
        assert address_of(master) != before
        eventually(lambda: is_there(stack) and connected(stack) == WORKERS, 60)
        all_done(stack, run, 16, 60)
    finally:
        other.remove(force=True)
    assert set(steps.starts().values()) == {1}  # the tasks went on, and none ran twice


def test_a_task_that_kills_its_container_is_a_dead_letter_in_the_end_and_no_other_is(
    chaos_stack: Stack,
) -> None:
    stack = chaos_stack
    eventually(lambda: connected(stack) == WORKERS, 60)
    run = int(stack.qm("submit", "last_will"))
    eventually(lambda: re.search(rf"^ +{run} .* failed ", stack.qm("status"), re.M), 120)
    rows = {row["payload"]: row for row in stack.results(run)}
    assert len(rows) == 40
    will = rows.pop("the end")
    assert (will["state"], will["result"]) == ("dead", None)
    assert "lost 5 times" in will["error"]
    assert {(row["state"], row["attempts"]) for row in rows.values()} == {("done", 1)}
    eventually(lambda: connected(stack) == WORKERS, 60)


def test_workers_that_are_restarted_one_after_the_other_lose_nothing_and_repeat_nothing(
    chaos_stack: Stack,
) -> None:
    stack, steps = chaos_stack, Steps(chaos_stack, "/shared/rolling.log")
    eventually(lambda: connected(stack) == WORKERS, 60)
    count = 900  # more than four restarts take on a busy machine
    run = int(stack.qm("submit", "endure", f"log={steps.path}", f"count={count}", "length_s=0.3"))
    for worker in stack.containers("worker"):
        eventually(lambda worker=worker: steps.running(worker), 60)
        worker.restart(timeout=10)  # its longest task takes 3 s, so all its tasks end in time
        eventually(lambda: connected(stack) == WORKERS, 60)
    assert len(steps.starts()) < count, "the run was over before the last restart"
    all_done(stack, run, count, 150)
    assert set(steps.starts().values()) == {1}


# --- not enough memory ---


def test_what_takes_more_memory_than_its_container_has_is_a_dead_letter_and_no_other_is(
    chaos_stack: Stack,
) -> None:
    """The kernel kills the slot, and never the supervisor.

    It may kill the other slot too: the killed process holds its memory for some ms more, and when
    another process needs a page meanwhile, the kernel looks for a second victim. The task of that
    slot is charged an attempt.
    """
    little = {"mem_limit": "256m", "memswap_limit": "256m"}
    with pair(chaos_stack, "glutton", {}, little, slots=2) as (master, worker):
        status = ["qm", "status"]
        eventually(lambda: re.search(r"^ +1 .* failed ", in_master(master, *status), re.M), 60)
        text = in_master(master, "qm", "results", "1")
        rows = {row["payload"]: row for row in map(json.loads, text.splitlines())}
        much = rows.pop("much")
        assert (much["state"], much["attempts"]) == ("dead", 3)
        assert "killed by SIGKILL" in much["error"]
        assert len(rows) == 20
        assert {row["state"] for row in rows.values()} == {"done"}
        assert all(row["attempts"] <= 3 for row in rows.values())
        worker.reload()
        assert worker.attrs["State"]["Running"]
        assert worker.logs().count(b": connected to") == 1


# --- a full disk ---


class QueueManager(BaseManager):
    """A client made of the standard library alone."""


QueueManager.register("get_task_queue")


@contextmanager
def pair(
    stack: Stack, job: str, of_master: dict[str, Any], of_worker: dict[str, Any], slots: int = 1
) -> Iterator[tuple[Any, Any]]:
    """Start a master and one worker beside the project's, with limits of their own."""
    image = stack.containers("master")[0].image.id
    workers = stack.containers("worker")[0].image.id
    jobs = next(m["Source"] for m in workers_mounts(stack) if m["Destination"] == "/app/jobs")
    name = f"{stack.project}-{job.replace('_', '-')}"
    common = {
        "network": network(stack).name,
        "detach": True,
        "init": True,
        "volumes": {jobs: {"bind": "/app/jobs", "mode": "ro"}},
    }
    environment = {"QUEUE_AUTHKEY": KEY, "JOB": job, "QUEUE_PUBLISH": "127.0.0.1:"}
    host = {"QUEUE_AUTHKEY": KEY, "QUEUE_HOST": name, "WORKER_SLOTS": str(slots)}
    run, started = stack.client.containers.run, []
    try:
        master = run(image, environment=environment, name=name, **common, **of_master)
        started.append(master)
        worker = run(workers, environment=host, **common, **of_worker)
        started.append(worker)
        eventually(lambda: b"connected" in master.logs(), 60)
        yield master, worker
    except BaseException:
        for container in started:
            container.reload()
            print(container.attrs["State"], container.logs(tail=30).decode(), sep="\n")
        raise
    finally:
        for container in started:
            with suppress(docker.errors.APIError):
                container.remove(force=True)


@pytest.fixture
def small_master(chaos_stack: Stack) -> Iterator[tuple[Any, Any, Any]]:
    """A master whose /data has 8 MiB, its one worker, and its task queue as a client sees it."""
    small = {
        "tmpfs": {"/data": "size=8m,uid=1000,gid=1000,mode=700", "/tmp": ""},
        "ports": {"5000/tcp": ("127.0.0.1", None)},
    }
    with pair(chaos_stack, "fat", small, {}) as (master, worker):
        master.reload()
        port = int(master.ports["5000/tcp"][0]["HostPort"])
        manager = QueueManager(("127.0.0.1", port), KEY.encode())
        manager.connect()
        yield master, worker, manager.get_task_queue()


def workers_mounts(stack: Stack) -> list[dict[str, Any]]:
    """Return the mounts of a worker's container."""
    found: list[dict[str, Any]] = stack.containers("worker")[0].attrs["Mounts"]
    return found


def in_master(master: Any, *words: str) -> str:
    """Return the output of a command in the master's container; the command must succeed."""
    code, out = master.exec_run(list(words), environment={"QUEUE_HOST": "127.0.0.1"})
    assert code == 0, out.decode()
    return str(out.decode())


def test_a_full_disk_refuses_clearly_loses_nothing_and_goes_on_when_space_returns(
    small_master: tuple[Any, Any, Any],
) -> None:
    master, worker, tasks = small_master
    worker.pause()  # its outcomes must arrive when the disk is full
    fill = "import os; open('/data/filler', 'wb').write(bytes(6 * 1024 * 1024))"
    in_master(master, "python", "-c", fill)
    accepted: list[int] = []
    error: Exception | None = None
    while error is None and len(accepted) < 2_000:
        try:
            tasks.put(bytes(20_000 + len(accepted)))
            accepted.append(20_000 + len(accepted))
        except Exception as full:
            error = full
    assert error is not None, "the disk never got full"
    assert accepted
    assert re.search("full|no space|disk", str(error), re.IGNORECASE), error
    assert "\n" not in str(error)

    worker.unpause()
    eventually(lambda: re.search("full|no space|disk", master.logs().decode(), re.IGNORECASE))
    assert re.search("full|no space|disk", in_master(master, "qm", "status"), re.IGNORECASE)
    assert "Traceback" not in master.logs().decode()

    in_master(master, "rm", "/data/filler")

    def puts_again() -> bool:
        with suppress(Exception):
            tasks.put(bytes(10_000))
            return True
        return False

    eventually(puts_again, 60)

    def ended() -> list[str]:
        lines = in_master(master, "qm", "results", "0").splitlines()
        return lines if len(lines) >= len(accepted) + 1 else []

    results = [
        int(n) for line in eventually(ended, 60) for n in re.findall(r'"result": (\d+)', line)
    ]
    assert sorted(results) == sorted([*accepted, 10_000])  # no refused task is among them

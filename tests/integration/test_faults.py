"""Faults that are no death of a process: torn writes, full disks, clocks that jump, too much."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from queue_manager.names import EXCHANGE
from queue_manager.wire.messages import AskResults, Collect, Exchange, Hello, encode
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.stock import pickles
from tests.chaos.ground.processes import children, limit_files
from tests.integration.clocks import WallClock
from tests.integration.processes import KEY, PATIENCE_S, Master, eventually
from tests.torn import WAL, last_transaction, torn_copy

MIB = 1024 * 1024


def job(master: Master, name: str, code: str) -> None:
    """Put a job of this test into the folder."""
    (master.jobs / f"{name}.py").write_text(code)


# --- a torn last write ---


def test_a_master_whose_last_write_was_torn_goes_on_with_all_before_it(
    master: Master, tmp_path: Path
) -> None:
    client = master.client()
    for n in range(3):
        client("tasks.put(n)", n=n)
    client("tasks.put(b'x' * 40_000)")  # a commit of many pages
    master.process.kill()
    data = tmp_path / "data"
    wal = (data / WAL).read_bytes()
    *frames, end = last_transaction(wal)
    assert len(frames) > 8
    kept = tmp_path / "kept"
    shutil.copytree(data, kept)
    for torn in (wal[: frames[0] + 30], wal[: end - 1], wal[: end - 4_096] + bytes(4_096), wal):
        shutil.rmtree(data)
        torn_copy(kept, data, torn)
        master.serve()
        client = master.client()
        count = client("tasks.qsize()")
        assert count == (4 if torn is wal else 3)
        assert client("[tasks.get(timeout=30) for _ in range(n)][:3]", n=count) == [0, 1, 2]
        client.kill()
        master.process.kill()
    assert not master.process.lines("Traceback|an error of ours")


# --- a full disk at the worker ---

WRITES = """
import os, tempfile

def tasks():
    yield from ["fine", "write", "exit"] * 4

def work(kind):
    if kind == "write":
        with tempfile.TemporaryFile() as file:
            file.write(bytes(100_000))
    if kind == "exit" and not os.path.exists("there is room"):
        os._exit(3)
    return kind
"""


def test_a_worker_whose_disk_is_full_works_on_and_says_so(master: Master, tmp_path: Path) -> None:
    job(master, "writes", WRITES)
    # CPython may take a file with half of its bytecode for a whole one (gh-126606): no such files.
    worker = master.worker(HEALTH_FILE="/dev/full", PYTHONDONTWRITEBYTECODE="1")
    worker.says(r"can't touch HEALTH_FILE: \[Errno 28\] No space left on device")
    pid = worker.popen.pid
    eventually(lambda: len(children(pid, "worker.slot.main")) == 2)
    for each in [pid, *children(pid, "worker.slot.main")]:
        limit_files(each, 8_192)  # all of their files, the log among them
    run = master.submit("writes")
    ended = master.ended_tasks(run, 12)
    assert [t["state"] for t in ended] == ["done", "dead", "dead"] * 4
    assert {t["error"] for t in ended[1::3]} == {"OSError: [Errno 27] File too large"}
    assert all("exit code 3" in t["error"] for t in ended[2::3])  # and its slot was replaced

    (tmp_path / "there is room").touch()
    for each in [pid, *children(pid, "worker.slot.main")]:
        limit_files(each, None)
    assert master.command("retry", str(run)).code == 0
    eventually(lambda: master.run_line(run)["done"] == "12")
    assert worker.popen.poll() is None
    assert len(worker.lines("HEALTH_FILE")) == 1


# --- too much of something ---


def test_ten_thousand_follow_ups_of_one_task_all_run(master: Master) -> None:
    job(
        master,
        "fans_out",
        "from queue_manager import Result, Task\n"
        "def tasks():\n    yield -1\n"
        "def work(n):\n"
        "    follow = [Task(k) for k in range(10_000)] if n < 0 else []\n"
        "    return Result(n, follow=follow) if follow else n * n\n",
    )
    master.worker()
    run = master.submit("fans_out")
    eventually(lambda: master.run_line(run)["done"] == "10001")
    rows = master.results(run)
    assert [row["payload"] for row in rows] == [-1, *range(10_000)]
    assert all(row["result"] == row["payload"] ** 2 for row in rows[1:])
    assert {row["attempts"] for row in rows} == {1}


def test_a_result_of_100_mb_is_a_dead_letter_and_its_neighbours_are_done(master: Master) -> None:
    job(
        master,
        "heavy",
        "from queue_manager import Options\n"
        "OPTIONS = Options(attempts=1)\n"
        "def tasks():\n    yield from range(20)\n"
        "def work(n):\n    return {7: b'x' * 100_000_000}.get(n, n)\n",
    )
    worker = master.worker()
    memory = master.process.most_memory_bytes, worker.most_memory_bytes
    rows = master.ended_tasks(master.submit("heavy"), 20)
    assert [row["payload"] for row in rows if row["state"] == "done"] == [
        n for n in range(20) if n != 7
    ]
    assert "100,000,0" in rows[7]["error"]
    assert "path" in rows[7]["error"]
    assert worker.popen.poll() is None
    after = master.process.most_memory_bytes, worker.most_memory_bytes
    assert after[0] - memory[0] < 20 * MIB
    assert after[1] - memory[1] < 20 * MIB  # it never left the slot
    again = master.submit("square", "count=3", "--wait")
    assert len(master.results(again)) == 3


# --- a slow reader ---


@pytest.fixture
def wide(master: Master) -> int:
    """A run with 6 MB of results."""
    master.worker()
    run = master.submit("wide", "--wait")
    assert master.run_line(run)["done"] == "3000"
    return run


@pytest.mark.parametrize(("asks", "times", "most"), [(AskResults, 399, 30), (Collect, 16, 14)])
def test_who_asks_for_much_and_reads_late_costs_no_more_than_a_small_buffer(
    asks: Callable[..., AskResults | Collect], times: int, most: int, master: Master, wide: int
) -> None:
    """The master reads no more requests of a client that leaves its answers unread.

    Of pages to collect a session may wait for sixteen; the master refuses the next.
    """
    memory = master.process.most_memory_bytes
    with Masters([("127.0.0.1", master.port)]).open(KEY.encode()).sock as sock:
        sock.settimeout(PATIENCE_S)
        hello = encode(Hello("client", "slow", 1))
        first = pickles.dumps((None, "accept_connection", (EXCHANGE,), {}))
        for body in (first, hello, *(encode(asks(seq, wide, 0)) for seq in range(1, times + 1))):
            sock.sendall(len(body).to_bytes(4, "big") + body)
        assert "wide" in master.status()  # others are served meanwhile
        assert len(master.results(wide)) == 3000
        came = 0
        while came < most * MIB:  # TimeoutError if they do not come
            data = sock.recv(MIB)
            assert data
            came += len(data)
    assert master.process.most_memory_bytes - memory < 40 * MIB
    assert master.process.popen.poll() is None


def test_a_worker_that_asks_for_thousands_of_large_tasks_and_reads_none_costs_a_frame(
    master: Master,
) -> None:
    """And it is given up, by TCP_USER_TIMEOUT or as silent: its tasks are offered again."""
    job(
        master,
        "large",
        "def tasks():\n    for n in range(120):\n        yield b'x' * 1_000_000\n"
        "def work(x):\n    return len(x)\n",
    )
    run = master.submit("large")
    eventually(lambda: int(master.run_line(run)["tasks"]) >= 60)
    memory = master.process.most_memory_bytes
    with Masters([("127.0.0.1", master.port)]).open(KEY.encode()).sock as sock:
        sock.settimeout(PATIENCE_S)
        first = pickles.dumps((None, "accept_connection", (EXCHANGE,), {}))
        hello = encode(Hello("worker", "host", 1, 4_096))
        asks = [encode(Exchange(seq, [], 4_096, free=9_999)) for seq in range(1, 5)]
        for body in (first, hello, *asks):
            sock.sendall(len(body).to_bytes(4, "big") + body)
        eventually(lambda: int(master.run_line(run)["leased"]) > 0)
        assert "large" in master.status()  # others are served meanwhile
        master.process.says("worker host/1 left")
    eventually(lambda: master.run_line(run)["leased"] == "0")
    assert master.process.most_memory_bytes - memory < 40 * MIB


# --- a clock that jumps ---

LATE = 150
"""More than a master has of a group in memory: the others are read when the clock has jumped."""

CLOCKWORK = """
import time
from steps import step
from queue_manager import Limit, Options, Task

OPTIONS = Options(per_group=Limit(at_once=50))

def tasks(log: str, late: int, delay_s: float):
    yield [log, 0.0]
    for _ in range(late):
        yield Task(["", time.monotonic()], delay_s=delay_s, group="late")

def work(task):
    log, yielded = task
    started = time.monotonic()
    if log:
        step(log, "S", "long")
        time.sleep(2)
    return [started - yielded, time.time() - time.monotonic()]
"""


@pytest.fixture
def jumpy(
    start_master: Callable[..., Master], tmp_path: Path
) -> tuple[Master, Callable[[float], None]]:
    """A master, and workers, on a machine whose wall clock can be set."""
    clock = WallClock(tmp_path)
    master = start_master(**clock.settings)
    job(master, "clockwork", CLOCKWORK)
    return master, clock.set_ahead


@pytest.mark.parametrize("restarts", [False, True], ids=["it goes on", "it starts again"])
@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_clock_that_jumps_delays_and_repeats_nothing(
    seconds: float,
    restarts: bool,
    jumpy: tuple[Master, Callable[[float], None]],
    tmp_path: Path,
) -> None:
    master, jump = jumpy
    log = tmp_path / "steps.log"
    master.worker()
    before = time.time() - time.monotonic()
    run = master.submit("clockwork", f"log={log}", f"late={LATE}", "delay_s=1.5")
    eventually(log.exists)
    eventually(lambda: master.run_line(run)["tasks"] == str(LATE + 1))
    jump(seconds)
    if restarts:
        master.process.kill()
        master.serve()
    eventually(lambda: master.run_line(run)["done"] == str(LATE + 1))
    long, *late = master.results(run)
    assert {row["attempts"] for row in late} == {long["attempts"]} == {1}
    assert len(log.read_text().splitlines()) == 1  # it kept its lease
    waited = [row["result"][0] for row in late]
    assert min(waited) > 1.49
    assert max(waited) < PATIENCE_S  # and no hour, with a new master and all those before it
    offsets = [row["result"][1] - before for row in (long, *late)]
    assert all(abs(offset - seconds) < 10 for offset in offsets)  # theirs has jumped, too


def test_a_master_that_cannot_write_its_health_file_says_so_once(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(HEALTH_FILE="/nowhere/health")
    master.process.says(r"can't touch HEALTH_FILE: \[Errno 2\] No such file or directory")
    assert "(queue)" in master.status()
    assert len(master.process.lines("HEALTH_FILE")) == 1

"""The tools of the chaos do what they say: the proxy's faults, what is left behind, idle slots."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.faults import FROZEN_MASTER_TOUCHES, Faults
from tests.chaos.ground.processes import Ground, limit_files, runs, vitals, wait_for
from tests.chaos.ground.proxy import Proxy
from tests.chaos.plan import Fault, poisson
from tests.chaos.verdict.growth import Growth
from tests.chaos.verdict.watch import Watch
from tests.integration.processes import eventually


@pytest.fixture
def far() -> Iterator[socket.socket]:
    """What the proxy connects to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def proxy(far: socket.socket) -> Iterator[Proxy]:
    made = Proxy(lambda: far.getsockname()[1])
    yield made
    made.close()


@pytest.fixture
def ends(proxy: Proxy, far: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of one connection through it: the worker's, the master's."""
    near = socket.create_connection(("127.0.0.1", proxy.port), timeout=60.0)
    other, _ = far.accept()
    for sock in (near, other):
        sock.settimeout(60.0)
    with near, other:
        near.sendall(b"hello")
        assert other.recv(100) == b"hello"
        yield near, other


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not grow."""
    program = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=-3)
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(b"x")
    program.stdin.flush()
    assert program.stdout.read(1) == b"x"  # it is loaded, and waits for more
    eventually(lambda: state(program.pid) == "S")
    yield program
    program.kill()
    program.communicate()


def silent(sock: socket.socket) -> bool:
    """Whether nothing comes for a while."""
    sock.settimeout(0.3)
    try:
        return not sock.recv(100) and False
    except TimeoutError:
        return True
    finally:
        sock.settimeout(60.0)


def test_a_cut_one_way_holds_back_that_way_until_it_heals(
    proxy: Proxy, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, other = ends
    proxy.cut("up")
    near.sendall(b"later")
    other.sendall(b"now")
    assert near.recv(100) == b"now"
    assert silent(other)
    proxy.heal()
    assert other.recv(100) == b"later"


def test_a_tear_leaves_half_of_what_was_sent_and_a_reset(
    proxy: Proxy, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, other = ends
    proxy.tear()
    near.sendall(b"0123456789")
    with pytest.raises(ConnectionResetError):
        near.recv(100)
    # Data and reset race to the other side: half of it at most.
    try:
        assert other.recv(100) == b"01234"
    except ConnectionResetError:
        return
    with pytest.raises(ConnectionResetError):
        other.recv(100)


def test_a_deserted_connection_is_reset_on_one_side_and_silent_on_the_other(
    proxy: Proxy, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, other = ends
    proxy.desert()
    with pytest.raises(ConnectionResetError):
        near.recv(100)
    assert silent(other)
    proxy.heal()
    assert other.recv(100) == b""


def test_a_slow_proxy_passes_everything_on_in_the_end(
    proxy: Proxy, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, other = ends
    proxy.slow()
    near.sendall(bytes(4096))
    got = other.recv(4096)
    assert 0 < len(got) < 4096
    proxy.heal()
    while len(got) < 4096:
        got += other.recv(4096)
    assert got == bytes(4096)


# --- what is left behind ---


def test_a_process_that_was_left_behind_is_found_and_ended(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    program = subprocess.Popen(["sleep", "60"], env=ground.environment())
    other = subprocess.Popen(["sleep", "60"], env=Ground(tmp_path / "other").environment())
    try:
        eventually(lambda: ground.left_over() == [program.pid])
        assert len(ground.end_left_over()) == 1
        assert program.wait(60.0) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for each in (program, other):
            each.kill()
            each.wait()


def test_a_full_disk_stops_the_writing_of_one_process(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for _ in sys.stdin:\n"
        "    try:\n"
        "        with open('f', 'ab', buffering=0) as f:\n"
        "            print(f.write(bytes(8192)), flush=True)\n"
        "    except OSError as error:\n"
        "        print(error.strerror, flush=True)\n"
    )
    words = ["python3", "-c", code]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=tmp_path, **pipes) as program:
        said = []
        for limit in (None, 4096, None):
            limit_files(program.pid, limit)
            program.stdin.write("\n")
            program.stdin.flush()
            said.append(program.stdout.readline().strip())
        program.stdin.close()
    assert said == ["8192", "File too large", "8192"]


# --- a master that is stopped ---


def state(pid: int) -> str:
    """Of a process: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@pytest.mark.parametrize(("lasts_s", "gives_up"), [(3.0, False), (14.0, True)])
def test_a_stopped_master_goes_on_and_touches_workers_only_if_it_may_give_them_up(
    lasts_s: float, gives_up: bool, sleeper: subprocess.Popen[bytes]
) -> None:
    worker = SimpleNamespace(pid=77, alive=True)
    master = SimpleNamespace(pid=sleeper.pid)
    cluster: Any = SimpleNamespace(master=master, up=True, workers=[worker], tend=lambda: None)
    cluster.heal = lambda: None
    load: Any = None
    faults = Faults(cluster, load, 1)
    assert faults.do(Fault(0.0, "stop master", 0.5, lasts_s))
    eventually(lambda: state(sleeper.pid) == "T")
    assert faults.master_frozen
    assert not faults.do(Fault(0.0, "stop master", 0.5, 1.0))
    assert not faults.do(Fault(0.0, "stranger", 0.5, 1.0))
    touched = {pid for hit in faults.hits for pid in hit.workers}
    assert touched == ({77} if gives_up and FROZEN_MASTER_TOUCHES else set())
    assert faults.disturbed == {77}  # nobody gives it work
    faults.undo_all()
    eventually(lambda: state(sleeper.pid) == "S")
    assert not faults.master_frozen
    stopped_at = faults.hits[-1].begin
    faults._hits.note("kill slot")
    assert faults.hits[-1].since == pytest.approx(stopped_at, abs=0.1)  # nothing was recorded


def test_a_stop_of_the_master_is_short_or_longer_than_its_patience_with_workers() -> None:
    plans = [fault for seed in range(20) for fault in poisson(seed, 60, 0.6)]
    stops = [fault.lasts_s for fault in plans if fault.kind == "stop master" and fault.at < 40]
    assert all(1.0 <= s <= 4.0 or 13.0 <= s <= 15.0 for s in stops)
    assert 0 < sum(s > 12.0 for s in stops) < len(stops) / 2


# --- what the master is seen to do ---


def watch() -> Watch:
    """One that reads what a test says the master has said."""
    ground = SimpleNamespace(start=lambda *_, **__: SimpleNamespace(lines=[], kill=lambda: None))
    cluster: Any = SimpleNamespace(front=SimpleNamespace(port=1), ground=ground)
    return Watch(cluster)


def sample(
    at: float,
    held: int = 0,
    waiting: int = 1,
    refused: int = 0,
    up_s: float = 0,
    job: str = "plain",
    leased: int = 0,
) -> str:
    """An answer of the master's: one run, one worker with two slots."""
    counts = {"waiting": waiting, "leased": leased}
    run = {"run": 1, "job": job, **counts, "args": ["tag=plain0"], "state": "active"}
    session = {"role": "worker", "name": "host/77", "held": held, "slots": 2}
    said = {"at": at, "up_s": up_s, "refused": refused, "runs": [run], "sessions": [session]}
    return json.dumps(said)


@pytest.mark.parametrize("held", [0, 1])
def test_a_slot_that_is_idle_for_10_s_beside_waiting_tasks_is_a_trouble(held: int) -> None:
    watched = watch()
    watched._program.lines += [sample(at / 2, held) for at in range(21)]
    watched.turn(set())
    assert not watched.troubles
    watched._program.lines += [sample(10.5, held)]
    watched.turn(set())
    assert len(watched.troubles) == 1
    assert f"with {held} tasks in 2 slots beside [('plain', 1)]" in watched.troubles[0]


NOT_IDLE: dict[str, dict[str, Any]] = {
    "it has work in all slots": {"held": 2},
    "nothing waits": {"waiting": 0},
    "it was disturbed": {},
    "what waits is limited, and one runs": {"job": "polite", "leased": 1},
}


@pytest.mark.parametrize("why_not", NOT_IDLE)
def test_a_worker_is_not_idle_when(why_not: str) -> None:
    watched = watch()
    watched._program.lines += [sample(float(at), **NOT_IDLE[why_not]) for at in range(30)]
    watched.turn({77} if why_not == "it was disturbed" else set())
    assert not watched.troubles


def test_limited_tasks_of_which_none_runs_may_start_too() -> None:
    watched = watch()
    watched._program.lines += [sample(float(at), job="polite") for at in range(12)]
    watched.turn(set())
    assert len(watched.troubles) == 1


def test_nobody_is_idle_while_the_master_says_nothing() -> None:
    watched = watch()
    watched._program.lines += [sample(at) for at in (1.0, 4.0, 5.0, 19.0, 22.0, 25.0)]
    watched.turn(set())
    assert not watched.troubles


def test_refused_outcomes_are_counted_over_restarts_of_the_master() -> None:
    watched = watch()
    watched._program.lines += [sample(1, refused=2, up_s=5), sample(2, refused=3, up_s=6)]
    watched._program.lines += [sample(3, refused=1, up_s=0.1), sample(4, refused=1, up_s=1)]
    watched.turn(set())
    assert watched.refused == 4


FIGURES = [("", 0), ("memory", 100 * 2**20), ("descriptors", 9), ("threads", 40)]


def test_a_master_that_grows_is_a_trouble_in_each_of_its_lives(
    sleeper: subprocess.Popen[bytes],
) -> None:
    growth = Growth(lambda line: None)
    now = vitals(sleeper.pid)
    for what, less in FIGURES:
        growth.fresh = {**now, **({what: now[what] - less} if what else {})}
        growth.check_master(sleeper.pid, "before it was killed")
    assert [line.split(":")[0] for line in growth.troubles] == [
        "the master's memory",
        "the master's descriptors",
        "the master's threads",
    ]
    growth.check_master(sleeper.pid, "at the end", spare=40)
    growth.fresh = {**now, "descriptors": now["descriptors"] - 9}
    growth.check_master(sleeper.pid, "at the end", spare=1)
    assert growth.lives == 6
    assert len(growth.troubles) == 4  # 40 descriptors do not excuse the threads of the last figure


def test_a_supervisor_that_grows_is_a_trouble_and_one_that_has_died_is_none(
    sleeper: subprocess.Popen[bytes],
) -> None:
    program = SimpleNamespace(find=lambda pattern: True)
    worker: Any = SimpleNamespace(pid=sleeper.pid, program=program, number=3, slots=[1, 2])
    worker.alive, worker.frozen, worker.leaving = True, False, False
    for what, less in FIGURES:
        growth = Growth(lambda line: None)
        growth.meet([worker], 2)
        if what:
            growth._new[sleeper.pid][what] -= less
        growth.check_workers([worker])
        assert len(growth.troubles) == bool(what), growth.troubles
        assert all(f"the supervisor of worker 3's {what}" in line for line in growth.troubles)
    worker.alive = False
    growth.troubles.clear()
    growth.check_workers([worker])
    assert not growth.troubles


def test_waiting_for_a_condition_ends_with_it_or_with_its_time() -> None:
    event = threading.Event()
    threading.Timer(0.05, event.set).start()
    assert wait_for(event.is_set, 60.0)
    assert not wait_for(lambda: False, 0.05)


def test_a_killed_process_that_nobody_has_reaped_runs_no_more() -> None:
    """A hit ends when what it killed has ended: until then that may write its diary."""
    sleeper = subprocess.Popen(["sleep", "30"])
    assert runs(sleeper.pid)
    sleeper.kill()
    assert wait_for(lambda: not runs(sleeper.pid), 60.0)
    sleeper.wait()
    assert not runs(sleeper.pid)

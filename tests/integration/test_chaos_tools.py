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

from tests.chaos.driver import Chaos
from tests.chaos.processes import Ground, limit_files, runs, vitals, wait_for
from tests.chaos.proxy import Proxy
from tests.chaos.watch import Watch
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
    near = socket.create_connection(("127.0.0.1", proxy.port), timeout=5.0)
    other, _ = far.accept()
    for sock in (near, other):
        sock.settimeout(5.0)
    with near, other:
        near.sendall(b"hello")
        assert other.recv(100) == b"hello"
        yield near, other


def silent(sock: socket.socket) -> bool:
    """Whether nothing comes for a while."""
    sock.settimeout(0.3)
    try:
        return not sock.recv(100) and False
    except TimeoutError:
        return True
    finally:
        sock.settimeout(5.0)


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
        assert program.wait(5.0) == -signal.SIGKILL
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


# --- what the master is seen to do ---


def watch() -> Watch:
    """One that reads what a test says the master has said."""
    ground = SimpleNamespace(start=lambda *_, **__: SimpleNamespace(lines=[], kill=lambda: None))
    cluster: Any = SimpleNamespace(front=SimpleNamespace(port=1), ground=ground)
    return Watch(cluster)


def sample(at: float, held: int = 0, waiting: int = 1, refused: int = 0, up_s: float = 0) -> str:
    """An answer of the master's."""
    run = {"run": 1, "job": "plain", "waiting": waiting, "words": ["tag=plain0"], "state": "active"}
    session = {"role": "worker", "name": "host/77", "held": held}
    said = {"at": at, "up_s": up_s, "refused": refused, "runs": [run], "sessions": [session]}
    return json.dumps(said)


def test_a_worker_that_is_idle_for_10_s_beside_waiting_tasks_is_a_trouble() -> None:
    watched = watch()
    watched._program.lines += [sample(1.0), sample(10.0)]
    watched.turn(set())
    assert not watched.troubles
    watched._program.lines += [sample(11.5)]
    watched.turn(set())
    assert len(watched.troubles) == 1


@pytest.mark.parametrize("why_not", ["it has work", "nothing waits", "it was disturbed"])
def test_a_worker_is_not_idle_when(why_not: str) -> None:
    watched = watch()
    held, waiting = int(why_not == "it has work"), int(why_not != "nothing waits")
    watched._program.lines += [sample(float(at), held, waiting) for at in range(30)]
    watched.turn({77} if why_not == "it was disturbed" else set())
    assert not watched.troubles


def test_refused_outcomes_are_counted_over_restarts_of_the_master() -> None:
    watched = watch()
    watched._program.lines += [sample(1, refused=2, up_s=5), sample(2, refused=3, up_s=6)]
    watched._program.lines += [sample(3, refused=1, up_s=0.1), sample(4, refused=1, up_s=1)]
    watched.turn(set())
    assert watched.refused == 4


def test_a_master_that_grows_is_a_trouble(tmp_path: Path) -> None:
    chaos = Chaos.__new__(Chaos)
    program = subprocess.Popen(["sleep", "60"], stdin=-3, stdout=-3, stderr=-3)
    try:
        eventually(lambda: vitals(program.pid)["descriptors"] == 3)
        now = vitals(program.pid)
        master = SimpleNamespace(alive=True, pid=program.pid)
        chaos.cluster = SimpleNamespace(master=master)  # type: ignore[assignment]
        chaos.story = SimpleNamespace(troubles=[])  # type: ignore[assignment]
        chaos.said = lambda *_: None  # type: ignore[assignment]
        for what, less in [("", 0), ("memory", 100 * 2**20), ("descriptors", 9), ("threads", 40)]:
            chaos.fresh = {**now, **({what: now[what] - less} if what else {})}
            chaos._check_growth()
        assert [line.split(":")[0] for line in chaos.story.troubles] == [
            "the master's memory",
            "the master's descriptors",
            "the master's threads",
        ]
    finally:
        program.kill()
        program.wait()


def test_waiting_for_a_condition_ends_with_it_or_with_its_time() -> None:
    event = threading.Event()
    threading.Timer(0.05, event.set).start()
    assert wait_for(event.is_set, 5.0)
    assert not wait_for(lambda: False, 0.05)


def test_a_killed_process_that_nobody_has_reaped_runs_no_more() -> None:
    """A hit ends when what it killed has ended: until then that may write its diary."""
    sleeper = subprocess.Popen(["sleep", "30"])
    assert runs(sleeper.pid)
    sleeper.kill()
    assert wait_for(lambda: not runs(sleeper.pid), 5.0)
    sleeper.wait()
    assert not runs(sleeper.pid)

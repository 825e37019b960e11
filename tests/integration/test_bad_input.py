"""Bad input of every kind: one clear line where the user looks, and the service lives on."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError
from pathlib import Path

import pytest

from queue_manager.wire.framing import frame
from queue_manager.wire.messages import AskResults, AskStatus, Collect, StartRun, encode
from tests.chaos.ground.canary import slowness
from tests.chaos.ground.processes import vitals
from tests.integration.processes import HERE, KEY, REPO, Master, Place, eventually

MIB = 1024 * 1024
STRONG_KEY = "zQ7xK2m-9fTq0LdWb4YvRg"


@pytest.fixture
def master(start_master: Callable[..., Master]) -> Iterator[Master]:
    """A master that lives on, whatever a test does to it: it works, without an error of ours."""
    master = start_master()
    yield master
    check_it_works(master)


@pytest.fixture
def shared(lone_master: Master) -> Iterator[Master]:
    """The same for tests that look neither at its memory nor at its log."""
    yield lone_master
    check_it_works(lone_master)


def check_it_works(master: Master) -> None:
    assert master.process.popen.poll() is None, master.process.log
    assert not master.process.lines("Traceback|an error of ours")
    client = master.client()
    client("(tasks.put('still'), tasks.get(timeout=30), results.put('here'))")
    assert client("results.get(timeout=30)") == "here"


# --- keys ---


def test_a_wrong_key_is_an_authentication_error_to_a_stock_client(master: Master) -> None:
    with pytest.raises(AuthenticationError):
        master.client(key="not the key")
    master.process.says(r"refused a connection from 127\.0\.0\.1:\d+: wrong authkey")


def test_a_wrong_key_is_one_line_to_our_commands(shared: Master) -> None:
    began = time.monotonic()
    refusal = shared.command("status", QUEUE_AUTHKEY="not the key").refusal
    assert refusal == f"qm: wrong authkey for 127.0.0.1:{shared.port}"
    assert time.monotonic() - began < 3.0 * slowness()  # no key gets better by waiting


def test_a_wrong_key_is_one_line_in_a_workers_log(shared: Master) -> None:
    worker = shared.start("worker.log", "worker", QUEUE_AUTHKEY="not the key", WORKER_SLOTS="1")
    worker.says(f"wrong authkey for 127.0.0.1:{shared.port}")
    assert worker.terminate() == 0
    assert len(worker.lines("wrong authkey")) == 1


def test_no_key_off_loopback_is_refused_at_start(place: Place) -> None:
    ended = place.command("serve", QUEUE_BIND="0.0.0.0", QUEUE_AUTHKEY="")
    assert "QUEUE_AUTHKEY is not set and QUEUE_BIND=0.0.0.0" in ended.refusal


def test_no_key_at_all_is_one_line_to_a_command(place: Place) -> None:
    ended = place.command("status", QUEUE_AUTHKEY="", QUEUE_PORT="1")
    assert "QUEUE_AUTHKEY is not set and there is no" in ended.refusal


def test_no_master_at_all_is_one_line_to_a_command(place: Place) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets it
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        refusal = place.command("status", QUEUE_PORT=str(port)).refusal
    assert f"no master at 127.0.0.1:{port} (QUEUE_HOST, QUEUE_PORT)" in refusal


CURIOUS = """
import os, pathlib, sys
def look():
    names = [name for name in os.environ if name.startswith("QUEUE_AUTHKEY")]
    shown = [pathlib.Path(f"/proc/{who}/environ") for who in ("self", os.getppid())]
    words = sys.argv + [sys.stdin.read()]
    return names, [KEY in text(path) for path in shown], [KEY.decode() in word for word in words]
def text(path):
    try: return path.read_bytes()
    except OSError: return b""
KEY = bytes.fromhex("KEY IN HEX")
IMPORTED = look()
OUT = pathlib.Path(__file__).with_suffix(".found")
def note(where, found):
    with OUT.open("a") as file: print(where, found, file=file)
note("import", IMPORTED)
def tasks():
    note("tasks", look())
    yield 1
def work(n): note("work", look())
def collect(item, result): note("collect", look())
""".replace("KEY IN HEX", KEY.encode().hex())


def test_no_code_of_a_job_finds_the_key_in_an_environment(
    start_master: Callable[..., Master], tmp_path: Path
) -> None:
    """Neither a slot's, a runner's, nor that of the process that looks at it; nor a parent's."""
    file = tmp_path / "the key"
    file.write_text(KEY)
    master = start_master(QUEUE_AUTHKEY_FILE=str(file))
    (master.jobs / "curious.py").write_text(CURIOUS)
    worker = master.worker()
    run = master.submit("curious")
    master.ended_tasks(run, 1)
    found = master.jobs / "curious.found"
    eventually(lambda: "collect" in found.read_text(), what="it is collected")
    lines = found.read_text().splitlines()
    assert {line.split()[0] for line in lines} == {"import", "tasks", "work", "collect"}
    assert [line for line in lines if "True" in line or "QUEUE" in line] == []
    for process in (master.process, worker):
        environment = Path(f"/proc/{process.popen.pid}/environ").read_bytes()
        assert KEY.encode() not in environment
        assert str(file).encode() not in environment


# --- the port ---


SILENT, STALL = 1_000, 400


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process, and the master that it starts, may have a descriptor for each of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * (SILENT + STALL)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"RLIMIT_NOFILE is {hard} here")
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.alone
def test_a_thousand_who_say_nothing_and_400_who_talk_nonsense_or_stall_keep_nobody_waiting(
    many_files: None, master: Master
) -> None:
    said = [b"GET / HTTP/1.1\r\n\r\n", b"", os.urandom(300), b"\0\0\0\x14and no more"]
    descriptors = vitals(master.process.popen.pid)["descriptors"]
    with contextlib.ExitStack() as stack:
        sockets = []
        for number in range(SILENT + STALL):
            sock = socket.create_connection(("127.0.0.1", master.port), timeout=5.0)
            sockets.append(stack.enter_context(sock))
            if number < STALL:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(said[number % 4])
        assert master.client()("tasks.qsize()") == 0
        assert "master " in master.status()
        # Both were answered before the handshakes' deadline, so they have waited for none of these.
        assert sum(map(is_over, sockets[STALL:])) < SILENT / 2
        assert not all(map(is_over, sockets[1:STALL:2]))

        # None of them stays: the handshake has a deadline.
        eventually(lambda: all(map(is_over, sockets)), what="all connections are closed")
        assert vitals(master.process.popen.pid)["descriptors"] < descriptors + 10
    refused = master.process.lines("refused a connection")
    assert 3 <= len(refused) < 40, refused  # told, not flooded


def is_over(sock: socket.socket) -> bool:
    """Whether the master has ended a connection."""
    sock.setblocking(False)
    try:
        while sock.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def test_a_frame_that_is_announced_too_long_before_the_key_is_known_is_cut_off(
    master: Master,
) -> None:
    with socket.create_connection(("127.0.0.1", master.port), timeout=5.0) as sock:
        sock.settimeout(60.0)
        sock.sendall((50 * MIB).to_bytes(4, "big"))
        with contextlib.suppress(ConnectionError):
            while sock.recv(4096):
                pass
    master.process.says("refused a connection .* a frame over 256 bytes")


def test_an_oversized_frame_is_a_clear_error_and_the_connection_stays_usable(
    master: Master,
) -> None:
    client = master.client()
    memory = master.process.most_memory_bytes
    with pytest.raises(ValueError, match=r"over the limit of .*: pass a path on the shared disk"):
        client("tasks.put(b'x' * 50_000_000)")
    assert client("tasks.qsize()") == 0
    assert master.process.most_memory_bytes - memory < 20 * MIB


def test_a_pickle_that_would_run_code_is_refused_and_not_run(
    shared: Master, tmp_path: Path
) -> None:
    client = shared.client()
    trace = tmp_path / "was-here"
    for call in ("tasks.put(Evil(command))", "results.put([Evil(command)])"):
        with pytest.raises(TypeError, match=r"posix\.system cannot travel"):
            client(call, command=f"touch {trace}")
    assert client("tasks.qsize()") == 0
    assert not trace.exists()


@pytest.mark.parametrize("when", ["as a call", "as the first request"])
def test_nine_bytes_can_not_take_a_gigabyte(when: str, master: Master) -> None:
    client = master.client()
    memory = master.process.most_memory_bytes
    bomb = b"\x80\x02Nr\xff\xff\xff\x07."  # LONG_BINPUT with a large index
    assert len(bomb) == 9
    if when == "as a call":
        connection = "raw(tasks)"
    else:
        connection = "manager._Client(manager.address, authkey=manager._authkey)"
    answer = client(f"[(c.send_bytes(bomb), c.recv())[1] for c in [{connection}]][0]", bomb=bomb)
    assert client("tasks.qsize()") == 0
    assert answer[0] == "#ERROR"
    assert "made to exhaust memory" in str(answer[1])
    assert master.process.most_memory_bytes - memory < 50 * MIB


# What was found to take the loop down, as bytes. The first is a list that holds itself.
LOOPS = b"\x80\x02(NX\x11\x00\x00\x00accept_connection]" + b"q\x00(" + b"h\x00" * 200 + b"e\x85}t."
NESTED = b"\x80\x04})" + b"".join(b"\x94(" + bytes([ord("h"), i]) * 30 + b"t" for i in range(15))
# A set of numbers that all have one hash, written by hand: to make it takes 13 s.
NUMBERS = b"".join(pickle.dumps(k * (2**61 - 1), 2)[2:-1] for k in range(32_000))
COLLIDE = b"\x80\x04(NX\x03\x00\x00\x00put\x8f(" + NUMBERS + b"\x90\x85}t."


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "frame",
    [LOOPS, NESTED + b"Ns.", COLLIDE, b"\x80\x04(" + b"\x8f" * MIB + b"l."],
    ids=["a list in itself", "tuples in one another", "one hash", "empty sets"],
)
def test_no_frame_holds_the_master_up_or_takes_its_memory(
    first: bool, frame: bytes, master: Master
) -> None:
    client, other = master.client(), master.client()
    memory = master.process.most_memory_bytes
    began = time.monotonic()
    to = "manager._Client(manager.address, authkey=manager._authkey)" if first else "raw(tasks)"
    # The server hangs up as soon as it sees that a first request is too long.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client(f"[c.send_bytes(frame) for c in [{to}]]", frame=frame)
    assert other("tasks.qsize()") == 0
    assert client("1") == 1
    assert time.monotonic() - began < 5.0 * slowness()
    assert master.process.most_memory_bytes - memory < 50 * MIB


def test_a_large_value_and_what_is_said_behind_it_stay_in_order(shared: Master) -> None:
    client = shared.client()
    value = list(range(100_000))
    client("(tasks.put(value), tasks.put('behind'))", value=value)
    assert client("(tasks.get(timeout=30), results.put(1), tasks.get(timeout=30))") == (
        value,
        None,
        "behind",
    )
    client("results.put(2)")
    assert [client("results.get(timeout=30)") for _ in range(2)] == [1, 2]


FLOODS = {
    "results": [AskResults(seq, 1) for seq in range(20_000)],
    "pages": [Collect(seq, 1, 0) for seq in range(20_000)],
    "later pages": [Collect(seq, 1, 10**9) for seq in range(20_000)],
    "status": [AskStatus(seq) for seq in range(20_000)],
    "runs": [StartRun(seq, "nosuch", []) for seq in range(5_000)],
}


@pytest.mark.alone
def test_who_asks_and_does_not_read_takes_neither_memory_nor_time(master: Master) -> None:
    worker = master.worker()
    master.submit("square", "count=20000")
    eventually(lambda: master.run_line(1)["done"] == "20000", what="all is done")
    assert worker.terminate() == 0
    other = master.client()
    with contextlib.ExitStack() as stack:
        for name, messages in FLOODS.items():
            memory = master.process.most_memory_bytes
            ours = stack.enter_context(contextlib.closing(master.session()))
            with socket.socket(fileno=os.dup(ours.fileno())) as raw:
                raw.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    raw.send(b"".join(frame(encode(message)) for message in messages))
            waits = []
            for _ in range(20):
                began = time.monotonic()
                assert other("tasks.qsize()") == 0
                waits.append(time.monotonic() - began)
            assert max(waits) < 1.0, name
            assert master.process.most_memory_bytes - memory < 24 * MIB, name


# --- jobs and arguments ---


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nosuch"], "qm: no job 'nosuch': jobs/ has"),
        (["../../etc/passwd"], "qm: '../../etc/passwd' is no job's name"),
        (["broken"], "qm: jobs/broken.py line 3: SyntaxError: expected ':'"),
        (["square", "cuont=10"], "count"),
        (["square", "count=ten"], "count"),
        (["square", "10"], "10"),
    ],
)
def test_a_job_or_argument_that_is_wrong_is_one_line_and_starts_no_run(
    words: list[str], line: str, shared: Master
) -> None:
    shutil.copy(HERE / "jobs" / "broken.py.txt", shared.jobs / "broken.py")
    assert line in shared.command("submit", *words).refusal
    alone = shared.place("other").command("run", *words)
    assert alone.code == 2
    assert line in alone.err.splitlines()[-1], alone.err
    assert "square" not in shared.status()


ODD_JOBS = {
    "positional": ("def tasks(x, /): yield x", "jobs/positional.py: tasks() takes 'x' by position"),
    "agenerator": ("async def tasks(): yield 1", "jobs/agenerator.py: tasks() is async, which"),
    "pair": ("def work(a, b): pass", "jobs/pair.py: work() takes the payload and nothing else"),
    "yields": ("def work(n): yield n", "jobs/yields.py: work() has a yield"),
    "warms": ("async def setup(): pass", "jobs/warms.py: setup() is async and work() is not"),
    "gathers": ("def collect(r): pass", "jobs/gathers.py: collect() takes payload and result"),
    "colours": (
        "import enum\nclass Colour(enum.Enum):\n RED = 1\n BLUE = 2\ndef tasks(x: Colour): yield 1",
        "argument 'x' is one of RED, BLUE, not 'green'",
    ),
    "perhaps": (
        "from typing import Optional\ndef tasks(x: Optional[int] = None): yield x",
        "argument 'x' is a whole number or none, not 'green'",
    ),
}


def test_a_job_that_would_stall_later_is_one_line_when_it_is_submitted(shared: Master) -> None:
    (shared.jobs / "dangling.py").symlink_to("/nowhere/dangling.py")
    for name, (source, line) in ODD_JOBS.items():
        work = "" if "def work" in source else "\ndef work(n): return n"
        (shared.jobs / f"{name}.py").write_text(f"{source}{work}\n")
        assert line in shared.command("submit", name, "x=green").refusal
    line = (
        "no job 'dangling': jobs/dangling.py is a link to /nowhere/dangling.py, which is not there"
    )
    assert shared.command("submit", "dangling").refusal == f"qm: {line}"
    assert len(shared.runs()) == 1  # the queue run


def test_a_seed_that_is_wrong_is_one_line_in_the_log(start_master: Callable[..., Master]) -> None:
    master = start_master(JOB="nosuch")
    master.process.says("^JOB=nosuch: no job 'nosuch'.*; the master serves without it")
    assert master.client()("tasks.qsize()") == 0
    master.process.terminate()
    assert len(master.process.lines("no job 'nosuch'")) == 1


def test_a_run_that_is_not_there_is_one_line(master: Master) -> None:
    assert master.command("results", "7").refusal == "qm: no run 7; there is none yet"
    assert master.command("status", "7").refusal.startswith("qm: no run 7")


# --- payloads and results ---


def test_a_stock_put_over_the_limit_says_what_to_do_instead(shared: Master) -> None:
    client = shared.client()
    with pytest.raises(ValueError, match=r"1,048,576.*path"):
        client("tasks.put(b'x' * 1_050_000)")
    with pytest.raises(ValueError, match=r"1,048,576.*path"):
        client("results.put(b'x' * 1_050_000)")
    assert client("(tasks.qsize(), results.qsize())") == (0, 0)


def test_a_payload_over_the_limit_from_tasks_is_one_line_in_log_and_status(
    master: Master,
) -> None:
    run = master.submit("too_large")
    stalled = master.process.says(rf"run {run} \(too_large\) is stalled")
    assert "1,048,576" in stalled
    assert "put it in a file on the shared disk and pass its path instead" in stalled
    assert not master.process.lines("Traceback")
    assert "1,048,576" in master.status()


def test_a_result_that_is_not_plain_data_is_a_dead_letter_with_the_reason(master: Master) -> None:
    master.worker()
    run = master.submit("not_plain")
    (task,) = master.ended_tasks(run, 1)
    assert (task["state"], task["result"]) == ("dead", None)
    assert "object" in task["error"]
    assert "plain data is" in task["error"]
    line = master.process.says(rf"run {run} \(not_plain\), task 1 failed: ")
    assert "plain data is" in line


# --- the environment and the data folder ---


def test_a_wrong_variable_is_one_line(place: Place) -> None:
    refusal = place.command("serve", QUEUE_PORT="abc").refusal
    assert refusal == "qm: QUEUE_PORT='abc': expected a port, 0 to 65535"


def test_a_port_that_is_taken_is_one_line(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refusal = place.command("serve", QUEUE_PORT=str(port)).refusal
    assert refusal.startswith(f"qm: QUEUE_BIND=127.0.0.1, QUEUE_PORT={port}: can't listen there")


def test_a_second_master_on_one_data_folder_is_refused(shared: Master) -> None:
    refusal = shared.command("serve", QUEUE_PORT="0").refusal
    data = shared.folder / "data"
    pid = shared.process.popen.pid
    assert refusal == f"qm: {data} is in use by the master with process id {pid}"


def test_run_beside_a_master_on_the_same_store_names_submit(shared: Master) -> None:
    refusal = shared.command("run", "square", "count=3", QUEUE_PORT="").refusal
    assert refusal.endswith("with `qm submit square count=3 --wait`")
    assert KEY not in refusal


# --- a Python that can't encrypt ---


@pytest.fixture
def old_python(tmp_path: Path) -> str:
    """A folder for PYTHONPATH that makes this Python one without pre-shared keys, as 3.12 is."""
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import ssl\nssl.HAS_PSK = False\n")
    return f"{folder}:{REPO}"


def test_who_must_encrypt_and_can_not_says_what_to_do(place: Place, old_python: str) -> None:
    settings = {"PYTHONPATH": old_python, "QUEUE_TLS": "required"}
    for words in (["serve"], ["status"]):
        refusal = place.command(*words, **settings).refusal
        assert refusal.startswith("qm: QUEUE_TLS=required: encryption needs Python 3.13 or later")
        assert refusal.endswith("set QUEUE_TLS=off on both sides if plain traffic is fine")
    worker = place.start("old.log", "worker", QUEUE_PORT="5000", **settings)
    assert worker.wait() == 2
    assert worker.log.startswith("QUEUE_TLS=required: encryption needs Python 3.13 or later")
    for name, value in (("QUEUE_PUBLISH", "192.0.2.1:5000"), ("QUEUE_BIND", "0.0.0.0")):
        published = {name: value, "PYTHONPATH": old_python, "QUEUE_AUTHKEY": STRONG_KEY}
        refusal = place.command("serve", **published).refusal
        assert refusal.startswith(f"qm: {name}={value}: encryption needs Python 3.13")


def test_a_master_that_can_not_encrypt_serves_plain_clients(
    start_master: Callable[..., Master], old_python: str
) -> None:
    master = start_master(PYTHONPATH=old_python)
    master.worker()
    run = master.submit("square", "count=5")
    assert len(master.ended_tasks(run, 5)) == 5


# --- sizes ---


def long_keys(master: Master) -> None:
    shutil.copy(HERE / "jobs" / "long_keys.py", master.jobs / "long_keys.py")


def test_follow_ups_above_a_frame_are_a_dead_letter_and_the_worker_lives_on(
    shared: Master,
) -> None:
    """60,000 with keys of 300 characters are 19 MB: the session ended at them, again and again."""
    long_keys(shared)
    worker = shared.worker(WORKER_SLOTS="1")
    run = shared.submit("long_keys", "count=1", "chars=8", "follow=60000")
    eventually(lambda: "take 19," in shared.command("failed", str(run)).out)
    assert "may take 4,194,304" in shared.command("failed", str(run)).out
    assert not worker.lines("lost the master")
    assert len(shared.ended_tasks(shared.submit("square", "count=1"), 1)) == 1


def test_results_with_long_keys_come_page_by_page(shared: Master) -> None:
    long_keys(shared)
    shared.worker(WORKER_SLOTS="2")
    run = shared.submit("long_keys", "count=30000", "chars=800")
    found = shared.ended_tasks(run, 30_000, 100.0)
    assert {len(one["key"]) for one in found} == {800}


def test_a_key_that_is_too_long_stalls_the_run_with_the_reason(
    start_master: Callable[..., Master],
) -> None:
    master = start_master()  # its log has the traceback of `tasks()`
    long_keys(master)
    run = master.submit("long_keys", "count=1024", "chars=20000")
    line = r"key takes 20,000 bytes, and may take 1,024"
    master.process.says(line)
    eventually(lambda: "may take 1,024" in master.command("status", str(run)).out)


def test_more_arguments_than_a_run_has_are_one_line(shared: Master) -> None:
    long_keys(shared)
    words = [f"a{n}={'x' * 30_000}" for n in range(5)]
    refusal = shared.command("submit", "long_keys", *words).refusal
    assert "take 150,0" in refusal
    assert "131,072" in refusal
    refusal = shared.command("submit", "square", "count=1", "--key", "k" * 2_000).refusal
    assert "the key takes 2,000 bytes, and may take 1,024" in refusal

"""`python -m worker` as a process."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queue_manager.errors import NoKeyError
from queue_manager.settings import Settings
from tests.chaos.ground.canary import slowness
from tests.chaos.ground.processes import children, runs
from tests.unit.worker.conftest import DEADLINE_S
from worker import __main__ as main

ROOT = Path(__file__).parents[3]


class Worker:
    """The command, with its stderr in a file."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.log_file = folder / "log"
        kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker"],
                cwd=folder,
                env={**kept, "QUEUE_PORT": "1", "HEALTH_FILE": str(folder / "health"), **environ},
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def slots(self) -> list[int]:
        """The process ids of its slots, once these run."""
        return children(self.process.pid, "worker.slot.main")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start(**environ: str) -> Worker:
        started.append(Worker(tmp_path, **environ))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_slots_die_with_their_supervisor(start: Any, wait_until: Any) -> None:
    """Also when it is killed without a word."""
    worker = start(QUEUE_AUTHKEY="a long key", WORKER_SLOTS="2")
    slots = wait_until(lambda: len(worker.slots) == 2 and worker.slots)
    worker.process.kill()
    worker.process.wait()
    wait_until(lambda: not any(runs(pid) for pid in slots))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_signal_ends_an_idle_worker_with_0(start: Any, wait_until: Any, number: int) -> None:
    """Though it has never seen a master."""
    worker = start(QUEUE_AUTHKEY="a long key", WORKER_SLOTS="1")
    wait_until(lambda: worker.slots)
    wait_until(lambda: "can't reach" in worker.log)
    worker.process.send_signal(number)
    assert worker.process.wait(DEADLINE_S) == 0


def test_a_wrong_setting_is_one_line_and_exit_2(start: Any) -> None:
    """The line names the variable."""
    worker = start(QUEUE_AUTHKEY="a long key", WORKER_SLOTS="many")
    assert worker.process.wait(DEADLINE_S) == 2
    (line,) = worker.log.splitlines()
    assert "WORKER_SLOTS" in line


def test_a_limit_of_open_files_is_raised_or_refused_in_one_line(
    start: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    popen = subprocess.Popen

    def limited(words: list[str], **how: Any) -> subprocess.Popen[bytes]:
        return popen(["sh", "-c", f'{limit}; exec "$@"', "sh", *words], **how)

    monkeypatch.setattr(subprocess, "Popen", limited)
    limit = "ulimit -Sn 30"
    worker = start(QUEUE_AUTHKEY="a long key", WORKER_SLOTS="1")
    wait_until(lambda: worker.slots)
    wait_until(lambda: "can't reach" in worker.log)
    limits = Path(f"/proc/{worker.process.pid}/limits").read_text()
    assert re.search(r"^Max open files +40 ", limits, re.MULTILINE)
    assert "died" not in worker.log
    limit = "ulimit -n 47"
    worker = start(QUEUE_AUTHKEY="a long key", WORKER_SLOTS="2")
    assert worker.process.wait(DEADLINE_S) == 2
    assert worker.log == (
        "a process may open 47 files here, and a worker with 2 slots needs 48: raise that (ulimit"
        " -n 48), or set WORKER_SLOTS lower\n"
    )


def test_port_0_is_one_line_and_exit_2(start: Any) -> None:
    """It is a free port for a master, and nowhere for a worker."""
    worker = start(QUEUE_AUTHKEY="a long key", QUEUE_PORT="0")
    assert worker.process.wait(DEADLINE_S) == 2
    (line,) = worker.log.splitlines()
    assert "QUEUE_PORT=0" in line


def test_a_folder_of_jobs_that_is_missing_is_one_line_at_start(
    start: Any, wait_until: Any, tmp_path: Path
) -> None:
    """No more: it may come."""
    worker = start(
        QUEUE_AUTHKEY="a long key",
        WORKER_SLOTS="1",
        JOBS_FOLDER="/nonexistent",
        WORKER_JOBS="local",
    )
    wait_until(lambda: "can't reach" in worker.log)
    assert worker.log.splitlines()[0] == "JOBS_FOLDER=/nonexistent: there is no such folder"
    assert worker.log.count("JOBS_FOLDER") == 1
    worker.process.terminate()
    assert worker.process.wait(DEADLINE_S) == 0
    (tmp_path / "jobs").mkdir()
    worker = start(QUEUE_AUTHKEY="a long key", WORKER_SLOTS="1")
    wait_until(lambda: "can't reach" in worker.log)
    assert "JOBS_FOLDER" not in worker.log


def test_a_worker_waits_for_the_key_file(start: Any, wait_until: Any, tmp_path: Path) -> None:
    """Compose starts it together with the master, which makes the file. It says so once."""
    key = tmp_path / "key"
    worker = start(QUEUE_AUTHKEY_FILE=str(key), WORKER_SLOTS="1")
    wait_until(lambda: "waiting for it" in worker.log)
    key.write_text("a long key")
    wait_until(lambda: "can't reach" in worker.log)
    assert worker.log.count("waiting for it") == 1
    worker.process.terminate()
    assert worker.process.wait(DEADLINE_S) == 0


def test_a_worker_waits_for_the_key_of_a_master_that_starts_in_its_folder(
    start: Any, wait_until: Any, tmp_path: Path
) -> None:
    """The first master makes it, perhaps a moment after the worker has looked."""
    worker = start(WORKER_SLOTS="1")
    wait_until(lambda: "there is no key in data/authkey yet; waiting for it" in worker.log)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/authkey").write_text("a long key")
    wait_until(lambda: "can't reach" in worker.log)
    assert worker.log.count("waiting for it") == 1
    worker.process.terminate()
    assert worker.process.wait(DEADLINE_S) == 0


def test_a_worker_does_not_wait_for_a_key_that_only_another_machine_has(start: Any) -> None:
    worker = start(WORKER_SLOTS="1", QUEUE_HOST="203.0.113.7")
    assert worker.process.wait(DEADLINE_S) == 2
    (line,) = worker.log.splitlines()
    assert line.startswith("QUEUE_AUTHKEY is not set and there is no data/authkey: set ")


def test_a_worker_beside_which_no_master_starts_ends_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(main, "KEY_WAIT_S", 0.1)
    monkeypatch.setattr(main, "LOOK_S", 0.01)
    with pytest.raises(NoKeyError, match="QUEUE_AUTHKEY is not set and there is no"):
        main._authkey(Settings(master_data=tmp_path))


def test_the_worker_is_light() -> None:
    """It brings neither the master nor what only commands need."""
    code = "import sys, worker.__main__; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(out.stdout.split())
    assert not loaded & {"master", "click", "tqdm", "sqlite3"}


def test_a_slot_starts_without_asyncio() -> None:
    """Slots are replaced when they die: what they import delays the next task."""
    code = "import sys, worker.slot.main; print('asyncio' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "False"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_master_that_does_not_answer_does_not_hold_up_the_end(
    start: Any, wait_until: Any
) -> None:
    """A thread waits for its first words; the signal is heard all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        worker = start(QUEUE_AUTHKEY="a long key", WORKER_SLOTS="1", QUEUE_PORT=str(port))
        server.accept()
        wait_until(lambda: worker.slots)
        began = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(DEADLINE_S) == 0
        assert time.monotonic() - began < 2.5 * slowness()  # 0.6 s on a quiet machine


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_log_that_nobody_reads_does_not_hold_up_the_worker(
    tmp_path: Path, wait_until: Any
) -> None:
    """Neither its signs of life nor its end."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    while select.select([], [writes], [], 0)[1]:
        os.write(writes, b"x" * 4_096)
    os.set_blocking(writes, True)
    health = tmp_path / "health"
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HEALTH_FILE": str(health)}
    environ = {**kept, "QUEUE_PORT": "1", "QUEUE_AUTHKEY": "a long key", "WORKER_SLOTS": "1"}
    words = [sys.executable, "-m", "worker"]
    with subprocess.Popen(
        words, cwd=tmp_path, env=environ, stdout=writes, stderr=writes
    ) as process:
        try:
            wait_until(health.exists)
            before = health.read_text()
            wait_until(lambda: health.read_text() != before)
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
    os.close(reads)
    os.close(writes)


FAULTY = """
import sys
from queue_manager.client.connection import link
from worker.supervisor import supervisor
from worker.__main__ import main

async def ends(*_): {body}
{patch}
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("body", "patch", "says"),
    [
        ("raise ValueError('of the link')", "link.Link.run = ends", "ValueError: of the link"),
        ("pass", "link.Link.run = ends", "RuntimeError: the link to the master has ended"),
        (
            "raise KeyError('of the pulse')",
            "supervisor.keep_pulse = ends",
            "KeyError: 'of the pulse'",
        ),
    ],
)
def test_a_worker_whose_session_or_pulse_ends_by_an_error_ends_with_it(
    tmp_path: Path, body: str, patch: str, says: str
) -> None:
    """In one line and with an exit code that a restart policy acts on; no slot is left."""
    code = FAULTY.format(body=body, patch=patch)
    settings = {"QUEUE_AUTHKEY": "a long key", "QUEUE_PORT": "1", "WORKER_SLOTS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "JOBS_FOLDER": ".", **settings},
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_S,
    )
    assert ended.returncode == 70
    lines = [line for line in ended.stderr.splitlines() if "can't reach" not in line]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith(f"worker: {says}")
    assert lines[0].endswith(": it ends, to be started again")


def test_a_worker_that_was_started_with_nohup_outlives_its_terminal(
    start: Any, wait_until: Any
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        worker = start(QUEUE_AUTHKEY="a long key", WORKER_SLOTS="1")
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_until(lambda: "can't reach" in worker.log)
    worker.process.send_signal(signal.SIGHUP)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(DEADLINE_S) == 0
    assert "stopped" in worker.log


@pytest.mark.parametrize(("handed", "code"), [(b"", 0), (b'\n{"QUEUE_PORT": "x"}', 2)])
def test_a_worker_waits_for_the_settings_that_it_is_handed(
    tmp_path: Path, handed: bytes, code: int
) -> None:
    """Without any, the command that started it has ended."""
    command = [sys.executable, "-m", "worker", "--quiet", "--settings-from-stdin"]
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, input=handed, cwd=tmp_path, env=kept, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == code
    assert (b"QUEUE_PORT" in ended.stderr) is bool(handed)

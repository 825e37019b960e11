"""The processes of a chaos: master, workers, clients, each with its log; and what is left of them.

Everything is started with CHAOS_DIARY in its environment, a path that is this chaos's own: so
whatever lives on can be found and ended, and nothing else ever is.
"""

from __future__ import annotations

import compileall
import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
REPO = HERE.parents[1]
PRODUCT = Path(os.environ.get("CHAOS_PRODUCT", REPO))
"""Whose master and worker: another checkout, to try the chaos itself on."""

KEY = "a key of the chaos"
_OURS = ("QUEUE_", "MASTER_", "HTTP_", "WORKER_", "JOB", "HEALTH_FILE", "PYTHON", "COVERAGE")


class Program:
    """One process, its output copied to a file through a pipe.

    Through a pipe, since a process that is not allowed to write files could not log either.
    """

    def __init__(self, log: Path, words: list[str], environment: dict[str, str]) -> None:
        self.log = log
        self.lines: list[str] = []
        self.started = time.monotonic()
        self.popen = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=log.parent,
        )
        self._copier = threading.Thread(target=self._copy, daemon=True)
        self._copier.start()

    def _copy(self) -> None:
        assert self.popen.stdout is not None
        with self.log.open("ab") as file, self.popen.stdout as out:
            for line in out:
                self.lines.append(line.decode("utf-8", "replace").rstrip())
                file.write(line)
                file.flush()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self.popen.poll() is None

    def find(self, pattern: str) -> re.Match[str] | None:
        """The first line of its output that has this."""
        return next((m for line in list(self.lines) if (m := re.search(pattern, line))), None)

    def signal(self, number: int) -> None:
        """Send a signal, if it still lives."""
        if self.alive:
            self.popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and reap it."""
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def end(self, within_s: float) -> int | None:
        """SIGTERM, and its exit code; None when it had to be killed."""
        self.signal(signal.SIGTERM)
        return self.wait(within_s)

    def wait(self, within_s: float) -> int | None:
        """Its exit code; None when it had to be killed."""
        try:
            return self.popen.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return None


class Ground:
    """The folder of one chaos, and what each process gets in its environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.product = folder / "product"
        """As it was at the start: who edits it meanwhile changes nothing here."""
        for package in ("queue_manager", "master", "worker"):
            left_out = shutil.ignore_patterns("__pycache__")
            if not (self.product / package).exists():
                shutil.copytree(PRODUCT / package, self.product / package, ignore=left_out)
        # Nobody writes bytecode while his disk is full: CPython may leave half of it (gh-126606).
        compileall.compile_dir(self.product, quiet=2)
        self.jobs = folder / "jobs"
        self.diary = folder / "diary.log"
        self.store: dict[str, str] = {}
        """Where the master has its store, if not in a file."""

    def environment(self, **settings: str) -> dict[str, str]:
        """For a process of the product: nothing of the user's own settings, then these."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
        ours = {
            "PYTHONPATH": str(self.product),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "CHAOS_DIARY": str(self.diary),
            "QUEUE_AUTHKEY": KEY,
            "JOBS_FOLDER": str(self.jobs),
            "MASTER_DATA": str(self.folder / "data"),
            "JOB": "errand",
            "MASTER_HTTP_PORT": "off",
        }
        return {**kept, **ours, **self.store, **settings}

    def start(self, log: str, *words: str, **settings: str) -> Program:
        """A process of the product: `start("master.log", "-m", "master", "serve")`."""
        words = (sys.executable, *words)
        return Program(self.folder / log, list(words), self.environment(**settings))

    def left_over(self) -> list[int]:
        """Process ids of everything that was started here, by anybody, and still lives."""
        mark = f"CHAOS_DIARY={self.diary}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def end_left_over(self) -> list[str]:
        """End what should not be there any more. Returns what it was."""
        told = []
        for pid in self.left_over():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                os.kill(pid, signal.SIGKILL)
                told.append(f"{pid} {words}")
        return told


def children(pid: int, module: str) -> list[int]:
    """The children of a process that run `python -m MODULE`, whichever thread has started them.

    A process and a thread may end at any moment, so one that is gone has no children and no name.
    """
    pids: list[str] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                pids += Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
    found = []
    for child in pids:
        with contextlib.suppress(OSError):
            if module.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                found.append(int(child))
    return found


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie: one that has not ended may still run code."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b") ")[2][:1] not in (b"Z", b"X")


def send(pid: int, number: int) -> bool:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def limit_files(pid: int, most_bytes: int | None) -> None:
    """How long a file that a process writes may get (its disk is full); None is no limit."""
    with contextlib.suppress(ProcessLookupError):
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        soft = hard if most_bytes is None else most_bytes
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def vitals(pid: int) -> dict[str, int]:
    """Memory in bytes, open descriptors and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory, threads = (
        int(re.search(rf"{name}:\s+(\d+)", status)[1])  # type: ignore[index]
        for name in ("VmRSS", "Threads")
    )
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    return {"memory": memory * 1024, "descriptors": descriptors, "threads": threads}


def wait_for(condition: Callable[[], object], within_s: float) -> bool:
    """Whether a condition came to hold in that time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def thaw(pids: list[int]) -> None:
    """Let stopped processes go on."""
    for pid in pids:
        send(pid, signal.SIGCONT)


def give_space(master: int) -> None:
    """The files of a master and of its runners may grow again."""
    for pid in [master, *children(master, "master.runner.main")]:
        limit_files(pid, None)

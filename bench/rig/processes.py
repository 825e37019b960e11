"""Masters and workers under measurement, as processes of their own on loopback."""

from __future__ import annotations

import compileall
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from queue_manager.wire.tls import Mode

from ..brief import sized

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parent
CACHE = ROOT / ".cache" / "bench"
RESULTS = sized("results.json", "brief.json")
"""The file in CACHE. A brief look has a file of its own and does not replace the figures."""

AUTHKEY = b"benchmark"
DEADLINE_S = 120.0

tls_mode: Mode = "off"
"""The mode of every process that is measured, and of the clients in this process."""

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_STOP_S = 15.0
_POLL_S = 0.01
_LOG_CHARACTERS = 4_000


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until a condition holds. Raises TimeoutError with `what` after the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {deadline_s:g} s")
        time.sleep(_POLL_S)


def compile_modules() -> None:
    """Compile our modules, as pip leaves them when it installs a package.

    Else each process compiles them anew where PYTHONDONTWRITEBYTECODE is set.
    """
    for package in ("queue_manager", "master", "worker"):
        compileall.compile_dir(ROOT / package, quiet=1)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder on the disk of this repository. /tmp may be in memory."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=CACHE))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Process:
    """A process that is measured. It writes its log to a file and ends on SIGTERM.

    Args:
        args: its command line behind `program`.
        program: what runs them; this Python's -m by default.
        own_session: for a program with children of its own. They end with it, and a Ctrl-C on the
            terminal does not reach them.
    """

    def __init__(
        self,
        args: list[str],
        log: Path,
        environment: Mapping[str, str],
        *,
        program: tuple[str, ...] = (sys.executable, "-m"),
        own_session: bool = False,
    ) -> None:
        self.log = log
        self._own_session = own_session
        self.began = time.monotonic()
        self.start_s = 0.0
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [*program, *args],
                cwd=ROOT,
                env=environment_of(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=own_session,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def wait_line(self, pattern: str) -> re.Match[str]:
        """Wait for a line in the log, and note in `start_s` how long that took from the start."""
        matches: list[re.Match[str]] = []

        def look() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"it has ended:\n{self.log.read_text()}")
            match = re.search(pattern, self.log.read_text())
            matches.extend([match] if match else [])
            return bool(matches)

        wait_until(look, f"{pattern!r} in {self.log.name}", 60)
        self.start_s = time.monotonic() - self.began
        return matches[0]

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the process by SIGTERM, else by SIGKILL. Print its log after an error."""
        if kind is not None:
            print(f"{self.log.name}:\n{self.log.read_text()[-_LOG_CHARACTERS:]}", file=sys.stderr)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self._own_session:
            self.kill()

    def kill(self) -> None:
        """End it by SIGKILL, with all of its session's first process group where it has its own."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if self._own_session else os.kill)(self.pid, signal.SIGKILL)
        self.process.wait()


def environment_of(more: Mapping[str, str]) -> dict[str, str]:
    """Our environment without its settings of Quartermaster, and with `more`."""
    ours = ("QUEUE_", "JOB", "MASTER_", "HTTP_", "WORKER_", "HEALTH_FILE")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    environment |= {"QUEUE_AUTHKEY": AUTHKEY.decode(), "QUEUE_TLS": tls_mode}
    environment |= {"MASTER_HTTP_PORT": "off", **more}
    if "BENCH_PROFILE" in environment:  # the sitecustomize there profiles every process
        environment["PYTHONPATH"] = str(HERE / "profiling")
    return environment


@contextlib.contextmanager
def master(
    folder: Path,
    *,
    job: str = "",
    store: bool = True,
    port: int = 0,
    jobs: Path = HERE / "jobs",
    more: Mapping[str, str] = MappingProxyType({}),
    stands_by: bool = False,
) -> Iterator[tuple[Process, int]]:
    """Start a master that serves, and give it and its port.

    store: False takes the null store. port: 0 takes any free port. more: further settings.
    stands_by: another master has the store; wait until this one stands by.
    """
    environment = {
        "MASTER_DATA": str(folder / "data"),
        "HEALTH_FILE": str(folder / "master.health"),
        "JOBS_FOLDER": str(jobs),
        "QUEUE_PORT": str(port),
        "JOB": job,
        **more,
    }
    module = "master" if store else "bench.rig.null_master"
    process = Process([module, "serve"], folder / "master.log", environment)
    with process:
        says = "stands by" if stands_by else "listening"
        taken = process.wait_line(rf"{says} on 127\.0\.0\.1:(\d+)")[1]
        yield process, int(taken)


@contextlib.contextmanager
def worker(
    folder: Path, port: int, slots: int = 2, *, jobs: Path = HERE / "jobs"
) -> Iterator[Process]:
    """Start a worker, and wait until it has connected."""
    environment = {
        "HEALTH_FILE": str(folder / "worker.health"),
        "JOBS_FOLDER": str(jobs),
        "QUEUE_PORT": str(port),
        "WORKER_SLOTS": str(slots),
    }
    process = Process(["worker"], folder / "worker.log", environment)
    with process:
        process.wait_line("connected to")
        yield process


# --- what the kernel knows of a process ------------------------------------------------------


def cpu_s(pid: int) -> float:
    """CPU time of a process so far: of all its threads, user and system (as getrusage has it)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                pids.append(int(path.parent.name))
    return pids


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """Resident memory now, or with "VmHWM" at its peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024

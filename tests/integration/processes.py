"""The processes of these tests: masters, workers, commands, stock clients; and how to wait."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import msgspec
import pytest

from master.cli import main as cli
from queue_manager.names import EXCHANGE
from queue_manager.settings import load_settings
from queue_manager.wire.messages import AskRuns, Hello, Request, RunList, decode_reply, encode
from queue_manager.wire.records import RunStatus
from queue_manager.wire.stock import pickles
from queue_manager.wire.tls import Mode
from queue_manager.wire.transport import connect
from tests.chaos.ground.processes import children
from tests.integration.stock import SYSTEM_PYTHON, StockClient

REPO = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
KEY = "a key of the tests"

_OURS = ("QUEUE_", "MASTER_", "HTTP_", "WORKER_", "JOB", "HEALTH_FILE", "PYTHON", "COVERAGE")

T = TypeVar("T")


PATIENCE_S = 60.0
"""How long tests wait for what takes a moment on a quiet machine."""


def eventually(condition: Callable[[], T], within_s: float = PATIENCE_S, what: str = "") -> T:
    """Wait until a condition gives something true, and return that."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or condition}; last: {value!r}")
        time.sleep(0.01)


def clean_environment(settings: dict[str, str]) -> dict[str, str]:
    """This environment without any variable that Quartermaster or Python reads, then settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    return {**kept, **settings}


class Process:
    """A process of its own, with all its output in a file."""

    def __init__(self, log_path: Path, words: list[str], environment: dict[str, str]) -> None:
        self.log_path = log_path
        with log_path.open("ab") as log:
            self.popen = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=log_path.parent,
            )

    @property
    def log(self) -> str:
        """All that it (and a process before it with the same log) has written."""
        return self.log_path.read_text("utf-8", "replace")

    def lines(self, pattern: str) -> list[str]:
        """The lines of the log that a pattern is found in."""
        return [line for line in self.log.splitlines() if re.search(pattern, line)]

    def says(self, pattern: str, within_s: float = PATIENCE_S) -> str:
        """Wait for a line of the log; returns the first."""

        def found() -> list[str]:
            return self.lines(pattern) or self._check_alive(pattern)

        return eventually(found, within_s, f"{pattern!r} in the log:\n{self.log[-4000:]}")[0]

    def _check_alive(self, pattern: str) -> list[str]:
        if self.popen.poll() is not None and not self.lines(pattern):
            raise AssertionError(f"ended ({self.popen.returncode}) before {pattern!r}:\n{self.log}")
        return []

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Wait for its end; returns its exit code."""
        return self.popen.wait(within_s)

    def kill(self) -> None:
        """kill -9."""
        self.popen.kill()
        self.popen.wait()

    def terminate(self, within_s: float = PATIENCE_S) -> int:
        """SIGTERM, and wait; returns its exit code."""
        self.popen.terminate()
        return self.wait(within_s)

    def end(self) -> None:
        """At the end of a test: gone, in good order if it can."""
        if self.popen.poll() is None:
            try:
                self.terminate(5.0)
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def most_memory_bytes(self) -> int:
        """The most memory that it ever had."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


class Ended:
    """A command that has ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def refusal(self) -> str:
        """Its one line on stderr; it must have exited with 2 and printed nothing else."""
        lines = self.err.strip().splitlines()
        assert (self.code, len(lines), self.out) == (2, 1, ""), repr(self)
        return lines[0]

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n--- stderr ---\n{self.err}"


class Place:
    """A folder with jobs, a data folder and settings that processes of ours are started in."""

    def __init__(self, folder: Path, started: list[Any], **settings: str) -> None:
        self.folder, self.started = folder, started
        self.jobs = folder / "jobs"
        if not self.jobs.exists():
            shutil.copytree(HERE / "jobs", self.jobs)
            shutil.copy(REPO / "jobs" / "square.py", self.jobs)
        self.settings = {
            "PYTHONPATH": str(REPO),
            "PYTHONUNBUFFERED": "1",
            "QUEUE_AUTHKEY": KEY,
            "QUEUE_PORT": "0",
            "MASTER_DATA": str(folder / "data"),
            "JOBS_FOLDER": str(self.jobs),
            "HEALTH_FILE": str(folder / "health"),
            "MASTER_HTTP_PORT": "off",
            **settings,
        }

    def environment(self, **settings: str) -> dict[str, str]:
        """For a process of ours."""
        return clean_environment({**self.settings, **settings})

    def start(self, log: str, *words: str, **settings: str) -> Process:
        """A process of ours in the background: `start("run.log", "master", "run", "square")`."""
        words = (sys.executable, "-m", *words)
        process = Process(self.folder / log, list(words), self.environment(**settings))
        self.started.append(process)
        return process

    def command(self, *words: str, **settings: str) -> Ended:
        """`qm ...` until its end: in this process, since the start of a Python takes longer.

        `run`, `serve` and `check` have a process of their own, as `shell` in test_output gives each
        command. So has the completion of a command, which has no words.
        """
        environment = self.environment(**settings)
        apart = not words or words[0] in ("run", "serve", "check")
        apart = apart or any(name.startswith("PYTHON") for name in settings)
        if apart or not _has_this_process_to_itself():
            return self._apart(words, environment)
        out, err = io.StringIO(), io.StringIO()
        stand_ins = {"load_settings": lambda: load_settings(environment), "hide_key": lambda: None}
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            patch.object(sys, "argv", ["qm", *words]),
            patch.multiple(cli, take_over=lambda: None, log_to=lambda _: None, **stand_ins),
            pytest.raises(SystemExit) as end,
        ):
            cli.main()
        return Ended(end.value.code, out.getvalue(), err.getvalue())

    def _apart(self, words: tuple[str, ...], environment: dict[str, str]) -> Ended:
        process = subprocess.Popen(
            [sys.executable, "-m", "master", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=self.folder,
        )
        try:
            out, err = process.communicate(timeout=2 * PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.terminate()  # a `run` ends its worker then, which it could not when killed
            out, err = process.communicate(timeout=PATIENCE_S)
            raise AssertionError(f"no end of {words}:\n{out!r}\n{err!r}") from None
        return Ended(process.returncode, out.decode(), err.decode())


def _has_this_process_to_itself() -> bool:
    """A command has a loop of its own, and what it prints goes to the whole process's output."""
    if threading.current_thread() is not threading.main_thread():
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


class Master(Place):
    """A serving master, with the commands and clients that talk to it."""

    def __init__(self, folder: Path, started: list[Any], **settings: str) -> None:
        super().__init__(folder, started, **settings)
        self.workers = 0
        self.serve()

    def serve(self) -> None:
        """Start it, and wait until it listens; on a restart it keeps its port."""
        log = self.folder / "master.log"
        before = log.read_text("utf-8").count("listening on") if log.exists() else 0
        process = self.process = self.start("master.log", "master", "serve")

        def listening() -> list[str]:
            lines = process.lines("listening on")[before:]
            return lines or process._check_alive("listening on " * (before + 1))

        line = eventually(listening, what=f"listening:\n{process.log}")[0]
        self.port = int(re.search(r"listening on [^ ]*:(\d+)", line)[1])  # type: ignore[index]
        self.settings["QUEUE_PORT"] = str(self.port)

    def place(self, name: str) -> Place:
        """Another data folder beside this one, with the same jobs."""
        data, health = (str(self.folder / f"{name}-{what}") for what in ("data", "health"))
        settings = {**self.settings, "MASTER_DATA": data, "HEALTH_FILE": health, "QUEUE_PORT": "0"}
        return Place(self.folder, self.started, **settings)

    def submit(self, *words: str) -> int:
        """The id of a new run."""
        ended = self.command("submit", *words)
        assert ended.code == 0, repr(ended)
        return int(ended.out)

    def status(self) -> str:
        """What `status` prints."""
        ended = self.command("status")
        assert ended.code == 0, repr(ended)
        return ended.out

    def run_line(self, run: int) -> dict[str, str]:
        """What `status` shows of a run, by column; asked here, since many tests wait for it."""
        found = [status for status in self.runs() if status.run == run]
        assert found, f"no run {run} in the status"
        return {name: str(value) for name, value in msgspec.structs.asdict(found[0]).items()}

    def session(self) -> Any:
        """A connection on which a client of ours has said hello."""
        key = self.settings["QUEUE_AUTHKEY"].encode()
        mode: Mode = "required" if self.settings.get("QUEUE_TLS") == "required" else "off"
        connection = connect(("127.0.0.1", self.port), authkey=key, mode=mode)
        connection.send_bytes(pickles.dumps((None, "accept_connection", (EXCHANGE,), {})))
        connection.send_bytes(encode(Hello("client", "tests", os.getpid())))
        return connection

    def runs(self) -> list[RunStatus]:
        """The runs that `status` shows."""
        return self.asked(AskRuns(1), RunList).runs

    def asked(self, request: Request, answer: type[T]) -> T:
        """What a client of ours is answered."""
        with contextlib.closing(self.session()) as connection:
            connection.send_bytes(encode(request))
            connection.recv_bytes()  # the answer to `accept_connection`
            message: Any = None
            while True:
                assert connection.poll(PATIENCE_S), f"the master does not answer; last: {message}"
                message = decode_reply(connection.recv_bytes())
                if isinstance(message, answer):
                    return message

    def children(self, module: str) -> list[int]:
        """Process ids of the master's children that run `python -m MODULE`."""
        return children(self.process.popen.pid, module)

    def results(self, run: int) -> list[dict[str, Any]]:
        """The ended tasks of a run."""
        ended = self.command("results", str(run))
        assert ended.code == 0, repr(ended)
        return [json.loads(line) for line in ended.out.splitlines()]

    def ended_tasks(
        self, run: int, count: int, within_s: float = PATIENCE_S
    ) -> list[dict[str, Any]]:
        """The tasks of a run, when so many of them have ended."""

        def ended() -> bool:
            line = self.run_line(run)
            return int(line["done"]) + int(line["dead"]) >= count

        eventually(ended, within_s, f"{count} ended tasks of run {run}")
        return self.results(run)

    def worker(self, **settings: str) -> Process:
        """A worker of ours with two slots, connected."""
        self.workers += 1
        name = f"worker-{self.workers}"
        health = str(self.folder / f"health-{name}")
        settings = {"WORKER_SLOTS": "2", "HEALTH_FILE": health, **settings}
        worker = self.start(f"{name}.log", "worker", **settings)
        self.process.says(rf"worker .*/{worker.popen.pid} connected")
        return worker

    def client(self, python: str = SYSTEM_PYTHON, key: str = KEY) -> StockClient:
        """A client with nothing but the standard library, in a process of its own, connected."""
        return self.client_at(self.port, python, key)

    def client_at(self, port: int, python: str = SYSTEM_PYTHON, key: str = KEY) -> StockClient:
        """The same at another port, such as that of who sits between."""
        client = StockClient(self.folder, python, port, key)
        self.started.append(client)
        client.answer()
        return client

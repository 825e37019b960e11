"""A peer that runs: its broker, its two workers and the program that submits, on loopback.

Everything lives in one scratch folder, which is in the environment of each of its processes, and
ends with the station.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

from ..rig import kernel, processes
from ..rig.processes import Process
from . import servers
from .catalogue import Peer
from .submitter import Submitter

WORKERS = 2
_RUN = str(os.getpid())
"""In the environment of all that this run of the benchmark starts."""
_LISTEN_S = 60.0
_LOG_CHARACTERS = 400


class Station:
    """Started by `with`.

    python: of the peer's environment. at_once: tasks at a time in an asynchronous worker, None for
    its default.
    """

    def __init__(self, peer: Peer, python: Path, folder: Path, at_once: int | None = None) -> None:
        self.peer, self.folder, self._python = peer, folder, python
        self.port = kernel.free_port()
        self._known = {"port": str(self.port), "folder": str(folder), "at_once": str(at_once or 10)}
        self._known["short"] = tempfile.mkdtemp(prefix="peer-")
        self._known["url"] = peer.url.format(**self._known)
        self._more = {
            "PEER_URL": self._known["url"],
            "PEER_FOLDER": str(folder),
            "PEER_RUN": _RUN,
            "PEER_AT_ONCE": str(at_once or ""),
            "PYTHONPATH": str(processes.ROOT),
        }
        self._stack = contextlib.ExitStack()
        self.broker: Process | None = None
        self.workers: list[Process] = []
        self._starts = 0

    def __enter__(self) -> Station:
        with contextlib.ExitStack() as stack:
            stack.callback(self._end_all)
            self._stack = stack
            if self.peer.broker:
                servers.prepare(self.peer.broker, self.folder)
                self.start_broker()
            if self.peer.setup:
                self._set_up()
            if self.peer.worker:
                self.workers = [self._worker(n) for n in range(WORKERS)]
            words = [str(python) for python in (self._python, "-m")]
            environment = processes.environment_of({**self._settings("driver"), **self._more})
            module = self.peer.module
            driver = Submitter([*words, "bench.peers.driver", module], self.folder, environment)
            self._driver = stack.enter_context(driver)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where the broker is."""
        return self._known["url"]

    def ask(self, do: str, **more: Any) -> Any:
        """The driver's answer. Raises RuntimeError with what went wrong there."""
        return self._driver.ask(do, **more)

    def tell(self, do: str, **more: Any) -> None:
        """As `ask`, without waiting for the answer."""
        self._driver.tell(do, **more)

    def start_broker(self) -> None:
        """Start it in the same folder and on the same port, and wait until it listens."""
        self._starts += 1
        self.broker = self._process(self.peer.broker, f"broker-{self._starts}", {})
        processes.wait_until(self._listens, f"{self.peer.name}: a listening broker", _LISTEN_S)

    def kill_broker(self) -> None:
        """End the broker with all its processes by SIGKILL, also those in sessions of their own."""
        assert self.broker is not None
        children = kernel.descendants(self.broker.pid)
        self.broker.kill()
        _kill(children)

    def kill(self, pid: int) -> bool:
        """End one process of its own by SIGKILL; False when this station has no such process."""
        own = pid in self.pids()
        _kill({pid} if own else set())
        return own

    def cpu_s(self) -> float:
        """CPU time so far of all its processes, and of their children that have ended."""
        return sum(kernel.cpu_with_ended_s(pid) for pid in self.pids())

    def pids(self) -> set[int]:
        """All its processes: those with its folder in their environment, and their descendants."""
        return kernel.family(f"PEER_FOLDER={self.folder}")

    def worker_pids(self, name: str) -> set[int]:
        """The processes of one worker, by the name that it has in `work.worker()`."""
        if name.startswith("pid-"):
            return {int(name.removeprefix("pid-"))}
        group = self.workers[int(name)].pid
        return {pid for pid in self.pids() if kernel.group(pid) == group}

    def _worker(self, number: int) -> Process:
        more = {"PEER_WORKER": str(number), "WORKER_SLOTS": "1"}
        return self._process(self.peer.worker, f"worker-{number}", more)

    def _process(self, command: str, name: str, more: dict[str, str]) -> Process:
        program, *words = command.format(**self._known).split()
        found = (str(self._python), "-m") if program == "python" else servers.words(program)
        log = self.folder / f"{name}.log"
        process = Process(
            words,
            log,
            {**self._settings(name), **self._more, **more},
            program=found,
            own_session=True,
        )
        self._stack.enter_context(process)
        return process

    def _settings(self, name: str) -> dict[str, str]:
        """Quartermaster's own, which the others do not read."""
        return {
            "MASTER_DATA": str(self.folder / "data"),
            "HEALTH_FILE": str(self.folder / f"{name}.health"),
            "JOBS_FOLDER": str(processes.HERE / "jobs"),
            "QUEUE_PORT": str(self.port),
            "MASTER_HTTP_PORT": "off",
        }

    def _set_up(self) -> None:
        process = self._process(self.peer.setup, "setup", {})
        if process.process.wait(_LISTEN_S):
            raise RuntimeError(f"{self.peer.name}: {process.log.read_text()[-_LOG_CHARACTERS:]}")

    def _listens(self) -> bool:
        assert self.broker is not None
        if self.broker.process.poll() is not None:
            raise RuntimeError(
                f"the broker has ended: {self.broker.log.read_text()[-_LOG_CHARACTERS:]}"
            )
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def _end_all(self) -> None:
        """Last of all: what has left its parent and its group, too."""
        _kill(self.pids())
        shutil.rmtree(self._known["short"], ignore_errors=True)


def end_all() -> None:
    """End whatever this run of the benchmark has started."""
    _kill(kernel.family(f"PEER_RUN={_RUN}"))


def _kill(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

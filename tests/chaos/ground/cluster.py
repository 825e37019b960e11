"""The cluster that chaos is done to: one master, workers behind a proxy each, stock clients.

Owns starting them, and starting again what a fault has ended. A process that ends without a fault
is a trouble.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass, field

from .processes import HERE, KEY, Ground, Program, children, limit_files, send, wait_for
from .proxy import Proxy

DRAIN_S = 2.0


class DownError(RuntimeError):
    """There is no master any more, and none can be started."""


@dataclass
class Worker:
    """A worker's place: its proxy stays, its process may be one after the other."""

    number: int
    proxy: Proxy
    program: Program | None = None
    frozen: bool = False
    leaving: bool = False

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self.program is not None
        return self.program.pid

    @property
    def alive(self) -> bool:
        """Whether its process lives."""
        return self.program is not None and self.program.alive

    @property
    def slots(self) -> list[int]:
        """Its slots' process ids."""
        return children(self.pid, "worker.slot.main") if self.alive else []


@dataclass
class Cluster:
    """All processes, and what went wrong with them."""

    ground: Ground
    size: int = 4
    slots: int = 2
    port: int = 0
    master: Program | None = None
    workers: list[Worker] = field(default_factory=list)
    clients: dict[str, Program] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    producers: int = 0

    def __post_init__(self) -> None:
        self.front = Proxy(lambda: self.port)
        """For clients: it never fails by itself, and stays where it is."""
        self.workers = [Worker(n, Proxy(lambda: self.port)) for n in range(self.size)]

    # --- the master ---

    @property
    def up(self) -> bool:
        """Whether a master lives and listens."""
        return self.master is not None and self.master.alive and bool(self._listens())

    def start_master(self, port: int = 0, within_s: float = 20.0) -> None:
        """Start it and wait until it listens; port 0 is another one than before."""
        health = str(self.ground.folder / "health-master")
        settings = {"QUEUE_PORT": str(port), "HEALTH_FILE": health}
        self.master = self.ground.start("master.log", "-m", "master", "serve", **settings)
        master = self.master
        if wait_for(lambda: self._listens() or not master.alive, within_s) and master.alive:
            self.port = self._listens()
        else:
            raise DownError(f"the master did not come up: {master.lines[-5:]}")

    def _listens(self) -> int:
        found = self.master.find(r"listening on [^ ]*:(\d+)") if self.master else None
        return int(found[1]) if found else 0

    @property
    def runners(self) -> list[int]:
        """Process ids of the master's runners."""
        return children(self.master.pid, "master.runner.main") if self.master else []

    # --- the workers ---

    def start_worker(self, worker: Worker) -> None:
        """Start the process of this place."""
        worker.frozen = worker.leaving = False
        worker.program = self.ground.start(
            f"worker-{worker.number}.log",
            "-m",
            "worker",
            QUEUE_PORT=str(worker.proxy.port),
            WORKER_SLOTS=str(self.slots),
            WORKER_DRAIN_S=str(DRAIN_S),
            HEALTH_FILE=str(self.ground.folder / f"health-{worker.number}"),
        )

    def start_workers(self) -> None:
        """Every place has a worker again."""
        for worker in self.workers:
            if not worker.alive:
                self.start_worker(worker)

    # --- stock clients ---

    def start_client(self, name: str, role: str, tag: str = "-") -> Program:
        """A client with the standard library only; it goes on until it is ended."""
        words = [role, str(self.front.port), KEY.encode().hex(), tag]
        script, jobs = str(HERE / "ground" / "stock.py"), str(self.ground.jobs)
        program = self.ground.start("clients.log", "-S", script, *words, PYTHONPATH=jobs)
        self.clients[name] = program
        return program

    def start_producer(self) -> None:
        """One that puts tasks, under a tag of its own."""
        self.producers += 1
        self.start_client("producer", "put", f"put{self.producers}")

    # --- all of them ---

    def try_second_master(self) -> None:
        """Start another master on the same folder. It is a trouble if that is not refused."""
        settings = {"QUEUE_PORT": "0", "HEALTH_FILE": str(self.ground.folder / "health-second")}
        second = self.ground.start("second.log", "-m", "master", "serve", **settings)
        with suppress(Exception):
            second.popen.wait(15.0)
        if second.alive:
            second.kill()
        second._copier.join(2.0)
        code, lines = second.popen.returncode, second.lines
        if code != 2 or len(lines) != 1:
            self.troubles.append(f"a second master: exit code {code}, {lines[-5:]}")

    def tend(self) -> None:
        """See who has ended though nobody did anything to it."""
        for worker in self.workers:
            if worker.program is not None and not worker.alive and not worker.leaving:
                self.troubles.append(
                    f"worker {worker.number} ended by itself ({worker.program.popen.returncode})"
                )
                self.start_worker(worker)
        if self.master is not None and not self.master.alive:
            code = self.master.popen.returncode
            self.troubles.append(f"the master ended by itself ({code}): {self.master.lines[-5:]}")
            self.start_master(self.port)

    def heal(self) -> None:
        """Nothing is frozen, cut off or without space any more, and everybody is there."""
        if self.master is not None:
            send(self.master.pid, signal.SIGCONT)
            for pid in [self.master.pid, *self.runners]:
                limit_files(pid, None)
        for worker in self.workers:
            worker.proxy.heal()
            for pid in [*worker.slots, *([worker.pid] if worker.alive else [])]:
                send(pid, signal.SIGCONT)
            worker.frozen = False
        if self.master is None or not self.master.alive:
            self.start_master(self.port)
        for worker in self.workers:
            if worker.leaving and worker.alive:
                assert worker.program is not None
                wait_for(lambda program=worker.program: not program.alive, DRAIN_S + 5.0)
        self.start_workers()

    def end(self) -> None:
        """Everything ends in good order, the master last; what does not is a trouble."""
        for client in self.clients.values():
            client.kill()
        for worker in self.workers:
            if worker.alive and worker.program is not None:
                worker.leaving = True
                worker.program.signal(signal.SIGTERM)
        for worker in self.workers:
            if worker.program is not None and (code := worker.program.wait(DRAIN_S + 5.0)) != 0:
                self.troubles.append(f"worker {worker.number} ended with {code} on SIGTERM")
        if self.master is not None and (code := self.master.end(10.0)) != 0:
            self.troubles.append(f"the master ended with {code} on SIGTERM")
        for proxy in [self.front, *(worker.proxy for worker in self.workers)]:
            proxy.close()

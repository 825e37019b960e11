"""What each fault does to the cluster, and what it touches by that.

A fault is a method named after it. It returns whether there was anything to do it to.
"""

from __future__ import annotations

import heapq
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from .cluster import Cluster, Worker
from .evidence import Hit
from .load import Load
from .plan import Fault
from .processes import children, limit_files, runs, send, wait_for
from .strangers import bother

NOTICE_S = 6.0
"""How long a worker that was frozen or cut off may go on with leases that it has lost: it pauses
5 s at most before it connects again."""

START_S = 2.0
"""Until a process that was just started has its signal handlers."""

KILL_S = 0.05
"""At least so long after a signal the diary may still grow: what was written is not all read."""

DEATH_S = 2.0
"""At most so long is waited for a killed process and its slots to be gone."""

FULL_BYTES = 4096

FROZEN_MASTER_TOUCHES = False
"""Whether a master that was frozen for long may give up its workers when it goes on, though they
have spoken meanwhile. False is the strict form: a stop of the master touches nobody."""

SILENT_S, BEAT_S = 12.0, 5.0
"""A worker is given up after so long a silence; it beats so often."""


class Faults:
    """Does faults, and undoes them when their time is over.

    Args:
        master_takes_leases: a killed master takes the leases of our workers with it (as it did
            before they were held over its restart).
    """

    def __init__(
        self, cluster: Cluster, load: Load, seed: int, *, master_takes_leases: bool = False
    ) -> None:
        self.cluster, self.load = cluster, load
        self.dice = random.Random(f"faults {seed}")
        self.master_takes_leases = master_takes_leases
        self.done: Counter[str] = Counter()
        self.hits: list[Hit] = []
        self.active: set[str] = set()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._silence = (0.0, -NOTICE_S)
        self._frozen: int | None = None
        self.strangers: list[socket.socket] = []
        self.before_kill: Callable[[int], None] = lambda pid: None

    def do(self, fault: Fault) -> bool:
        """Do one fault, if there is something to do it to."""
        self.cluster.tend()
        method = getattr(self, fault.kind.replace(" ", "_"))
        found = bool(method(fault))
        self.done[fault.kind if found else f"{fault.kind} (nobody there)"] += 1
        return found

    def due(self) -> None:
        """Undo what is over."""
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()

    def undo_all(self) -> None:
        """Heal: everything that was to end later ends now."""
        while self._later:
            heapq.heappop(self._later)[2]()
        self.cluster.heal()

    @property
    def disturbed(self) -> set[int]:
        """Workers' process ids that something was done to a moment ago, or still is: all of them
        while nobody gives out work."""
        now = time.monotonic()
        recent = [hit for hit in self.hits if hit.end + 1.0 > now]
        if any(hit.kind == "stop master" for hit in recent):
            return self._of_workers()
        return {pid for hit in recent for pid in hit.workers}

    @property
    def master_frozen(self) -> bool:
        """Whether the master of now is stopped: whoever waits for its answer waits for `due`."""
        master = self.cluster.master
        return master is not None and self._frozen == master.pid

    def _after(self, seconds: float, undo: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._later, (time.monotonic() + seconds, self._count, undo))

    def _hit(self, kind: str, lasts_s: float = KILL_S, **what: object) -> None:
        now = time.monotonic()
        begin, end = self._silence
        since = begin if now < end + NOTICE_S else 0.0
        self.hits.append(Hit(kind, now, now + lasts_s, since=since, **what))  # type: ignore[arg-type]

    def _lasts_until_gone(self, pids: list[int]) -> None:
        """The hit that was just noted ends when these have: on a busy machine that takes a while,
        and until then they run tasks."""
        wait_for(lambda: not any(runs(pid) for pid in pids), DEATH_S)
        hit = self.hits[-1]
        self.hits[-1] = replace(hit, end=max(hit.end, time.monotonic()))

    def _no_records(self, lasts_s: float) -> None:
        """From now on, and for so long, the master records nothing."""
        now = time.monotonic()
        begin, end = self._silence
        self._silence = (begin if now < end + NOTICE_S else now, now + lasts_s)

    def _worker(self, pick: float) -> Worker | None:
        found = [w for w in self.cluster.workers if w.alive and not w.leaving and not w.frozen]
        return found[int(pick * len(found))] if found else None

    # --- kill -9 ---

    def kill_slot(self, fault: Fault) -> bool:
        slots = [pid for w in self.cluster.workers if not w.frozen for pid in w.slots]
        if not slots:
            return False
        pid = slots[int(fault.pick * len(slots))]
        self._hit("kill slot", slots=frozenset([pid]), kills=True, charges=True)
        killed = send(pid, signal.SIGKILL)
        self._lasts_until_gone([pid])
        return killed

    def kill_worker(self, fault: Fault) -> bool:
        worker = self._worker(fault.pick)
        if worker is None or worker.program is None:
            return False
        slots = worker.slots
        self._hit("kill worker", workers=frozenset([worker.pid]), kills=True)
        worker.leaving = True
        worker.program.kill()
        self._lasts_until_gone(slots)
        self._after(fault.lasts_s / 3, lambda: self._start_again(worker))
        return True

    def _start_again(self, worker: Worker) -> None:
        if not worker.alive:
            self.cluster.start_worker(worker)

    def kill_master(self, fault: Fault) -> bool:
        cluster = self.cluster
        if cluster.master is None or not cluster.up:
            return False
        pids = {p.pid for p in cluster.clients.values()}
        if self.master_takes_leases:
            pids |= {worker.pid for worker in cluster.workers if worker.alive}
        self._hit("kill master", workers=frozenset(), slots=frozenset(pids - self._of_workers()))
        if self.master_takes_leases:
            self._hit("kill master, leases", 1.0, workers=frozenset(self._of_workers()))
        self._no_records(0.0)
        self.before_kill(cluster.master.pid)
        cluster.master.kill()
        time.sleep(fault.lasts_s / 3)  # nothing else happens then: a fault needs a master
        cluster.start_master(0 if fault.pick < 0.5 else cluster.port)
        self._no_records(0.0)  # workers come back with what they finished meanwhile
        return True

    def _of_workers(self) -> set[int]:
        return {worker.pid for worker in self.cluster.workers if worker.alive}

    def kill_runner(self, fault: Fault) -> bool:
        runners = self.cluster.runners
        if not runners:
            return False
        self._hit("kill runner", slots=frozenset())
        return send(runners[int(fault.pick * len(runners))], signal.SIGKILL)

    def kill_client(self, fault: Fault) -> bool:
        """A producer in mid-put, or the stock worker with a task in its hands."""
        name = "producer" if fault.pick < 0.5 else "stock worker"
        client = self.cluster.clients.get(name)
        if client is None:
            return False
        self._hit("kill client", workers=frozenset([client.pid]), slots=frozenset([client.pid]))
        client.kill()
        if name == "producer":
            self.cluster.start_producer()
        else:
            self.cluster.start_client(name, "work")
        return True

    def kill_submit(self, fault: Fault) -> bool:
        """The next submit is killed on its way, and asked for again with its key."""
        self.load.kill_next = fault.lasts_s / 6
        return True

    # --- frozen ---

    def stop_slot(self, fault: Fault) -> bool:
        worker = self._worker(fault.pick)
        slots = worker.slots if worker else []
        if not slots:
            return False
        pid = slots[0]
        self._hit("stop slot", fault.lasts_s, slots=frozenset([pid]), charges=True)
        self._after(fault.lasts_s, lambda: _thaw([pid]))
        return send(pid, signal.SIGSTOP)

    def stop_worker(self, fault: Fault) -> bool:
        """The supervisor, and half of the time its slots too, as in a frozen container."""
        worker = self._worker(fault.pick)
        if worker is None:
            return False
        pids = [worker.pid, *(worker.slots if self.dice.random() < 0.5 else [])]
        lasts_s = fault.lasts_s + NOTICE_S
        self._hit("stop worker", lasts_s, workers=frozenset([worker.pid]), charges=True)
        worker.frozen = True
        for pid in pids:
            send(pid, signal.SIGSTOP)
        self._after(fault.lasts_s, lambda: self._thaw_worker(worker, pids))
        return True

    def _thaw_worker(self, worker: Worker, pids: list[int]) -> None:
        worker.frozen = False
        _thaw(pids)

    def stop_master(self, fault: Fault) -> bool:
        """SIGSTOP: it is there, its kernel acknowledges, and it says nothing."""
        master = self.cluster.master
        if master is None or not self.cluster.up or self.master_frozen:
            return False
        # What it heard last may be a beat old.
        if FROZEN_MASTER_TOUCHES and fault.lasts_s > SILENT_S - BEAT_S - 1.0:
            lasts_s, workers = fault.lasts_s + NOTICE_S, frozenset(self._of_workers())
            self._hit("stop master, leases", lasts_s, workers=workers)
        self._hit("stop master", fault.lasts_s)
        self._no_records(fault.lasts_s)
        self._frozen, mark = master.pid, len(self.hits) - 1
        self._after(fault.lasts_s, lambda: self._thaw_master(master.pid, mark))
        return send(master.pid, signal.SIGSTOP)

    def _thaw_master(self, pid: int, mark: int) -> None:
        """mark: which hit was its stop; it ends now, also if the chaos itself was held up."""
        send(pid, signal.SIGCONT)
        self._frozen = None if self._frozen == pid else self._frozen
        hit = self.hits[mark]
        self.hits[mark] = replace(hit, end=max(hit.end, time.monotonic()))
        self._no_records(0.0)

    # --- the network ---

    def _cut(self, fault: Fault, *ways: str) -> bool:
        worker = self._worker(fault.pick)
        if worker is None:
            return False
        lasts_s = fault.lasts_s + NOTICE_S
        self._hit(fault.kind, lasts_s, workers=frozenset([worker.pid]))
        worker.proxy.cut(*ways)
        self._after(fault.lasts_s, worker.proxy.heal)
        return True

    def cut(self, fault: Fault) -> bool:
        return self._cut(fault, "up", "down")

    def cut_one_way(self, fault: Fault) -> bool:
        return self._cut(fault, self.dice.choice(["up", "down"]))

    def slow(self, fault: Fault) -> bool:
        worker = self._worker(fault.pick)
        if worker is None:
            return False
        lasts_s = fault.lasts_s + NOTICE_S
        self._hit(fault.kind, lasts_s, workers=frozenset([worker.pid]))
        worker.proxy.slow()
        self._after(fault.lasts_s, worker.proxy.heal)
        return True

    def _break(self, fault: Fault, how: str) -> bool:
        worker = self._worker(fault.pick)
        if worker is None:
            return False
        self._hit(fault.kind, NOTICE_S, workers=frozenset([worker.pid]))
        getattr(worker.proxy, how)()
        self._after(fault.lasts_s, worker.proxy.heal)
        return True

    def reset(self, fault: Fault) -> bool:
        return self._break(fault, "reset")

    def tear(self, fault: Fault) -> bool:
        return self._break(fault, "tear")

    def desert(self, fault: Fault) -> bool:
        return self._break(fault, "desert")

    def stranger(self, fault: Fault) -> bool:
        if self.master_frozen:  # a client that is challenged late would hold up the chaos itself
            return False
        kind, kept = bother(self.cluster.port, self.dice)
        self.done[f"stranger: {kind}"] += 1
        self.strangers = [s for s in self.strangers if s.fileno() >= 0] + kept
        for sock in kept:
            self._after(fault.lasts_s, sock.close)
        return True

    # --- operations ---

    def second_master(self, fault: Fault) -> bool:
        """On the same folder: refused with exit code 2 and one line."""
        if not self.cluster.up:
            return False
        health = str(self.cluster.ground.folder / "health-second")
        settings = {"QUEUE_PORT": "0", "HEALTH_FILE": health}
        second = self.cluster.ground.start("second.log", "-m", "master", "serve", **settings)
        with suppress(Exception):
            second.popen.wait(15.0)
        if second.alive:
            second.kill()
        second._copier.join(2.0)
        code, lines = second.popen.returncode, second.lines
        if code != 2 or len(lines) != 1:
            self.cluster.troubles.append(f"a second master: exit code {code}, {lines[-5:]}")
        return True

    def new_version(self, fault: Fault) -> bool:
        """A comment more in a job's file, put in place at once."""
        names = sorted(p.name for p in self.cluster.ground.jobs.glob("*.py"))
        path = self.cluster.ground.jobs / names[int(fault.pick * len(names))]
        new = path.with_suffix(".new")
        new.write_text(path.read_text() + f"# {self.dice.random()}\n")
        new.replace(path)
        return True

    def scale(self, fault: Fault) -> bool:
        """4 -> 1 -> 4: SIGTERM to all but one."""
        now = time.monotonic()
        going = [w for w in self.cluster.workers if w.alive and not w.frozen and not w.leaving][1:]
        for worker in going:
            assert worker.program is not None
            if now - worker.program.started < START_S:
                continue
            self._hit("scale", 5.0, workers=frozenset([worker.pid]))
            worker.leaving = True
            worker.program.signal(signal.SIGTERM)
            self._await_end(worker, time.monotonic() + 10.0)
        return bool(going)

    def _await_end(self, worker: Worker, deadline: float) -> None:
        program = worker.program
        if program is None:
            return
        if program.alive and time.monotonic() < deadline:
            self._after(0.3, lambda: self._await_end(worker, deadline))
            return
        if program.alive:
            self.cluster.troubles.append(f"worker {worker.number} did not end on SIGTERM")
            program.kill()
        elif program.popen.returncode != 0:
            code = program.popen.returncode
            self.cluster.troubles.append(f"worker {worker.number} ended with {code} on SIGTERM")
        self._after(1.0, lambda: self._start_again(worker))

    def full_disk(self, fault: Fault) -> bool:
        """The master's files may grow no more; without root, and for it alone."""
        master = self.cluster.master
        if master is None or not self.cluster.up:
            return False
        # A stock worker whose result is refused gives up; its task is another's then.
        clients = frozenset(client.pid for client in self.cluster.clients.values())
        self._hit("full disk", fault.lasts_s + 1.0, slots=clients)
        self._no_records(fault.lasts_s)
        limit_files(master.pid, FULL_BYTES)
        self._after(fault.lasts_s, lambda: _give_space(master.pid))
        return True

    def cancel(self, fault: Fault) -> bool:
        return self.load.cancel(self.active, fault.pick)


def _thaw(pids: list[int]) -> None:
    for pid in pids:
        send(pid, signal.SIGCONT)


def _give_space(pid: int) -> None:
    for each in [pid, *children(pid, "master.runner.main")]:
        limit_files(each, None)

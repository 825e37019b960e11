"""What each fault does to the cluster, and what it touches.

A fault is a method of its name. The method returns whether there was anything to do it to.
"""

from __future__ import annotations

import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable

from .ground.cluster import Cluster, Worker
from .ground.processes import give_space, limit_files, send, thaw
from .ground.strangers import bother
from .hits import NOTICE_S, Hits, Later
from .load import Load
from .plan import Fault
from .verdict.evidence import Hit

START_S = 2.0
"""How long a process takes to set its signal handlers after its start."""

FULL_BYTES = 4096

FROZEN_MASTER_TOUCHES = False
"""Whether a master that was frozen for long may give up its workers when it goes on, though they
have spoken meanwhile. False is the strict form: a stop of the master touches nobody."""

SILENT_S, BEAT_S = 12.0, 5.0
"""The silence after which the master gives a worker up, and how often a worker beats."""


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
        self._hits = Hits()
        self._later = Later()
        self.active: set[str] = set()
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

    @property
    def hits(self) -> list[Hit]:
        """What the faults have touched, in their order."""
        return self._hits.all

    def due(self) -> None:
        """Undo what is over."""
        self._later.due()

    def undo_all(self) -> None:
        """Heal: everything that was to end later ends now."""
        self._later.all_now()
        self.cluster.heal()

    @property
    def disturbed(self) -> set[int]:
        """The process ids of workers to which something was done a moment ago, or still is.

        All workers while nobody gives out work.
        """
        now = time.monotonic()
        recent = [hit for hit in self.hits if hit.end + 1.0 > now]
        if any(hit.kind == "stop master" for hit in recent):
            return self._of_workers()
        return {pid for hit in recent for pid in hit.workers}

    @property
    def master_frozen(self) -> bool:
        """Whether the present master is stopped. Its answer comes only after `due`."""
        master = self.cluster.master
        return master is not None and self._frozen == master.pid

    def _worker(self, pick: float) -> Worker | None:
        found = [w for w in self.cluster.workers if w.alive and not w.leaving and not w.frozen]
        return found[int(pick * len(found))] if found else None

    # --- kill -9 ---

    def kill_slot(self, fault: Fault) -> bool:
        slots = [pid for w in self.cluster.workers if not w.frozen for pid in w.slots]
        if not slots:
            return False
        pid = slots[int(fault.pick * len(slots))]
        self._hits.note("kill slot", slots=frozenset([pid]), kills=True, charges=True)
        killed = send(pid, signal.SIGKILL)
        self._hits.last_until_gone([pid])
        return killed

    def kill_worker(self, fault: Fault) -> bool:
        worker = self._worker(fault.pick)
        if worker is None or worker.program is None:
            return False
        slots = worker.slots
        self._hits.note("kill worker", workers=frozenset([worker.pid]), kills=True)
        worker.leaving = True
        worker.program.kill()
        self._hits.last_until_gone(slots)
        self._later.after(fault.lasts_s / 3, lambda: self._start_again(worker))
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
        self._hits.note(
            "kill master", workers=frozenset(), slots=frozenset(pids - self._of_workers())
        )
        if self.master_takes_leases:
            self._hits.note("kill master, leases", 1.0, workers=frozenset(self._of_workers()))
        self._hits.no_records(0.0)
        self.before_kill(cluster.master.pid)
        cluster.master.kill()
        time.sleep(fault.lasts_s / 3)  # nothing else happens then: a fault needs a master
        cluster.start_master(0 if fault.pick < 0.5 else cluster.port)
        self._hits.no_records(0.0)  # workers come back with what they finished meanwhile
        return True

    def _of_workers(self) -> set[int]:
        return {worker.pid for worker in self.cluster.workers if worker.alive}

    def kill_runner(self, fault: Fault) -> bool:
        runners = self.cluster.runners
        if not runners:
            return False
        self._hits.note("kill runner", slots=frozenset())
        return send(runners[int(fault.pick * len(runners))], signal.SIGKILL)

    def kill_client(self, fault: Fault) -> bool:
        """A producer in mid-put, or the stock worker with a task in its hands."""
        name = "producer" if fault.pick < 0.5 else "stock worker"
        client = self.cluster.clients.get(name)
        if client is None:
            return False
        self._hits.note(
            "kill client", workers=frozenset([client.pid]), slots=frozenset([client.pid])
        )
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
        self._hits.note("stop slot", fault.lasts_s, slots=frozenset([pid]), charges=True)
        self._later.after(fault.lasts_s, lambda: thaw([pid]))
        return send(pid, signal.SIGSTOP)

    def stop_worker(self, fault: Fault) -> bool:
        """The supervisor, and half of the time its slots too, as in a frozen container."""
        worker = self._worker(fault.pick)
        if worker is None:
            return False
        pids = [worker.pid, *(worker.slots if self.dice.random() < 0.5 else [])]
        lasts_s = fault.lasts_s + NOTICE_S
        self._hits.note("stop worker", lasts_s, workers=frozenset([worker.pid]), charges=True)
        worker.frozen = True
        for pid in pids:
            send(pid, signal.SIGSTOP)
        self._later.after(fault.lasts_s, lambda: self._thaw_worker(worker, pids))
        return True

    def _thaw_worker(self, worker: Worker, pids: list[int]) -> None:
        worker.frozen = False
        thaw(pids)

    def stop_master(self, fault: Fault) -> bool:
        """SIGSTOP: it is there, its kernel acknowledges, and it says nothing."""
        master = self.cluster.master
        if master is None or not self.cluster.up or self.master_frozen:
            return False
        # The last thing that it heard may be a beat old.
        if FROZEN_MASTER_TOUCHES and fault.lasts_s > SILENT_S - BEAT_S - 1.0:
            lasts_s, workers = fault.lasts_s + NOTICE_S, frozenset(self._of_workers())
            self._hits.note("stop master, leases", lasts_s, workers=workers)
        mark = self._hits.note("stop master", fault.lasts_s)
        self._hits.no_records(fault.lasts_s)
        self._frozen = master.pid
        self._later.after(fault.lasts_s, lambda: self._thaw_master(master.pid, mark))
        return send(master.pid, signal.SIGSTOP)

    def _thaw_master(self, pid: int, mark: int) -> None:
        """mark: the number of the hit that its stop was."""
        send(pid, signal.SIGCONT)
        self._frozen = None if self._frozen == pid else self._frozen
        self._hits.end_now(mark)
        self._hits.no_records(0.0)

    # --- the network ---

    def _cut(self, fault: Fault, *ways: str) -> bool:
        worker = self._worker(fault.pick)
        if worker is None:
            return False
        lasts_s = fault.lasts_s + NOTICE_S
        self._hits.note(fault.kind, lasts_s, workers=frozenset([worker.pid]))
        worker.proxy.cut(*ways)
        self._later.after(fault.lasts_s, worker.proxy.heal)
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
        self._hits.note(fault.kind, lasts_s, workers=frozenset([worker.pid]))
        worker.proxy.slow()
        self._later.after(fault.lasts_s, worker.proxy.heal)
        return True

    def _break(self, fault: Fault, how: str) -> bool:
        worker = self._worker(fault.pick)
        if worker is None:
            return False
        self._hits.note(fault.kind, NOTICE_S, workers=frozenset([worker.pid]))
        getattr(worker.proxy, how)()
        self._later.after(fault.lasts_s, worker.proxy.heal)
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
            self._later.after(fault.lasts_s, sock.close)
        return True

    # --- operations ---

    def second_master(self, fault: Fault) -> bool:
        """On the same folder: refused with exit code 2 and one line."""
        if not self.cluster.up:
            return False
        self.cluster.try_second_master()
        return True

    def new_version(self, fault: Fault) -> bool:
        """A job's file gets one more comment, in one step."""
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
            self._hits.note("scale", 5.0, workers=frozenset([worker.pid]))
            worker.leaving = True
            worker.program.signal(signal.SIGTERM)
            self._await_end(worker, time.monotonic() + 10.0)
        return bool(going)

    def _await_end(self, worker: Worker, deadline: float) -> None:
        program = worker.program
        if program is None:
            return
        if program.alive and time.monotonic() < deadline:
            self._later.after(0.3, lambda: self._await_end(worker, deadline))
            return
        if program.alive:
            self.cluster.troubles.append(f"worker {worker.number} did not end on SIGTERM")
            program.kill()
        elif program.popen.returncode != 0:
            code = program.popen.returncode
            self.cluster.troubles.append(f"worker {worker.number} ended with {code} on SIGTERM")
        self._later.after(1.0, lambda: self._start_again(worker))

    def full_disk(self, fault: Fault) -> bool:
        """The files of the master, and of nobody else, may grow no more. It needs no root."""
        master = self.cluster.master
        if master is None or not self.cluster.up:
            return False
        # A stock worker whose result is refused gives up, and another worker gets its task.
        clients = frozenset(client.pid for client in self.cluster.clients.values())
        self._hits.note("full disk", fault.lasts_s + 1.0, slots=clients)
        self._hits.no_records(fault.lasts_s)
        limit_files(master.pid, FULL_BYTES)
        self._later.after(fault.lasts_s, lambda: give_space(master.pid))
        return True

    def cancel(self, fault: Fault) -> bool:
        return self.load.cancel(self.active, fault.pick)

"""What the product's processes may grow: each life of the master, and each worker's supervisor.

Owns the figures of when they were new and the comparison; whom to look at, and when, is the
driver's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

from ..ground.cluster import Cluster, Worker
from ..ground.processes import vitals

_POOL = min(32, (os.cpu_count() or 1) + 4)
MASTER = {"memory": 24 * 1024 * 1024, "descriptors": 8, "threads": _POOL}
"""What a master may have more than when it was new and everybody had connected.

Threads: an event loop's pool starts them as it needs them, and keeps them.
"""

SUPERVISOR = {"memory": 8 * 1024 * 1024, "descriptors": 4, "threads": _POOL}
"""What a supervisor may have more at the end than when it was new and had its slots."""

RUNNER_DESCRIPTORS, ASKING_DESCRIPTORS, CLIENT_DESCRIPTORS = 3, 8, 4
"""A runner has pipes and a session; a submit has a session, and a child that looks at the job; a
stock client has a connection for each proxy."""


class Growth:
    """Compares. say: where the figures go; troubles: what grew too much."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self.say = say
        self.troubles: list[str] = []
        self.fresh: dict[str, int] = {}
        self._new: dict[int, dict[str, int]] = {}
        self.lives = 0

    def check_master(self, pid: int, when: str, spare: int = 0) -> None:
        """A life of the master is at its end. spare: descriptors that it needs at the moment."""
        self.lives += 1
        now = vitals(pid)
        self.say(f"the master: new {self.fresh}, {when} {now}")
        most = {**MASTER, "descriptors": MASTER["descriptors"] + spare}
        self._compare("the master", self.fresh, now, most, when)

    def meet(self, workers: Iterable[Worker], slots: int) -> None:
        """Note how those are that are new: connected, with all their slots."""
        for worker in workers:
            program = worker.program
            if program is None or worker.pid in self._new or worker.frozen or worker.leaving:
                continue
            if program.find("connected to") and len(worker.slots) == slots:
                with suppress(OSError, TypeError):  # it was killed while it was looked at
                    self._new[worker.pid] = vitals(worker.pid)

    def check_workers(self, workers: Iterable[Worker]) -> None:
        """The end has come for those that live."""
        for worker in workers:
            fresh = self._new.get(worker.pid) if worker.alive else None
            if fresh is not None:
                now = vitals(worker.pid)
                name = f"the supervisor of worker {worker.number}"
                self.say(f"{name}: new {fresh}, at the end {now}")
                self._compare(name, fresh, now, SUPERVISOR, "at the end")

    def _compare(
        self, who: str, fresh: dict[str, int], now: dict[str, int], most: dict[str, int], when: str
    ) -> None:
        for what, more in most.items():
            if now[what] > fresh[what] + more:
                self.troubles.append(
                    f"{who}'s {what}: {fresh[what]:,} when new, {now[what]:,} {when}"
                )


def spare_descriptors(cluster: Cluster, asking: int, strangers: int) -> int:
    """What a master may have open in the middle of it all, on top of what it keeps."""
    runners, clients = len(cluster.runners), len(cluster.clients)
    return (
        strangers
        + RUNNER_DESCRIPTORS * runners
        + ASKING_DESCRIPTORS * asking
        + CLIENT_DESCRIPTORS * clients
    )

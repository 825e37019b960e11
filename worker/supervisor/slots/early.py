"""Slots that start, and import a job, before the worker knows its master.

The worker of `qm run` waits for the master to listen. Its slots use that time.
"""

from __future__ import annotations

import contextlib

from queue_manager.settings import Settings

from ...processes.orphans import Orphans
from ...processes.tree import ProcessTree
from .seed import Seed


class EarlySlots:
    """The slots of a worker that adopts what they leave behind.

    settings: where the jobs are, and how many slots there are. job: what the slots import.
    """

    def __init__(self, settings: Settings, job: str) -> None:
        self.orphans = Orphans(adopts=True)
        self.seeds: list[Seed] = []
        with contextlib.suppress(OSError):  # the pool tries again, and says why it can't
            for _ in range(settings.worker_slots):
                self.seeds.append(Seed(settings.jobs_folder, self.orphans.new_mark(), job))

    def kill(self) -> None:
        """End them, with all that an import has started: they are not wanted."""
        for seed in self.seeds:
            ProcessTree(seed.process.pid).kill_now()

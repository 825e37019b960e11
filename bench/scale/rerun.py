"""How soon the tasks of a killed or frozen worker start elsewhere. Its slots end with it."""

from __future__ import annotations

import os
import signal
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from ..brief import sized
from ..figure import Figure
from ..rig import processes, run

WORKERS, SLOTS, TASKS = 4, 2, 4
KILLS, FREEZES = sized((100, 3), (3, 1))
MOST_KILLED_S, MOST_FROZEN_S = 1, 15
_GIVE_UP_S = 40.0


def measure() -> list[Figure]:
    """Measure with half of the slots idle, so that no task waits for a slot."""
    with ExitStack() as stack:
        folder = stack.enter_context(processes.scratch())
        _, port = stack.enter_context(processes.master(folder))
        crew = _Crew(stack, folder, port)
        killed = [gap for _ in range(KILLS) for gap in crew.end_one(signal.SIGKILL)]
        frozen = [max(crew.end_one(signal.SIGSTOP)) for _ in range(FREEZES)]
    cuts = statistics.quantiles(killed, n=100, method="inclusive")
    what = f"{KILLS} workers killed"
    return [
        Figure(f"{what}: a task of theirs starts again, p50", "s", (cuts[49],)),
        Figure(f"{what}: p99", "s", (cuts[98],), at_most=MOST_KILLED_S),
        Figure(f"{what}: the last one", "s", (max(killed),)),
        Figure("a frozen worker's tasks start again", "s", tuple(frozen)),
        Figure("the same, the last one", "s", (max(frozen),), at_most=MOST_FROZEN_S),
    ]


class _Crew:
    """Workers, and a few tasks that never end."""

    def __init__(self, stack: ExitStack, folder: Path, port: int) -> None:
        self._stack, self._folder, self._port = stack, folder, port
        self._starts = folder / "starts"
        self._hired = 0
        for _ in range(WORKERS):
            self._hire()
        run.start(port, ["stamped", f"count={TASKS}", f"starts={self._starts}"])
        processes.wait_until(lambda: len(self._latest()) == TASKS, "the first start of all")

    def end_one(self, how: signal.Signals) -> list[float]:
        """Kill or freeze the busiest worker. Returns seconds until each task runs elsewhere."""
        before = self._latest()
        where = [worker for worker, _ in before.values()]
        victim = max(set(where), key=where.count)
        lost = [task for task, (worker, _) in before.items() if worker == victim]
        slots = processes.children(victim)
        ended_at = time.monotonic()
        for pid in (victim, *slots):
            os.kill(pid, how)
        processes.wait_until(lambda: self._elsewhere(lost, victim), "a new start", _GIVE_UP_S)
        if how != signal.SIGKILL:
            for pid in (*slots, victim):
                os.kill(pid, signal.SIGKILL)
        self._hire()
        after = self._latest()
        return [after[task][1] - ended_at for task in lost]

    def _elsewhere(self, tasks: list[int], victim: int) -> bool:
        latest = self._latest()
        return all(latest[task][0] != victim for task in tasks)

    def _latest(self) -> dict[int, tuple[int, float]]:
        """The worker and the time of the last start of each task."""
        if not self._starts.exists():
            return {}
        lines = (line.split() for line in self._starts.read_text().splitlines())
        return {int(task): (int(worker), float(at)) for task, worker, at in lines}

    def _hire(self) -> None:
        self._hired += 1
        folder = self._folder / f"worker-{self._hired}"
        folder.mkdir()
        self._stack.enter_context(processes.worker(folder, self._port, SLOTS))

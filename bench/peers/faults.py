"""Two faults while 200 tasks of 0.2 s run: a worker is killed, or the broker, which comes back.

A killed worker is not started again: the other one has 40 s of work, which 60 s are enough for.
Tasks leave notes of their starts and ends; `judge` reads them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..brief import sized
from ..rig import processes
from . import work as works
from .catalogue import Peer
from .figures import Fate
from .station import WORKERS, Station

TASKS = sized(200, 20)
WATCH_S = sized(60.0, 4.0)
BEFORE = sized(10, 2)
"""The fault comes when so many tasks have ended."""
AWAY_S = sized(1.0, 0.2)
_BEGIN_S = 60.0
stopping = threading.Event()
"""Set when whoever waits for the faults does so no more."""
_LOOK_S = 0.05


@dataclass(frozen=True)
class Note:
    """A start or an end of a task, at a time of the monotonic clock."""

    task: int
    event: str
    worker: str
    pid: int
    at: float


def worker(peer: Peer, python: Path, folder: Path) -> Fate:
    """Kill one of two workers with all its processes, and watch."""

    def kill(station: Station, notes: Path) -> tuple[float, None]:
        tried_at: list[float] = []
        processes.wait_until(
            lambda: _killed(station, notes, tried_at), "a worker with a task", _BEGIN_S
        )
        return tried_at[-1], None

    return _watch(peer, python, folder, kill)


def broker(peer: Peer, python: Path, folder: Path) -> Fate:
    """Kill the broker, start it again after a second with the same folder and port, and watch."""

    def kill(station: Station, notes: Path) -> tuple[float, float]:
        fault_at = time.monotonic()
        station.kill_broker()
        time.sleep(AWAY_S)
        station.start_broker()
        return fault_at, time.monotonic()

    return _watch(peer, python, folder, kill)


def _watch(
    peer: Peer,
    python: Path,
    folder: Path,
    kill: Callable[[Station, Path], tuple[float, float | None]],
) -> Fate:
    notes, got = folder / "notes", folder / "got"
    notes.touch(0o666)
    with Station(peer, python, folder, at_once=1) as station:
        station.ask("ready", workers=WORKERS)
        station.tell("fault", count=TASKS, notes=str(notes), got=str(got))
        processes.wait_until(
            lambda: got.exists() and _ended(notes) >= BEFORE,
            f"{peer.name}: the first tasks",
            _BEGIN_S,
        )
        fault_at, back_at = kill(station, notes)
        while time.monotonic() < fault_at + WATCH_S and results(got) < TASKS:
            if stopping.wait(_LOOK_S):
                raise RuntimeError("stopped")
        return judge(read(notes), results(got), fault_at, back_at)


def judge(notes: list[Note], results: int, fault_at: float, back_at: float | None = None) -> Fate:
    """What became of the tasks. back_at: when a killed broker listened again, None for a worker.

    Run twice are those that came to their end more than once. A worker's death interrupts the tasks
    that were under way then and did not come to their end in that try.
    """
    ends = Counter(note.task for note in notes if note.event == "end")
    twice = sum(count > 1 for count in ends.values())
    starts = [note for note in notes if note.event == "start"]
    if back_at is not None:
        again = [note.at for note in starts if note.at >= back_at]
    else:
        tried = {(note.task, note.pid) for note in starts if note.at < fault_at}
        ended = {(note.task, note.pid) for note in notes if note.event == "end"}
        lost = {task for task, _ in tried - ended}
        if not lost:
            return Fate(results, twice, None, interrupted=False)
        again = [note.at for note in starts if note.at >= fault_at and note.task in lost]
    return Fate(results, twice, min(again) - fault_at if again else None)


def _killed(station: Station, notes: Path, tried_at: list[float]) -> bool:
    """Kill the worker of a task that has just begun. False when there is none at this moment.

    tried_at: gets the time between that begin and the kill. A re-run may start at once.
    """
    last = read(notes)[-1]
    if last.event != "start" or time.monotonic() - last.at > works.NAP_S / 2:
        return False
    tried_at.append(time.monotonic())
    if not station.workers:  # a process a task may be over before it is found
        return station.kill(last.pid)
    station.workers[int(last.worker)].kill()
    return True


def read(notes: Path) -> list[Note]:
    """The whole lines of the file, in order."""
    found = []
    for line in notes.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            task, event, worker, pid, at = line.split()
            found.append(Note(int(task), event, worker, int(pid), float(at)))
    return found


def results(got: Path) -> int:
    """How many results the client has: the lines behind the first."""
    return max(0, got.read_text().count("\n") - 1)


def _ended(notes: Path) -> int:
    return sum(note.event == "end" for note in read(notes))

"""The guardian ends the processes that a worker's slots leave behind when the supervisor is killed.

It is a process of its own, and waits for the end of its stdin. Lines `+PID BORN` and `-PID BORN`
say which slots there are. Lines `*PID BORN` and `/PID BORN` say which processes have left the group
of their slot. The kernel kills the slots themselves (PR_SET_PDEATHSIG), but not their children. The
supervisor starts the guardian as `python -I -S guardian.py MARK`. It also uses the functions of
this module. The module imports no other module of ours, so the process is small. It works on Linux;
elsewhere it finds no process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

ROUNDS = 50
"""How many rounds a kill has. A process that forks while it is being killed leaves a child."""

LIMIT = 4_096
"""How many descendants are looked at, so that a fork bomb does not hold up the supervisor."""

_GROUP, _SESSION, _BORN = 2, 3, 19  # fields of proc_pid_stat(5), counted from the state


class Process(NamedTuple):
    """A process. born: its start in ticks since boot. Its number alone may be reused later."""

    pid: int
    born: int


def main(mark: bytes) -> None:
    """Wait for the supervisor's end, then kill all processes that are left of its slots."""
    # A SIGTERM is for the whole control group, so the pipe will end soon.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    slots: set[Process] = set()
    strayed: set[Process] = set()
    for line in sys.stdin:
        told = slots if line[0] in "+-" else strayed
        one = Process(*map(int, line[1:].split()))
        told.add(one) if line[0] in "+*" else told.discard(one)
    for slot in slots:
        if process(slot.pid) == slot:  # the kernel has not killed it yet
            kill_below(slot.pid)
        with contextlib.suppress(OSError):
            os.killpg(slot.pid, signal.SIGKILL)
    kill(strayed)
    for _ in range(ROUNDS):
        if not kill_marked(mark):
            return


def kill_marked(mark: bytes) -> int:
    """Kill all processes with this mark in their environment, and return how many there were."""
    count = 0
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        with contextlib.suppress(OSError):  # it has ended, or is not ours
            if name.isdigit() and is_marked(name, mark):
                os.kill(int(name), signal.SIGKILL)
                count += 1
    return count


def is_marked(name: str, mark: bytes) -> bool:
    """Whether an entry of a process's environment begins with the mark."""
    with open(f"/proc/{name}/environ", "rb") as file:
        return any(entry.startswith(mark) for entry in file.read().split(b"\0"))


# --- the tree of processes ---


def process(pid: int) -> Process | None:
    """The process that has this number now."""
    fields = stat(pid)
    return Process(pid, int(fields[_BORN])) if fields else None


def group(pid: int) -> int:
    """The group of a process; 0 if it has ended."""
    fields = stat(pid)
    return int(fields[_GROUP]) if fields else 0


def session(pid: int) -> int:
    """The session of a process; 0 if it has ended."""
    fields = stat(pid)
    return int(fields[_SESSION]) if fields else 0


def stat(pid: int) -> list[bytes]:
    """The fields of proc_pid_stat(5) from the state on; none if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.readall().rpartition(b") ")[2].split()
    except OSError:
        return []


def children(pid: int) -> Iterator[int]:
    """The children of a process. The kernel lists them by thread."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            path = f"/proc/{pid}/task/{thread}/children"
            with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
                yield from map(int, file.readall().split())


def below(pid: int) -> list[Process]:
    """The descendants of a process, at most about `LIMIT`."""
    below_it: list[Process] = []
    parents = [pid]
    while parents and len(below_it) < LIMIT:
        for child in map(process, children(parents.pop())):
            if child is not None:
                below_it.append(child)
                parents.append(child.pid)
    return below_it


def kill_below(pid: int) -> None:
    """Suspend a process and its descendants, so that none can fork. Then kill the descendants."""
    suspended: set[Process] = set()
    _suspend(pid)
    for _ in range(ROUNDS):
        more = set(below(pid)) - suspended
        if not more:
            break
        for one in more:
            _suspend(one.pid)
        suspended |= more
    for one in suspended:
        with contextlib.suppress(OSError):
            os.kill(one.pid, signal.SIGKILL)


def _suspend(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGSTOP)


def kill(processes: Iterable[Process]) -> None:
    """Kill these processes and their descendants, if their numbers still mean them."""
    for one in processes:
        if process(one.pid) == one:
            kill_below(one.pid)
            with contextlib.suppress(OSError):
                os.kill(one.pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1].encode())

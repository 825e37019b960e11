"""Ends what a worker's slots leave behind when their supervisor is killed.

It is a process of its own, which waits for the end of its stdin. Lines `+PID BORN` and `-PID BORN`
say which slots there are, `*PID BORN` and `/PID BORN` what has left the group of one. The kernel
kills the slots themselves (PR_SET_PDEATHSIG), not their children. The supervisor starts it as
`python -I -S guardian.py MARK`, and finds processes with the same functions. It imports no other
module of ours, so it is small. Linux only; elsewhere nothing is found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

ROUNDS = 50
"""How often more is looked for: a process that forks while it is being killed leaves a child."""

LIMIT = 4_096
"""How many processes below one are looked at: a fork bomb must not hold up the supervisor."""

_GROUP, _SESSION, _BORN = 2, 3, 19  # fields of proc_pid_stat(5), counted from the state


class Process(NamedTuple):
    """A process. born: ticks since the machine's start, because its number may be reused later."""

    pid: int
    born: int


def main(mark: bytes) -> None:
    """Wait for the supervisor's end, then kill all that is left of its slots."""
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
    """Kill all processes with this in their environment, and return how many there were."""
    count = 0
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        with contextlib.suppress(OSError):  # it has ended, or is not ours
            if name.isdigit() and is_marked(name, mark):
                os.kill(int(name), signal.SIGKILL)
                count += 1
    return count


def is_marked(name: str, mark: bytes) -> bool:
    """Whether a process has an entry in its environment that begins like this."""
    with open(f"/proc/{name}/environ", "rb") as file:
        return any(entry.startswith(mark) for entry in file.read().split(b"\0"))


# --- the tree of processes ---


def process(pid: int) -> Process | None:
    """The process that has this number now."""
    fields = _stat(pid)
    return Process(pid, int(fields[_BORN])) if fields else None


def group(pid: int) -> int:
    """Of a process; 0 when it has ended."""
    fields = _stat(pid)
    return int(fields[_GROUP]) if fields else 0


def session(pid: int) -> int:
    """Of a process; 0 when it has ended."""
    fields = _stat(pid)
    return int(fields[_SESSION]) if fields else 0


def _stat(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].split()
    except OSError:
        return []


def children(pid: int) -> Iterator[int]:
    """The children of a process: of all its threads, as the kernel lists them."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as file:
                yield from map(int, file.read().split())


def below(pid: int) -> list[Process]:
    """The children of a process, their children, and so on, up to `LIMIT`."""
    below_it: list[Process] = []
    parents = [pid]
    while parents and len(below_it) < LIMIT:
        for child in map(process, children(parents.pop())):
            if child is not None:
                below_it.append(child)
                parents.append(child.pid)
    return below_it


def kill_below(pid: int) -> None:
    """Stop a process and all that is below it, so that none can fork; then kill all but itself."""
    stopped: set[Process] = set()
    _stop(pid)
    for _ in range(ROUNDS):
        more = set(below(pid)) - stopped
        if not more:
            break
        for one in more:
            _stop(one.pid)
        stopped |= more
    for one in stopped:
        with contextlib.suppress(OSError):
            os.kill(one.pid, signal.SIGKILL)


def _stop(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGSTOP)


def kill(processes: Iterable[Process]) -> None:
    """Kill these, if they are still the same, with all that is below them."""
    for one in processes:
        if process(one.pid) == one:
            kill_below(one.pid)
            with contextlib.suppress(OSError):
                os.kill(one.pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1].encode())

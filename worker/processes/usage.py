"""What a tree of processes takes of memory and processors, as the kernel tells it in /proc.

Source: Linux, proc_pid_stat(5) and proc_pid_statm(5). Elsewhere nothing is found.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NamedTuple

from .guardian import LIMIT, children, stat

_UTIME, _CSTIME = 11, 14
"""Fields of proc_pid_stat(5), counted from the state. Between them are `stime` and `cutime`."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class Taken(NamedTuple):
    """What a tree takes; 0 bytes: nobody knows.

    cpu_s: processor time since its processes began. That of a process that has ended counts on in
    the parent that has waited for it. branches: memory of each branch, in bytes.
    """

    memory_bytes: int
    cpu_s: float
    branches: dict[int, int]


class _Memory:
    """Adds up memory: what each process has for itself, and once the largest part that one shares.

    All of them share the interpreter and its libraries. The sum of their resident sets has these
    once for each slot. The kernel's own shares (PSS) take it 6 ms for 500 MiB of a process.
    """

    def __init__(self) -> None:
        self._own = self._shared = 0

    def add(self, resident: int, shared: int) -> None:
        """Add a process. Both are pages."""
        self._own += max(0, resident - shared)
        self._shared = max(shared, self._shared)

    @property
    def bytes(self) -> int:
        """The sum."""
        return (self._own + self._shared) * _PAGE_BYTES


def taken(root: int, branches: Collection[int]) -> Taken:
    """What a process takes with all below it, at most about `LIMIT` processes.

    branches: processes below it, of which each is also told by itself, with all that is below it.
    """
    whole, parts = _Memory(), {pid: _Memory() for pid in branches}
    ticks, count, ahead = 0, 0, [(root, 0)]
    while ahead and count < LIMIT:
        pid, branch = ahead.pop()
        fields = stat(pid)
        if not fields:
            continue
        count += 1
        branch = pid if pid in parts else branch
        ticks += sum(map(int, fields[_UTIME : _CSTIME + 1]))
        pages = _pages(pid)
        whole.add(*pages)
        if branch in parts:
            parts[branch].add(*pages)
        ahead += [(child, branch) for child in children(pid)]
    found = {pid: memory.bytes for pid, memory in parts.items() if memory.bytes}
    return Taken(whole.bytes, ticks / _TICKS, found)


def _pages(pid: int) -> tuple[int, int]:
    """What of a process is in memory, and how much of that it shares with others."""
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
            _, resident, shared, *_ = file.read().split()
    except (OSError, ValueError):
        return 0, 0
    return int(resident), int(shared)

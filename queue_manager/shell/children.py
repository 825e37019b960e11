"""The children that a command leaves behind: found and ended, in sessions of their own, too.

While a command runs, this process is the one to which a process comes whose parent has ended
(prctl(2), PR_SET_CHILD_SUBREAPER). So what a command has left is a child of this process then.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator

_PR_SET_CHILD_SUBREAPER = 36
_LOOK_S = 0.002

_libc = ctypes.CDLL(None)


def children() -> frozenset[int]:
    """The children of this process. It takes one call of the kernel if there are none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()
    own = os.getpid()
    return frozenset(int(name) for name in os.listdir("/proc") if _parent(name) == own)


def _parent(name: str) -> int:
    """The parent of a process; 0 of what is none."""
    if not name.isdecimal():
        return 0
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0


@contextlib.contextmanager
def adopting() -> Iterator[frozenset[int]]:
    """What loses its parent in this block becomes a child of this process.

    Gives the children that this process has before.
    """
    before = children()
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield before
    finally:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)


def end_children(before: frozenset[int], limit_s: float) -> int:
    """Kill all children but those of before, and what comes to us for that.

    limit_s: how many seconds that may take. What the kernel can't end stays. Returns how many.
    """
    until = time.monotonic() + limit_s
    ended: set[int] = set()
    while left := children() - before:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        ended |= left
        if time.monotonic() > until:
            break
        time.sleep(_LOOK_S)
    return len(ended)

"""Tells the loop when a child process has ended, without a thread for each child.

The child is not reaped here, so its number and that of its group still mean this child.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable

POLL_S = 0.02
"""How often a child is looked at, if the system has no descriptors of processes."""


def watch(pid: int, died: Callable[[], None]) -> None:
    """Have `died` called once in the running loop when a child has ended.

    Raises:
        OSError: there is no room for a descriptor.
    """
    loop = asyncio.get_running_loop()
    descriptor = pidfd(pid)
    if descriptor is None:
        _poll(loop, pid, died)
        return

    def readable() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        died()

    loop.add_reader(descriptor, readable)


def pidfd(pid: int) -> int | None:
    """A descriptor that is readable once a process has ended (pidfd_open(2)).

    None if the system has none: on macOS, before Linux 5.3, or under an older seccomp filter.

    Raises:
        OSError: there is no room for a descriptor.
    """
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return None
        raise


def has_ended(pid: int) -> bool:
    """Whether a child has ended, reaped or not."""
    with contextlib.suppress(ChildProcessError):
        how = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, pid, how) is not None
    return True


def _poll(loop: asyncio.AbstractEventLoop, pid: int, died: Callable[[], None]) -> None:
    if has_ended(pid):
        died()
    else:
        loop.call_later(POLL_S, _poll, loop, pid, died)

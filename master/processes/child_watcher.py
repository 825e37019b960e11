"""Lets the loop of this process learn that a child has ended, without a thread for each child."""

from __future__ import annotations

import asyncio
import os
import sys


def watch_children_by_pidfd() -> None:
    """Have the running loop watch child processes by descriptors (pidfd_open(2)), where it can.

    Python does so by itself from 3.12 on. Python 3.11 starts a thread for each child, which lives
    as long as the child. Where there are no such descriptors (macOS, Linux before 5.3, an old
    seccomp filter), the threads stay.
    """
    if sys.version_info < (3, 12) and _has_pidfds():
        present = asyncio.get_child_watcher()
        if isinstance(present, asyncio.PidfdChildWatcher) and present.is_active():
            return  # another one would know nothing of the children that there are
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())  # the policy does so for later loops only
        asyncio.set_child_watcher(watcher)


def _has_pidfds() -> bool:
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True

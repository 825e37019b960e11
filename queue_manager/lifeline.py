"""A child process that never outlives its parent, however the parent ends. Linux; else nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send a signal to this process when its parent is gone.

    Args:
        parent: the parent's process id; if that has died already, this process ends at once.
        number: the signal.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(0)

"""How a process ends, and who may look into it: a child never outlives its parent, however that
ends (Linux; else nothing); which signals ask for an end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_DUMPABLE = 4


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


def close_to_others() -> None:
    """Let no process of the same user read this one's memory, environment or descriptors.

    It leaves no core dumps either, and a debugger needs root. A program that it starts is as ever.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)


def stop_signals() -> list[signal.Signals]:
    """What asks a service to end in good order: SIGTERM, Ctrl-C, and the end of its terminal.

    Who starts it with `nohup` has it outlive the terminal.
    """
    found = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        found.append(signal.SIGHUP)
    return found

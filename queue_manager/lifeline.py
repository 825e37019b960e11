"""How a process ends, and who may look into it.

On Linux a child never outlives its parent, however the parent ends. This module also owns which
signals ask a service to end, and keeps the key out of what others may look into. It loads little:
a command that starts a worker does so before it has loaded anything else.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

KEY_VARIABLES = (
    *("QUEUE_AUTHKEY", "QUEUE_AUTHKEY_FILE"),
    *("MASTER_STORE", "MASTER_STORE_FILE"),
)
"""What has a key or a password, or leads to it."""

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_DUMPABLE = 4


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send a signal to this process when its parent has ended (Linux).

    Args:
        parent: the parent's process id. If the parent has ended already, this process ends at once.
        number: the signal.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(0)


def close_to_others() -> None:
    """Let no process of the same user read this one's memory, environment or descriptors (Linux).

    This process leaves no core dump then, and a debugger of it needs root. Programs that it starts
    are not affected.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)


def without_key(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without the key, for a process that runs code of a job."""
    return {name: text for name, text in environ.items() if name not in KEY_VARIABLES}


def hide_key() -> None:
    """Remove the key from this process's environment, which its children and `/proc` show.

    `unsetenv` alone would leave the text in the memory that `/proc/PID/environ` shows.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    for name in KEY_VARIABLES:
        place = libc.getenv(name.encode())
        if place:
            ctypes.memset(place, ord("*"), len(ctypes.string_at(place)))
        os.environ.pop(name, None)


def stop_signals() -> list[signal.Signals]:
    """The signals that ask a service to end in good order: SIGTERM, Ctrl-C, the terminal's end.

    A service that was started with `nohup` outlives its terminal.
    """
    asking = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        asking.append(signal.SIGHUP)
    return asking

"""How a master that is not the active one any more becomes a standby: by `exec` of itself.

Whatever its threads wait for, and whatever it has in memory of a queue that another master has by
now, is gone then. It keeps its process number and the socket that listens, so nobody who connects
meanwhile is refused.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from queue_manager.settings import Settings

log = logging.getLogger("quartermaster.master")

_GRACE_S = 0.3
_DEAD_S = 5.0
_LOOK_S = 0.01


def begin_again(settings: Settings, listening: int) -> NoReturn:
    """Replace this process by a new one of the same command, which takes the socket over.

    The runners, the pages and what they have started end first: the queue that they know is gone.
    """
    end_children()
    os.set_inheritable(listening, True)
    words = command_with(sys.orig_argv, listening)
    logging.shutdown()
    os.execve(sys.executable, words, environment_with(dict(os.environ), settings))


def command_with(words: list[str], listening: int) -> list[str]:
    """The command line, with the number of a socket in the place of one that it had."""
    kept = [word for word in words if word != "--workers-gone"]
    if "--listening" in kept:
        at = kept.index("--listening")
        del kept[at : at + 2]
    return [*kept, "--listening", str(listening)]


def environment_with(environ: dict[str, str], settings: Settings) -> dict[str, str]:
    """An environment that has again what was hidden from others at the start (`hide_key`)."""
    hidden = {
        "QUEUE_AUTHKEY": settings.queue_authkey,
        "QUEUE_AUTHKEY_FILE": settings.queue_authkey_file,
        "MASTER_STORE": settings.master_store,
        "MASTER_STORE_FILE": settings.master_store_file,
    }
    return environ | {name: str(value) for name, value in hidden.items() if value is not None}


def end_children() -> None:
    """End all child processes with their groups: they get a moment, then no more."""
    children = _children()
    for number, patience_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, _DEAD_S)):
        for pid in children:
            _signal(pid, number)
        until = time.monotonic() + patience_s
        while children and time.monotonic() < until:
            children = [pid for pid in children if not _has_ended(pid)]
            time.sleep(_LOOK_S)


def _children() -> list[int]:
    found: list[int] = []
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
            os.killpg(pid, signal.SIGCONT)
        else:
            os.kill(pid, number)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # the loop was faster
        return True

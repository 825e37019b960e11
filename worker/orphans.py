"""Processes that a slot's tasks have left behind: found by a mark, killed when the slot has ended.

A slot's process group is killed with it. What has left the group (setsid) is found otherwise: it
has the slot's mark in its environment, and comes to the supervisor when its own parent ends (a
subreaper, prctl(2)). Linux only; elsewhere nothing is found.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from .slots import MARK

log = logging.getLogger("quartermaster.worker")

AGAIN_S = 0.05
CLOSE_S = 0.1

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_WARDEN = Path(__file__).with_name("warden.py")


def adopt(on: bool = True) -> None:
    """Become the parent of whatever descendant loses its own."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on))


class Orphans:
    """What slots leave behind, and the warden that outlives the supervisor for a moment.

    Args:
        adopts: whether this process is a subreaper; then its only children are slots, the
            warden, and what comes to it.
    """

    def __init__(self, adopts: bool = False) -> None:
        self._worker = uuid.uuid4().hex
        self._adopts = adopts
        self._count = 0
        self._marks: dict[int, str] = {}
        self._warden: subprocess.Popen[bytes] | None = None
        if adopts:
            adopt()

    def new_mark(self) -> str:
        """For the environment of a new slot."""
        self._count += 1
        return f"{self._worker}.{self._count}"

    def started(self, pid: int, mark: str) -> None:
        """A slot is there."""
        self._marks[pid] = mark
        self._tell(f"+{pid}")

    def ended(self, pid: int) -> None:
        """A slot has ended and was reaped."""
        self._marks.pop(pid, None)
        self._tell(f"-{pid}")
        self.sweep()

    def sweep(self) -> None:
        """Reap what is dead, kill what belongs to no slot any more; again for its children."""
        if not self._adopts:
            return
        if self._warden is not None and self._warden.poll() is not None:
            self._watch()
        living, killed = set(self._marks.values()), False
        known = {*self._marks, self._warden.pid if self._warden is not None else 0}
        for pid in _children():
            if pid in known:
                continue
            with contextlib.suppress(OSError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0 and self._left(pid, living):
                    os.kill(pid, signal.SIGKILL)
                    killed = True
        if killed:
            asyncio.get_running_loop().call_later(AGAIN_S, self.sweep)

    def _left(self, pid: int, living: set[str]) -> bool:
        """Whether a child of ours was left by a slot that has ended; one without a mark stays."""
        mark = _mark(pid)
        return mark.startswith(self._worker) and mark not in living

    def close(self) -> None:
        """The worker ends: the warden does the rest."""
        if self._warden is not None and self._warden.stdin is not None:
            with contextlib.suppress(OSError):
                self._warden.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._warden.wait(CLOSE_S)

    # --- the warden ---

    def _tell(self, line: str) -> None:
        if self._warden is None:
            self._watch()
        elif self._warden.stdin is not None:
            with contextlib.suppress(OSError):  # it is dead: `sweep` starts another
                self._warden.stdin.write(f"{line}\n".encode())

    def _watch(self) -> None:
        """Start the process that kills what the slots leave if this one is killed."""
        words = [sys.executable, "-I", "-S", str(_WARDEN), f"{MARK}={self._worker}."]
        try:
            self._warden = subprocess.Popen(
                words,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            log.error("can't start the warden of the slots: %s", error)
            return
        assert self._warden.stdin is not None  # a pipe was asked for
        os.set_blocking(self._warden.stdin.fileno(), False)
        for pid in self._marks:
            self._tell(f"+{pid}")


def _children() -> Iterator[int]:
    """The children of this process: of all its threads, as the kernel lists them."""
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            yield from map(int, task.read_text().split())


def _mark(pid: int) -> str:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    start = f"{MARK}=".encode()
    return next(
        (e[len(start) :].decode("ascii", "replace") for e in entries if e.startswith(start)), ""
    )

"""Finds the processes that a slot's tasks have left behind, and kills them after the slot's end.

A slot's process group and its descendants are killed with the slot. Other processes become children
of the supervisor when their parent ends, because it is a subreaper (prctl(2)). They are known by
the slot's mark in their environment, or because they were seen below the slot. This works on Linux;
elsewhere no process is found.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from .guardian import Process, below, children, group, kill, process, session
from .hunter import hunter

log = logging.getLogger("quartermaster.worker")

MARK = "QUARTERMASTER_SLOT"
"""A variable in a slot's environment. Its children are known by it after the slot's end."""

LOOK_AGAIN_S = 0.05
TURN_S = 0.02
"""How long the supervisor looks at its new children in one turn of its loop."""

CLOSE_S = 0.1

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_GUARDIAN = Path(__file__).with_name("guardian.py")


def adopt(on: bool = True) -> None:
    """Become the parent of every descendant whose own parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on))


class Orphans:
    """The processes that slots leave behind, and the guardian.

    Args:
        adopts: whether this process becomes a subreaper. Then its children are slots, the guardian,
            helpers and orphans.
        helpers: the process ids of children that somebody else here waits for.
    """

    def __init__(
        self, adopts: bool = False, helpers: Callable[[], set[int]] = lambda: set()
    ) -> None:
        self._helpers = helpers
        self._worker = uuid.uuid4().hex
        self._adopts = adopts
        self._looking = False
        self._hunted: set[Process] = set()
        self._count = 0
        self._marks: dict[int, str] = {}
        self._slots: dict[int, Process] = {}
        self._ahead: set[int] = set()
        self._owners: dict[Process, set[int]] = {}
        self._guardian: subprocess.Popen[bytes] | None = None
        if adopts:
            adopt()

    def new_mark(self) -> str:
        """Make a mark for the environment of a new slot."""
        self._count += 1
        return f"{self._worker}.{self._count}"

    def started(self, pid: int, mark: str) -> None:
        """Note a new slot. It runs no code of a user until `begins`."""
        self._ahead.add(pid)
        self._marks[pid] = mark
        self._slots[pid] = process(pid) or Process(pid, 0)
        self._tell("+", self._slots[pid])

    def begins(self, pid: int) -> None:
        """Note that a slot may run code of a user from now on, and leave processes behind."""
        self._ahead.discard(pid)

    def ended(self, pid: int) -> None:
        """Note that a slot has ended and was reaped."""
        self._marks.pop(pid, None)
        slot = self._slots.pop(pid, None)
        if slot is not None:
            self._tell("-", slot)
        self._reap(self._suspects if pid in self._ahead else {pid})
        self._ahead.discard(pid)

    @property
    def _suspects(self) -> set[int]:
        """The slots that may have left a process behind."""
        return self._marks.keys() - self._ahead

    def sweep(self) -> None:
        """Look at the descendants of slots, and end orphans. This is called each second."""
        if not self._looking:
            self._looking = True
            slots, known = list(self._marks), list(self._owners)
            loop = asyncio.get_running_loop()
            hunter.do(lambda: self._look(loop, slots, known))
        self._reap(self._suspects)

    def _look(
        self, loop: asyncio.AbstractEventLoop, slots: list[int], known: list[Process]
    ) -> None:
        """Look for strayed processes, in a thread, because there may be thousands."""
        alive = {one for one in known if process(one.pid) == one}
        strayed = {
            one: slot for slot in slots for one in below(slot) if group(one.pid) not in (slot, 0)
        }
        with contextlib.suppress(RuntimeError):  # the worker has ended
            loop.call_soon_threadsafe(self._note, set(known) - alive, strayed)

    def _note(self, gone: set[Process], strayed: dict[Process, int]) -> None:
        """Remember processes that have left their slot's group. They may lose the mark, too."""
        self._looking = False
        known = {one: slots for one, slots in self._owners.items() if one not in gone}
        known |= {one: {slot} for one, slot in strayed.items() if slot in self._marks}
        for one in known.keys() - self._owners.keys():
            self._tell("*", one)
        for one in self._owners.keys() - known.keys():
            self._tell("/", one)
        self._owners = known

    def _reap(self, slots: set[int]) -> None:
        """Reap ended children, kill orphans, and look once more for the children of those.

        slots: the slots that a process of unknown origin may belong to.
        """
        if not self._adopts:
            return
        if self._guardian is not None and self._guardian.poll() is not None:
            self._watch()
        look_again = False
        until = time.monotonic() + TURN_S
        present = list(children(os.getpid()))
        # Helpers are asked for behind that: one that starts meanwhile is not among the present.
        known = {*self._marks, *self._helpers()}
        known.add(self._guardian.pid if self._guardian is not None else 0)
        for pid in present:
            if pid in known:
                continue
            if time.monotonic() > until:
                look_again = True
                break
            with contextlib.suppress(OSError):
                ended = os.waitpid(pid, os.WNOHANG)[0] != 0
                one = None if ended else process(pid)
                left = one is not None and self._left(one, slots)
                if one is not None and left:
                    self._hunt(one)
                look_again = look_again or ended or left
        if look_again:
            asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._reap, slots)

    def _hunt(self, one: Process) -> None:
        if one not in self._hunted:
            self._hunted.add(one)
            loop = asyncio.get_running_loop()
            hunter.do(lambda: self._kill(loop, one))

    def _kill(self, loop: asyncio.AbstractEventLoop, one: Process) -> None:
        """Kill a process, in a thread."""
        kill([one])
        with contextlib.suppress(RuntimeError):  # the worker has ended
            loop.call_soon_threadsafe(self._hunted.discard, one)

    def _left(self, one: Process, slots: set[int]) -> bool:
        """Whether a child of ours was left behind by a slot that has ended."""
        mark = _mark(one.pid)
        if mark.startswith(self._worker):
            return mark not in self._marks.values()
        if session(one.pid) == os.getsid(0):
            return False
        if os.getpid() == 1 and one not in self._owners:  # such as what `docker exec` leaves
            return False
        if one not in self._owners:
            self._owners[one] = slots
            self._tell("*", one)
        return not self._owners[one] & self._marks.keys()

    def close(self) -> None:
        """Close the guardian's stdin at the worker's end. The guardian does the rest."""
        if self._guardian is not None and self._guardian.stdin is not None:
            with contextlib.suppress(OSError):
                self._guardian.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guardian.wait(CLOSE_S)

    # --- the guardian ---

    def _tell(self, sign: str, one: Process) -> None:
        if self._guardian is None:
            self._watch()
        elif self._guardian.stdin is not None and not self._guardian.stdin.closed:
            with contextlib.suppress(OSError):  # it is dead: `sweep` starts another
                self._guardian.stdin.write(f"{sign}{one.pid} {one.born}\n".encode())

    def _watch(self) -> None:
        """Start the guardian."""
        args = [sys.executable, "-I", "-S", str(_GUARDIAN), f"{MARK}={self._worker}."]
        try:
            self._guardian = subprocess.Popen(
                args,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            log.error("can't start the guardian of the slots: %s", error)
            return
        assert self._guardian.stdin is not None  # a pipe was asked for
        os.set_blocking(self._guardian.stdin.fileno(), False)
        for slot in self._slots.values():
            self._tell("+", slot)
        for one in self._owners:
            self._tell("*", one)


def _mark(pid: int) -> str:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    start = f"{MARK}=".encode()
    return next(
        (e[len(start) :].decode("ascii", "replace") for e in entries if e.startswith(start)), ""
    )

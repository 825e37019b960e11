"""One slot from outside: its process, from the start to the end.

This module owns how a slot is started, watched and killed. Other modules decide which leases it
gets, and what its end means for its tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import IO

from queue_manager.lifeline import without_key
from queue_manager.ranges import Ranges

from ...ipc.pipe import BROKEN, Cancel, Give, Report
from ...ipc.shared_page import ERR, OUT, SharedPage
from ...processes.death import has_ended, watch
from ...processes.orphans import MARK
from ...processes.tree import ProcessTree
from .lease import OpenLease
from .output import OutputTail, Relays, Stream
from .slot_load import SlotLoad
from .slot_pipe import SlotPipe

GRACE_S = 2.0
"""The time between SIGTERM and SIGKILL, in seconds."""

EOF_S = 0.5
"""How long a slot may live after its pipe was closed. Then it is killed."""

_CLOSED = "its pipe to the worker was closed"


@dataclass(frozen=True)
class KillReason:
    """Why a slot is being ended, and which task is charged for it. Without a lease none is.

    is_late: the task took longer than its `timeout_s`.
    """

    why: str
    lease: OpenLease | None = None
    position: int | None = None
    is_late: bool = False

    def charges(self, lease: OpenLease, position: int) -> bool:
        """Whether this task is charged."""
        return lease is self.lease and self.position in (None, position)


class State(Enum):
    """Where a slot is in its life."""

    WORKING = auto()
    LEAVING = auto()
    """It ends by itself: we asked it to, or it has announced its end."""
    DIED = auto()
    """It has ended without an announcement."""
    LEFT = auto()
    """It has ended as announced."""


class SlotProcess:
    """One process that runs `work`, from its start to its end. Then another one replaces it.

    deaths: how many slots in its place died in a row without finishing a task. kill_reason: why it
    is being killed. suspended_s: how long it has been suspended (SIGSTOP) so far. killed_why: why
    somebody else has killed it, as the end of a line; empty: that is not known.
    """

    def __init__(
        self,
        folder: Path,
        relays: Relays,
        on_report: Callable[[SlotProcess, Report], None],
        on_end: Callable[[SlotProcess], None],
        deaths: int = 0,
        mark: str = "",
    ) -> None:
        self._on_end, self.deaths, self.mark = on_end, deaths, mark
        self.load = SlotLoad()
        self.kill_reason: KillReason | None = None
        self.suspended_s = 0.0
        self.killed_why = ""
        self._state = State.WORKING
        self._broken_by = ""
        self.page = SharedPage.create()
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            self._process = _start(theirs, self.page, folder, mark)
        except OSError:
            ours.close()
            self.page.free()
            raise
        finally:
            theirs.close()
        self._tree = ProcessTree(self._process.pid)
        self._pipe = SlotPipe(ours, partial(on_report, self), self._pipe_closed, self._break)
        self._tail = OutputTail()
        self._streams = [
            Stream(_asked_for(self._process.stdout), OUT, relays.out, self._tail),
            Stream(_asked_for(self._process.stderr), ERR, relays.err, self._tail),
        ]
        self._watch()

    @property
    def pid(self) -> int:
        """The id of the process, which also leads its group and session."""
        return self._process.pid

    @property
    def held(self) -> list[OpenLease]:
        """Its leases, the oldest first."""
        return self.load.held

    @property
    def alive(self) -> bool:
        """Whether its end has not been seen yet."""
        return self._state in (State.WORKING, State.LEAVING)

    @property
    def leaving(self) -> bool:
        """Whether it ends, or has ended, by itself."""
        return self._state in (State.LEAVING, State.LEFT)

    @property
    def fit(self) -> bool:
        """Whether it may get another lease."""
        return self._state is State.WORKING and not self.kill_reason

    @property
    def task(self) -> tuple[int, int] | None:
        """Run and number of the task that it runs; None: it runs none, or several at a time."""
        if self.load.concurrency == 1:
            for lease in self.held:
                position = self.page.rows[lease.row].look().position
                if position >= 0:
                    return lease.given.run, lease.given.first + position
        return None

    def evidence(self, lease: OpenLease, position: int) -> str:
        """The end of stderr. If one task runs at a time, it is that of this task alone."""
        if self.load.concurrency > 1:
            return self._tail.errors
        return self._tail.errors_since(self.page.output.starts(lease.given.number, position)[ERR])

    def printed(self, lease: OpenLease, position: int) -> str:
        """The end of what a task printed to both streams, as far as it is known."""
        return self._tail.since(self.page.output.starts(lease.given.number, position))

    @property
    def suspended(self) -> bool:
        """Whether SIGSTOP or a debugger has suspended its process (Linux; elsewhere False)."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_bytes()
        except OSError:
            return False
        return stat.rpartition(b") ")[2][:1] in (b"T", b"t")

    # --- its leases ---

    def takes(self, lease: OpenLease) -> bool:
        """Whether this lease may be given to it now."""
        return self.fit and self.load.takes(lease)

    def starts_now(self, lease: OpenLease) -> bool:
        """Whether this lease would probably start at once."""
        return self.fit and self.load.starts_now(lease)

    @property
    def places(self) -> int:
        """How many leases of one task would start in it at once."""
        return self.load.places if self.fit else 0

    @property
    def room(self) -> int:
        """How many more leases it should have."""
        return self.load.room if self.fit else 0

    def give(self, lease: OpenLease, max_bytes: int) -> None:
        """Hand a lease to the process; it waits in the pipe behind those before it."""
        self.load.add(lease)
        given = lease.given
        self.page.rows[lease.row].reset(given.start, given.stop)
        where = lease.folder, lease.environment
        self._pipe.send(Give(given, lease.row, lease.version, max_bytes, lease.alone, *where))

    def take_back(self, lease: OpenLease, least: int = 0) -> list[tuple[int, int]]:
        """The ranges behind what has started, which now never will.

        least: so many tasks of the lease stay, started or not.
        """
        row = self.page.rows[lease.row]
        first = max(row.look().unstarted, lease.given.start + least)
        return lease.cut(row.lower(first))

    def cancel(self, lease: OpenLease, ranges: Ranges) -> None:
        """Have an async slot cancel tasks; it reports as usual what becomes of them."""
        self._pipe.send(Cancel(lease.given.number, ranges))

    # --- its end ---

    def leave(self) -> None:
        """It has said that it ends by itself, perhaps in a report that was read after its end."""
        self._state = State.LEAVING if self.alive else State.LEFT

    def close(self) -> None:
        """Let it end by itself, as soon as it has nothing to do."""
        self.leave()
        self._pipe.end_writing()
        self._loop.call_later(GRACE_S, self.kill)

    def terminate(self, kill_reason: KillReason) -> None:
        """SIGTERM, after 2 s SIGKILL, for the process and its children."""
        self.kill_reason = self.kill_reason or kill_reason
        self._tree.terminate()
        self._loop.call_later(GRACE_S, self.kill)

    def kill(self) -> None:
        """SIGKILL, soon, for the process and all that is below it."""
        self._tree.kill()

    def _watch(self) -> None:
        """Have the loop notice its end. Without room for a descriptor the slot is given up."""
        try:
            watch(self.pid, lambda: self._tree.kill_rest(self._tell_of_end))
        except OSError:
            self._tree.kill_now()
            self._on_end = _nobody
            self._ended()
            raise

    def _tell_of_end(self) -> None:
        """In another thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended before the slot
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        self._state = State.LEFT if self.leaving else State.DIED
        self._pipe.read(to_end=True)  # what it finished before its end counts
        for stream in self._streams:
            stream.close()
        self._pipe.close()
        self._process.wait()
        self.page.free()
        self._on_end(self)

    @property
    def terminated(self) -> bool:
        """Whether it has ended by a SIGTERM that was not ours."""
        return self._ended_by(signal.SIGTERM)

    @property
    def killed(self) -> bool:
        """Whether it has ended by a SIGKILL that was not ours."""
        return self._ended_by(signal.SIGKILL) and not self.broken

    def _ended_by(self, number: signal.Signals) -> bool:
        """Whether it has ended by a signal that was not ours."""
        return self._process.returncode == -number and not (self.kill_reason or self.leaving)

    @property
    def broken(self) -> bool:
        """Whether it has ended because its pipe was found broken."""
        return bool(self._broken_by) or self._process.returncode == BROKEN

    @property
    def cause(self) -> str:
        """How the process ended: exit code or signal."""
        code = self._process.returncode
        if self.broken:
            return self._broken_by or _CLOSED
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return f"killed by {signal.Signals(-code).name}{self.killed_why}"
        except ValueError:
            return f"killed by signal {-code}"

    # --- the pipe ---

    def _pipe_closed(self) -> None:
        """A slot that ends closes its pipe; one that goes on after that can't report any more."""
        self._loop.call_later(EOF_S, self._end_mute)

    def _end_mute(self) -> None:
        if self.alive and not has_ended(self.pid):
            self._break(_CLOSED)

    def _break(self, why: str) -> None:
        """End it on account of the task that did this to its pipe."""
        if not self._broken_by and not self.leaving:
            self._broken_by = why
            self.kill()


def _nobody(_: SlotProcess) -> None:
    pass


def _asked_for(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # a pipe was asked for
    return stream


def _start(
    theirs: socket.socket, shared_page: SharedPage, folder: Path, mark: str
) -> subprocess.Popen[bytes]:
    """Start the process in a session of its own: a terminal's Ctrl-C is the supervisor's."""
    args = [theirs.fileno(), shared_page.descriptor, os.getpid(), folder.absolute()]
    return subprocess.Popen(
        # Where the supervisor takes no modules of the working folder for ours, no slot does.
        [sys.executable, *["-P"] * sys.flags.safe_path, "-m", "worker.slot.main", *map(str, args)],
        # No bytecode: on a full disk Python 3.11 leaves half a file, which no later slot can read.
        env={**without_key(os.environ), MARK: mark, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[theirs.fileno(), shared_page.descriptor],
        start_new_session=True,
    )

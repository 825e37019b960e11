"""The supervisor's handle of one slot: its process, its pipe, its shared page, what it prints.

Owns how a slot is started, listened to and killed. What to give to it and what its end means
for the tasks is decided by the supervisor.
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
from pathlib import Path
from typing import IO

import msgspec

from queue_manager.authkey import without_key
from queue_manager.ranges import Ranges

from ..ipc.pipe import BROKEN, Cancel, Frames, Give, Report, decode_report, frame
from ..ipc.shared_page import ERR, OUT, ROWS, SharedPage
from ..processes.death import has_ended, watch
from ..processes.guardian import Process, below, kill, kill_below
from ..processes.hunter import hunter
from ..processes.orphans import MARK
from .lease import OpenLease
from .output import OutputTail, Relays, Stream

GRACE_S = 2.0
"""Between SIGTERM and SIGKILL, in seconds."""

EOF_S = 0.5
"""A slot whose pipe has ended is about to end itself; one that does not is ended by us."""

_CLOSED = "its pipe to the worker was closed"
_GARBLED = "something else than reports came through its pipe to the worker"

_READ_BYTES = 32 * 1024  # a larger buffer costs page faults at each read


@dataclass(frozen=True)
class KillReason:
    """Why a slot is being ended, and on account of which task; None of one is nobody's fault."""

    why: str
    lease: OpenLease | None = None
    position: int | None = None

    def charges(self, lease: OpenLease, position: int) -> bool:
        """Whether it is this task that has to answer for it."""
        return lease is self.lease and self.position in (None, position)


class Slot:
    """One process that runs `work`, from its start to its end; then another takes its place.

    held: its leases, the oldest first. job, version: of the last lease. warm: versions of the
    jobs that it has imported and set up. folder: of code that came from the master, which it
    may import more from. quick: its last lease was short, so the next may wait in
    its pipe. deaths: how many slots in its place died in a row without finishing a task.
    kill_reason: why it is being killed. stopped_s: for how long it has been seen stopped.
    """

    def __init__(
        self,
        folder: Path,
        relays: Relays,
        on_report: Callable[[Slot, Report], None],
        on_end: Callable[[Slot], None],
        deaths: int = 0,
        mark: str = "",
    ) -> None:
        self._on_report, self._on_end = on_report, on_end
        self.mark = mark
        self.held: list[OpenLease] = []
        self.job, self.version = "", ""
        self.warm: dict[str, str] = {}
        self.folder = ""
        self.quick = False
        self.concurrency = 1
        self.deaths = deaths
        self.kill_reason: KillReason | None = None
        self.stopped_s = 0.0
        self._broke = ""
        self.leaving = False
        self.over = False
        self._below: list[Process] = []  # the hunter's alone, as is the next
        self._reapable = False
        self.page = SharedPage.create()
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._unsent = bytearray()
        self._pipe, theirs = socket.socketpair()
        self._pipe.setblocking(False)
        try:
            self._process = _start(theirs, self.page, folder, mark)
        except OSError:
            self._pipe.close()
            self.page.free()
            raise
        finally:
            theirs.close()
        self._tail = OutputTail()
        self._streams = [
            Stream(_pipe(self._process.stdout), OUT, relays.out, self._tail),
            Stream(_pipe(self._process.stderr), ERR, relays.err, self._tail),
        ]
        self._loop.add_reader(self._pipe, self._read_pipe)
        self._watch()

    @property
    def pid(self) -> int:
        """Of the process, which is also the leader of its group and session."""
        return self._process.pid

    @property
    def fit(self) -> bool:
        """Whether it can take another lease at all."""
        return not (self.kill_reason or self.leaving or self.over)

    def evidence(self, lease: OpenLease, position: int) -> str:
        """The end of stderr: of the running task alone, where one runs at a time."""
        if self.concurrency > 1:
            return self._tail.errors
        return self._tail.errors_since(self.page.output.starts(lease.given.number, position)[ERR])

    def printed(self, lease: OpenLease, position: int) -> str:
        """The end of what a task printed, both streams together, as far as it can be told."""
        return self._tail.since(self.page.output.starts(lease.given.number, position))

    @property
    def stopped(self) -> bool:
        """Whether its process is stopped, by SIGSTOP or a debugger (Linux; else never)."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_bytes()
        except OSError:
            return False
        return stat.rpartition(b") ")[2][:1] in (b"T", b"t")

    def room(self, lease: OpenLease) -> bool:
        """Whether this lease may be given to it now."""
        if not self.fit or not self.held:
            return self.fit
        return self._joins(lease) and self._takes_more

    def starts_now(self, lease: OpenLease) -> bool:
        """Whether this lease would start at once, as far as can be told."""
        if not self.fit or not self.held:
            return self.fit
        return self._joins(lease) and self.concurrency > 1 and self.places > 0

    def _joins(self, lease: OpenLease) -> bool:
        """Whether it can be held beside the others: a slot runs one job at a time."""
        numbers = {other.given.number for other in self.held}
        same = (lease.given.job, lease.version) == (self.job, self.version)
        return same and len(self.held) < ROWS and lease.given.number not in numbers

    @property
    def places(self) -> int:
        """How many leases of one task would start in it at once."""
        if not self.fit:
            return 0
        if self.concurrency > 1:
            flying = sum(lease.weight for lease in self.held)
            return max(0, min(self.concurrency - flying, ROWS - len(self.held)))
        return 0 if self.held else 1

    def is_warm(self, lease: OpenLease) -> bool:
        """Whether it has this lease's job imported and set up."""
        return self.warm.get(lease.given.job) == lease.version

    @property
    def load(self) -> int:
        """How many leases it holds that were not taken back."""
        return sum(1 for lease in self.held if lease.left)

    @property
    def appetite(self) -> int:
        """How many leases it should have, held and on their way."""
        if not self.fit:
            return 0
        if self.concurrency > 1:
            return self.load + (2 if self._takes_more and len(self.held) < ROWS else 0)
        return 2 if self.quick else 1

    @property
    def _takes_more(self) -> bool:
        if self.concurrency > 1:
            # As many again wait in it: what takes a hundredth of a second is over long before
            # more could come from the master.
            return sum(lease.weight for lease in self.held) < 2 * self.concurrency
        return self.quick and len(self.held) < 2

    def give(self, lease: OpenLease, max_bytes: int) -> None:
        """Hand a lease to the process; it waits in the pipe behind those before it."""
        taken = {other.row for other in self.held}
        lease.row = next(row for row in range(ROWS) if row not in taken)
        given = lease.given
        self.page.rows[lease.row].reset(given.start, given.stop)
        if (given.job, lease.version) != (self.job, self.version):
            self.concurrency = 1  # until it says how many it runs at a time
        self.job, self.version = given.job, lease.version
        self.folder = lease.folder or self.folder
        self.held.append(lease)
        self._send(
            frame(Give(given, lease.row, lease.version, max_bytes, lease.alone, lease.folder))
        )

    def take_back(self, lease: OpenLease, least: int = 0) -> list[tuple[int, int]]:
        """The ranges behind what has started, which now never will.

        least: so many tasks of the lease stay, started or not.
        """
        row = self.page.rows[lease.row]
        first = max(row.look().unstarted, lease.given.start + least)
        return lease.cut(row.lower(first))

    def cancel(self, lease: OpenLease, ranges: Ranges) -> None:
        """Have an async slot let go of tasks; what becomes of them is reported as ever."""
        self._send(frame(Cancel(lease.given.number, ranges)))

    # --- its end ---

    @property
    def alive(self) -> bool:
        """Whether its end has not been seen yet."""
        return not self.over

    def close(self) -> None:
        """Let it end by itself, as soon as it has nothing to do."""
        self.leaving = True
        with contextlib.suppress(OSError):
            self._pipe.shutdown(socket.SHUT_WR)
        self._loop.call_later(GRACE_S, self.kill)

    def terminate(self, kill_reason: KillReason) -> None:
        """SIGTERM, after 2 s SIGKILL, for the process and its children. reason: why."""
        self.kill_reason = self.kill_reason or kill_reason
        hunter.do(self._ask)
        self._loop.call_later(GRACE_S, self.kill)

    def kill(self) -> None:
        """SIGKILL, soon, for the process and all that is below it, whatever group that is in."""
        hunter.do(self._hunt_down)

    def _ask(self) -> None:
        if not self._reapable:
            self._below += below(self.pid)  # what is in no group of ours dies when this has ended
            self._signal(signal.SIGTERM)

    def _hunt_down(self) -> None:
        if not self._reapable:
            kill_below(self.pid)
            self._signal(signal.SIGKILL)
            kill(self._below)
            self._below.clear()

    def _last_hunt(self) -> None:
        """It has ended: its children, if it left any; then its number may be another's."""
        self._hunt_down()
        self._reapable = True
        with contextlib.suppress(RuntimeError):  # the loop has ended before the slot
            self._loop.call_soon_threadsafe(self._ended)

    def _signal(self, number: int) -> None:
        if not self._reapable:  # so the number is still this group's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _watch(self) -> None:
        """Notice its end; without room for a descriptor it is given up, another is tried later."""
        try:
            watch(self.pid, lambda: hunter.do(self._last_hunt))
        except OSError:
            self._hunt_down()
            self._reapable = True
            self._on_end = _nobody
            self._ended()
            raise

    def _ended(self) -> None:
        self.over = True
        self._read_pipe()
        for stream in self._streams:
            stream.close()
        self._loop.remove_reader(self._pipe)
        self._loop.remove_writer(self._pipe)
        self._pipe.close()
        self._process.wait()
        self.page.free()
        self._on_end(self)

    @property
    def terminated(self) -> bool:
        """Whether it has ended by a SIGTERM that was not ours."""
        code = self._process.returncode
        return code == -signal.SIGTERM and not (self.kill_reason or self.leaving)

    @property
    def broken(self) -> bool:
        """Whether it has ended because its pipe was found broken, which is no moment too soon."""
        return bool(self._broke) or self._process.returncode == BROKEN

    @property
    def cause(self) -> str:
        """How the process ended: exit code or signal."""
        code = self._process.returncode
        if self.broken:
            return self._broke or _CLOSED
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"

    # --- the pipe ---

    def _send(self, data: bytes) -> None:
        self._unsent += data
        self._write()

    def _write(self) -> None:
        try:
            sent = self._pipe.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:  # it has died; `_ended` comes
            sent = len(self._unsent)
        del self._unsent[:sent]
        if self._unsent:
            self._loop.add_writer(self._pipe, self._write)
        else:
            self._loop.remove_writer(self._pipe)

    def _read_pipe(self) -> None:
        """Read all that is there: at its end, what it finished before counts."""
        while True:
            try:
                data = self._pipe.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._loop.remove_reader(self._pipe)
                self._loop.call_later(EOF_S, self._end_mute)
                return
            self._take_in(data)
            if len(data) < _READ_BYTES and not self.over:
                return  # the loop calls again if there is more

    def _take_in(self, data: bytes) -> None:
        """Handle each report by itself: one that can't be read loses none of the others."""
        for body in self._frames.feed(data):
            try:
                report = decode_report(body)
            except msgspec.MsgspecError as error:
                self._break(f"{_GARBLED}: {error}")
            else:
                self._on_report(self, report)
        if self._frames.garbled:
            self._break(_GARBLED)

    def _end_mute(self) -> None:
        """Its pipe has ended: a process that goes on, or another in its place, can't report."""
        if not (self.over or has_ended(self.pid)):
            self._break(_CLOSED)

    def _break(self, why: str) -> None:
        """End it on account of the task that did this to its pipe."""
        if not self._broke and not self.leaving:
            self._broke = why
            self.kill()


def _nobody(_: Slot) -> None:
    pass


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # a pipe was asked for
    return stream


def _start(
    theirs: socket.socket, shared_page: SharedPage, folder: Path, mark: str
) -> subprocess.Popen[bytes]:
    """Start the process in a session of its own: a terminal's Ctrl-C is the supervisor's."""
    words = [theirs.fileno(), shared_page.descriptor, os.getpid(), folder.absolute()]
    return subprocess.Popen(
        [sys.executable, "-m", "worker.slot.main", *map(str, words)],
        # No bytecode: on a full disk Python 3.11 leaves half a file, which no later slot can read.
        env={**without_key(os.environ), MARK: mark, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[theirs.fileno(), shared_page.descriptor],
        start_new_session=True,
    )

"""The supervisor's handle of one slot: its process, its pipe, its board, the end of its stderr.

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
import threading
from collections.abc import Callable
from pathlib import Path

from .board import PAGES, Board
from .held import Held
from .pipe import Frames, Give, Report, decode_report, frame

GRACE_S = 2.0
"""Between SIGTERM and SIGKILL, in seconds."""

TAIL_BYTES = 4 * 1024
_READ_BYTES = 32 * 1024  # a larger buffer costs page faults at each read


class Slot:
    """One process that runs `work`, from its start to its end; then another takes its place.

    held: its leases, the oldest first. job, version: of the last lease. quick: its last lease
    was short, so the next may wait in its pipe. deaths: how many slots in its place died in a
    row without finishing a task. doom: why it is being killed, and on account of which task.
    """

    def __init__(
        self,
        folder: Path,
        on_report: Callable[[Slot, Report], None],
        on_end: Callable[[Slot], None],
        deaths: int = 0,
    ) -> None:
        self._on_report, self._on_end = on_report, on_end
        self.held: list[Held] = []
        self.job, self.version = "", ""
        self.quick = False
        self.concurrency = 1
        self.deaths = deaths
        self.doom = ""
        self.leaving = False
        self.over = False
        self.board = Board.create()
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._tail = b""
        self._unsent = bytearray()
        self._pipe, theirs = socket.socketpair()
        self._pipe.setblocking(False)
        self._process = _start(theirs, self.board, folder)
        theirs.close()
        assert self._process.stderr is not None
        self._stderr = self._process.stderr.fileno()
        os.set_blocking(self._stderr, False)
        self._loop.add_reader(self._pipe, self._read_pipe)
        self._loop.add_reader(self._stderr, self._read_stderr)
        threading.Thread(target=self._wait, name="quartermaster-wait", daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the process, which is also the leader of its group and session."""
        return self._process.pid

    @property
    def fit(self) -> bool:
        """Whether it can take another lease at all."""
        return not (self.doom or self.leaving or self.over)

    @property
    def evidence(self) -> str:
        """The end of what it wrote to stderr."""
        return self._tail.decode("utf-8", "replace").strip()

    def room(self, job: str, version: str) -> bool:
        """Whether a lease of this job may be given to it now."""
        if not self.fit or not self.held:
            return self.fit
        if (job, version) != (self.job, self.version) or len(self.held) >= PAGES:
            return False
        return self._takes_more

    @property
    def load(self) -> int:
        """How many leases it holds that were not taken back."""
        return sum(1 for held in self.held if held.left)

    @property
    def appetite(self) -> int:
        """How many leases it should have, held and on their way."""
        if not self.fit:
            return 0
        if self.concurrency > 1:
            return self.load + (2 if self._takes_more and len(self.held) < PAGES else 0)
        return 2 if self.quick else 1

    @property
    def _takes_more(self) -> bool:
        if self.concurrency > 1:
            return sum(held.count for held in self.held) < self.concurrency
        return self.quick and len(self.held) < 2

    def give(self, held: Held, max_bytes: int, alone: bool) -> None:
        """Hand a lease to the process; it waits in the pipe behind those before it."""
        taken = {other.page for other in self.held}
        held.page = next(page for page in range(PAGES) if page not in taken)
        lease = held.lease
        self.board.pages[held.page].reset(lease.start, lease.stop)
        self.job, self.version = lease.job, held.version
        self.held.append(held)
        self._send(frame(Give(lease, held.page, held.version, max_bytes, alone)))

    def take_back(self, held: Held, least: int = 0) -> list[tuple[int, int]]:
        """The ranges behind what has started, which now never will.

        least: so many tasks of the lease stay, started or not.
        """
        page = self.board.pages[held.page]
        first = max(page.look().unstarted, held.lease.start + least)
        return held.cut(page.lower(first))

    # --- its end ---

    def close(self) -> None:
        """Let it end by itself, as soon as it has nothing to do."""
        self.leaving = True
        with contextlib.suppress(OSError):
            self._pipe.shutdown(socket.SHUT_WR)
        self._loop.call_later(GRACE_S, self.kill)

    def terminate(self, doom: str) -> None:
        """SIGTERM, after 2 s SIGKILL, for the process and its children. doom: why."""
        self.doom = self.doom or doom
        self._signal(signal.SIGTERM)
        self._loop.call_later(GRACE_S, self.kill)

    def kill(self) -> None:
        """SIGKILL for the process and its children."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if not self.over:  # not reaped yet, so the number is still this group's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _wait(self) -> None:
        """In a thread: leave the process unreaped, so that its group can still be killed."""
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop has ended before the slot
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        self.kill()  # its children, if it left any
        self.over = True
        self._read_pipe()
        self._read_stderr()
        self._loop.remove_reader(self._pipe)
        self._loop.remove_writer(self._pipe)
        self._loop.remove_reader(self._stderr)
        self._pipe.close()
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()
        self.board.free()
        self._on_end(self)

    @property
    def cause(self) -> str:
        """How the process ended: exit code or signal."""
        code = self._process.returncode
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"

    # --- pipe and stderr ---

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
                return
            for body in self._frames.feed(data):
                self._on_report(self, decode_report(body))
            if len(data) < _READ_BYTES and not self.over:
                return  # the loop calls again if there is more

    def _read_stderr(self) -> None:
        """Keep the end of it, and pass it on to the worker's own."""
        while True:
            try:
                data = os.read(self._stderr, _READ_BYTES)
            except OSError:
                return
            if not data:
                self._loop.remove_reader(self._stderr)
                return
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            with contextlib.suppress(OSError):
                os.write(2, data)


def _start(theirs: socket.socket, board: Board, folder: Path) -> subprocess.Popen[bytes]:
    """Start the process in a session of its own: a terminal's Ctrl-C is the supervisor's."""
    words = [theirs.fileno(), board.descriptor, os.getpid(), folder.resolve()]
    return subprocess.Popen(
        [sys.executable, "-m", "worker.slot", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[theirs.fileno(), board.descriptor],
        start_new_session=True,
    )

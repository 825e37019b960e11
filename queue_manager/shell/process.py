"""One command as a process: started, watched, ended with all that it has left.

It is started by posix_spawn(3), which copies nothing of this process, in a session of its own.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .capture import Capture
from .children import adopting, end_children
from .words import in_shell, words_of

TERM_S = 2.0
"""How long a command that took too long has between SIGTERM and SIGKILL."""

_GRACE_S = 0.1
"""How long children of a command that has ended may still write what is in their hands."""

_LAST_S = 2.0
"""How long their end may take."""

_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


Environment = Mapping[bytes, bytes]


class Ended(NamedTuple):
    """How a command has ended. One of `exit_code` and `signal` is not None.

    timed_out: it was ended by the limit of time.
    """

    exit_code: int | None
    signal: str | None
    seconds: float
    timed_out: bool

    @property
    def is_success(self) -> bool:
        """Whether its exit code is 0."""
        return self.exit_code == 0


def run(
    command: str | bytes,
    folder: str,
    timeout_s: float | None,
    environment: Environment,
    out: Capture,
    err: Capture,
) -> Ended:
    """Run a command to its end, and end what it leaves. Both captures are closed then.

    folder: where it runs; empty: where this process is. timeout_s: its limit; None: it has none.

    Raises:
        OSError: it can't be started, such as in a folder that is not there.
        ValueError: it has a zero byte.
    """
    with adopting() as before, contextlib.ExitStack() as stack:
        stack.callback(out.close)
        stack.callback(err.close)
        started = time.monotonic()
        try:
            pid = _start(command, folder, environment, (out.writing, err.writing))
        finally:
            os.close(out.writing)
            os.close(err.writing)
        watch = _Watch(pid, (out, err), timeout_s)
        try:
            watch.wait_exit()
            seconds = time.monotonic() - started
            watch.read_on(_GRACE_S)
        finally:
            watch.close()
            end_children(before, _LAST_S)
        watch.read_on(_LAST_S)
    return _ended(watch.status, seconds, watch.timed_out)


def _ended(status: int, seconds: float, timed_out: bool) -> Ended:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return Ended(code, None, seconds, timed_out)
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal has none
        name = f"signal {-code}"
    return Ended(None, name, seconds, timed_out)


def _start(
    command: str | bytes, folder: str, environment: Environment, streams: tuple[int, int]
) -> int:
    """Start a command. Returns its process id. Raises as `run`."""
    words = words_of(command)
    with _inside(folder):
        if words is not None:
            try:
                return _spawn(words, environment, *streams)
            except OSError:
                pass  # the shell says what is wrong, and with which exit code
        return _spawn(in_shell(command), environment, *streams)


def _spawn(words: list[str | bytes], environment: Environment, out: int, err: int) -> int:
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, out, 1),
        (os.POSIX_SPAWN_DUP2, err, 2),
    ]
    return os.posix_spawnp(
        words[0],
        words,
        environment,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=_SIGNALS,  # Python ignores SIGPIPE, and what it starts would, too
    )


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    """This process is in a folder."""
    if not folder:
        yield
        return
    home = os.open(".", os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(home)
        os.close(home)


class _Watch:
    """A process and its two streams. status: of its end. timed_out: it had to be asked to end."""

    def __init__(self, pid: int, streams: tuple[Capture, Capture], timeout_s: float | None) -> None:
        self._pid, self._pidfd = pid, os.pidfd_open(pid)
        self._open = {stream.reading: stream for stream in streams}
        self._poller = select.poll()
        for number in (*self._open, self._pidfd):
            self._poller.register(number, select.POLLIN)
        self._limit = None if timeout_s is None else time.monotonic() + timeout_s
        self._exited = self.timed_out = False
        self.status = 0

    def wait_exit(self) -> None:
        """Wait until the process has ended; ask it to, and kill it, behind its limit."""
        while not self._exited:
            self._poll(self._limit)
            if self._limit is not None and time.monotonic() >= self._limit and not self._exited:
                self._press()

    def _press(self) -> None:
        """It took too long."""
        if not self.timed_out:
            self.timed_out = True
            self._limit = time.monotonic() + TERM_S
            self._signal(signal.SIGTERM)
        else:
            self._limit = None
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for send in (os.killpg, os.kill):  # the first process may have left its group
            with contextlib.suppress(ProcessLookupError):
                send(self._pid, number)

    def read_on(self, limit_s: float) -> None:
        """Read to the end of the streams, which children of the process may have."""
        until = time.monotonic() + limit_s
        while self._open and time.monotonic() < until:
            self._poll(until)

    def _poll(self, until: float | None) -> None:
        wait_ms = None if until is None else max(0.0, until - time.monotonic()) * 1000 + 1
        for number, _ in self._poller.poll(wait_ms):
            if number == self._pidfd:
                _, self.status = os.waitpid(self._pid, 0)
                self._exited = True
                self._poller.unregister(number)
            elif not self._open[number].read():
                self._poller.unregister(number)
                del self._open[number]

    def close(self) -> None:
        """Kill the process if it is there. What it has left is the caller's."""
        if not self._exited:
            self._signal(signal.SIGKILL)
            _, self.status = os.waitpid(self._pid, 0)
            self._exited = True
            self._poller.unregister(self._pidfd)
        os.close(self._pidfd)

"""Undoes what tasks of one run have changed in a slot's process, before tasks of another run.

This module owns the working directory, environment, signals, umask, limits, timeout of new sockets
and the three standard streams. Threads and the state of modules (caches, loggers, seeds) stay.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import io
import os
import resource
import signal
import socket
import sys
from typing import Any, NamedTuple

from .stdio import Stdio

_STREAMS = ("stdin", "stdout", "stderr")
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name[:7] == "RLIMIT_"})
_OUT_OF_WAY = 64
"""Copies of the standard streams get descriptors from this one on, which tasks hardly close.

With fewer that may be open, from half of these on.
"""


class Snapshot(NamedTuple):
    """The state of the process at one moment. folder: None if there is no working directory."""

    folder: str | None
    environ: dict[str, str]
    handlers: dict[int, Any]
    blocked: set[int | signal.Signals]
    timers: bool
    umask: int
    timeout_s: float | None
    limits: dict[int, tuple[int, int]]


class Surroundings:
    """Takes and restores snapshots of this process, in its main thread."""

    def __init__(self, printed: Stdio) -> None:
        self._stdio = printed
        self._environ = os.environ
        self._identities = [_identity(number) for number in range(len(_STREAMS))]
        least = _first_copy()
        self._copies = [
            fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, least) for number in range(len(_STREAMS))
        ]
        self._streams = [getattr(sys, name) for name in _STREAMS]

    def take(self) -> Snapshot:
        """Take a snapshot of the process as it is now."""
        umask = os.umask(0o077)
        os.umask(umask)
        return Snapshot(
            _folder(),
            dict(self._environ),
            {number: signal.getsignal(number) for number in signal.valid_signals()},
            signal.pthread_sigmask(signal.SIG_BLOCK, ()),
            any(map(_runs, _TIMERS)),
            umask,
            socket.getdefaulttimeout(),
            {number: resource.getrlimit(number) for number in _LIMITS},
        )

    def put_back(self, snapshot: Snapshot) -> bool:
        """Make the process as it was. False: that can't be done."""
        try:
            _put_limits_back(snapshot.limits)  # first, because the rest needs free descriptors
            self._put_streams_back()
            if _folder() != snapshot.folder and snapshot.folder is not None:
                os.chdir(snapshot.folder)
            self._put_environ_back(snapshot.environ)
            _put_signals_back(snapshot)
            os.umask(snapshot.umask)
            socket.setdefaulttimeout(snapshot.timeout_s)
        except (OSError, ValueError):
            return False
        return True

    def _put_environ_back(self, environ: dict[str, str]) -> None:
        os.environ = self._environ  # noqa: B003 - a task may have replaced it
        if dict(self._environ) != environ:
            self._environ.clear()
            self._environ.update(environ)

    def _put_streams_back(self) -> None:
        for number, (name, copy) in enumerate(zip(_STREAMS, self._copies, strict=True)):
            if _identity(number) != self._identities[number]:
                if _identity(copy) != self._identities[number]:
                    raise OSError(f"{name} is lost")
                os.dup2(copy, number)
            if _is_closed(self._streams[number]):
                self._streams[number] = self._reopened(number)
            setattr(sys, name, self._streams[number])
            setattr(sys, f"__{name}__", self._streams[number])

    def _reopened(self, number: int) -> Any:
        if number == 0:
            return open(0, closefd=False)
        raw = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
        return self._stdio.tee(io.TextIOWrapper(raw, "utf-8", "backslashreplace"), number - 1)


def _first_copy() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _OUT_OF_WAY if soft == resource.RLIM_INFINITY else min(_OUT_OF_WAY, soft // 2)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        stat = os.fstat(descriptor)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _is_closed(stream: io.TextIOWrapper) -> bool:
    try:
        return stream.closed
    except ValueError:  # its buffer was taken away
        return True


def _runs(timer: int) -> bool:
    return signal.getitimer(timer) != (0.0, 0.0)


def _put_limits_back(limits: dict[int, tuple[int, int]]) -> None:
    """Raises ValueError if a task has lowered a hard limit, which only root can raise."""
    for number, limit in limits.items():
        if resource.getrlimit(number) != limit:
            resource.setrlimit(number, limit)


def _put_signals_back(snapshot: Snapshot) -> None:
    if not snapshot.timers:
        for timer in filter(_runs, _TIMERS):
            signal.setitimer(timer, 0.0)
    changed = False
    for number, handler in snapshot.handlers.items():
        if signal.getsignal(number) != handler and handler is not None:
            with contextlib.suppress(OSError):  # SIGKILL and SIGSTOP
                signal.signal(number, handler)
                changed = True
    signal.pthread_sigmask(signal.SIG_SETMASK, snapshot.blocked)
    if changed or not faulthandler.is_enabled():
        faulthandler.disable()
        faulthandler.enable(2)

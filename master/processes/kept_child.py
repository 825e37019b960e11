"""Child processes that are started again when they die, after a pause that doubles."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO

from queue_manager.lifeline import die_with

log = logging.getLogger("quartermaster.master")

DEATHS, WITHIN_S = 6, 60.0
"""A child that has died so often in this time is not started again."""

_FIRST_PAUSE_S = 0.1
_END_S = 3.0
"""How long a child may take to end. Then it is killed: what it has acknowledged is on disk."""


class GivenUp(Exception):
    """A child dies again and again, or never gets ready. signal: whether a signal has ended it."""

    def __init__(self, module: str, why: str, signal: bool = False) -> None:
        super().__init__(f"the {module} of this command {why}")
        self.module, self.signal = module, signal


class Started:
    """How a child is started: `begin` gets where its output goes."""

    def __init__(
        self, words: list[str], environment: Mapping[str, str], sockets: tuple[int, ...]
    ) -> None:
        self._words, self._environment, self._sockets = words, environment, sockets
        self.popen: subprocess.Popen[bytes] | None = None

    def begin(self, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        self.popen = subprocess.Popen(
            self._words,
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=self._sockets,
            start_new_session=True,  # Ctrl-C is for the command
            preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
        )
        return self.popen


class Child:
    """A child process that is started again when it dies, after a pause that doubles.

    sockets: the numbers of those that it inherits. first_words: behind the others, at the first
    start alone.
    """

    def __init__(
        self,
        module: str,
        words: tuple[str, ...],
        environment: Mapping[str, str],
        begin: Callable[[Started], None],
        sockets: tuple[int, ...] = (),
    ) -> None:
        self._module, self._begin = module, begin
        self._words = [sys.executable, *_safe(), "-m", module, *words]
        self._environment, self._sockets = environment, sockets
        self.first_words: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._due = 0.0

    def keep(self) -> None:
        """Start it if it does not run. Raises GivenUp."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            code, self._process = self._process.returncode, None
            self._deaths.append(now)
            recent = sum(now - death < WITHIN_S for death in self._deaths)
            if recent == DEATHS:
                raise GivenUp(self._module, f"has ended {DEATHS} times{_by(code)}", code < 0)
            self._due = now + _FIRST_PAUSE_S * 2 ** (recent - 1)
            log.debug("the %s has ended (%d)", self._module, code)
        if self._process is None and now >= self._due:
            words = [*self._words, *self.first_words]
            started = Started(words, self._environment, self._sockets)
            self.first_words = ()
            try:
                self._begin(started)
            except OSError as error:
                raise GivenUp(self._module, f"can't be started: {error}") from error
            finally:
                self._process = started.popen

    def end(self) -> None:
        """End it and wait for that."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _by(code: int) -> str:
    """How a process has ended, behind a sentence; nothing where its last line says it."""
    if code >= 0:
        return ""
    try:
        return f", the last time by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f", the last time by signal {-code}"


def _safe() -> list[str]:
    """The option by which a file `worker.py` of the user's folder does not pass for ours."""
    ours = Path(__file__).resolve().parents[2]
    return [] if ours == Path.cwd() else ["-P"]

"""A master and a worker that one command has for itself, for as long as it runs.

Both are child processes. They are started again if they die, and end with the command, however it
ends. Knows nothing of runs, and nothing of what the command does with its master.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from queue_manager.authkey import write_file
from queue_manager.errors import QueueError, SettingsError
from queue_manager.lifeline import die_with
from queue_manager.settings import VARIABLES, Settings

log = logging.getLogger("quartermaster.master")

LOOK_S = 0.1
"""How often it is looked whether a child has ended."""

_FIRST_LOOK_S = 0.02

START_S = 120.0
"""How long a master may take until it listens. On a full disk, for example, it can't say so."""

_LISTENS = re.compile(rb"listening on 127\.0\.0\.1:(\d+), ")

DEATHS, WITHIN_S = 6, 60.0
"""A child that has died so often in this time is not started again."""

_FIRST_PAUSE_S = 0.1
_END_S = 3.0
"""How long a child may take to end. Then it is killed: what it has acknowledged is on disk."""

_LAST_WORDS_S = 1.0
"""What a process that a task has left behind may hold the pipe open for."""

_LAST_BYTES = 4096
_KEPT = ("QUEUE_MAX_BYTES", "WORKER_TAGS", "WORKER_DRAIN_S")
"""Settings of the command's own environment that its master and worker have, too."""


class OwnMaster:
    """A master with one worker. Use it in a `with` block; its children end with the block.

    Args:
        folder: where the store, the key and the log are. It may have those of an earlier command,
            whose runs go on. No other process may use it.
        slots: how many processes of the worker run tasks.
        on_output: gets what the worker prints, which is what tasks print, in a thread.
        on_trouble: is called in a thread, once, with one line when it can go on no longer.

    address: HOST:PORT, once `wait` has returned. authkey: its key. trouble: the line, if it can go
    on no longer.

    Raises SettingsError in the `with` line if no worker is installed or the folder can't be used.
    """

    def __init__(
        self,
        folder: Path,
        slots: int,
        on_output: Callable[[bytes], None],
        on_trouble: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._folder, self._slots = folder, slots
        self._on_output, self._on_trouble = on_output, on_trouble
        self._stop = threading.Event()
        self._listens = threading.Event()
        self._relaying: list[threading.Thread] = []
        self._keeping = threading.Thread(target=self._keep, name="own-master", daemon=True)
        self.trouble = ""
        self.address = "127.0.0.1:0"  # any port that is free: the master finds one and keeps it
        self.authkey = b""

    def __enter__(self) -> OwnMaster:
        if importlib.util.find_spec("worker") is None:
            raise SettingsError(
                "no worker is installed here: set QUEUE_HOST to a master that has workers"
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self.authkey = _new_key(self._folder / "authkey")
            (self._folder / "jobs").mkdir(exist_ok=True)
        except OSError as error:
            raise SettingsError(f"{self._folder} can't be used: {error.strerror}") from error
        self._keeping.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self) -> None:
        """Wait until the master listens.

        Raises QueueError if it can't; its line says why.
        """
        self._listens.wait()
        self.check()

    def check(self) -> None:
        """Raise QueueError if it can go on no longer; its line says why."""
        if self.trouble:
            raise QueueError(self.trouble)

    def reached(self, settings: Settings) -> Settings:
        """The same settings, with this master in the place of whichever they name."""
        host, _, port = self.address.rpartition(":")
        return msgspec.structs.replace(
            settings, queue_host=host, queue_port=int(port), queue_tls="auto", queue_tls_set=False
        )

    def stop(self) -> None:
        """End both, and wait for that."""
        self._stop.set()
        if self._keeping.ident is not None:
            self._keeping.join()

    # --- in the thread that keeps them: the kernel ends a child when the thread that has started it
    # ends, so this one lives as long as they do ---

    def _keep(self) -> None:
        master = _Child("master", ("serve",), lambda: self._environment("master"), self._log_file)
        worker = _Child("worker", ("--quiet",), lambda: self._environment("worker"), self._relayed)
        try:
            self._begin(master)
            while not self._stop.is_set():
                master.keep()
                worker.keep()
                self._stop.wait(LOOK_S)
        except _GivenUp as error:
            self._give_up(f"{error}{self._last_line() if error.module == 'master' else ''}")
        except Exception as error:  # such as no room for a thread; nobody else would ever say it
            log.debug("the processes of this command can't be kept", exc_info=True)
            self._give_up(f"the master and worker of this command can't go on: {error}")
        finally:
            self._listens.set()
            worker.end()  # first: it has nothing to do without the master
            master.end()
            for relaying in self._relaying:  # the last lines of tasks
                relaying.join(_LAST_WORDS_S)

    def _give_up(self, line: str) -> None:
        self.trouble = line
        self._on_trouble(line)

    def _begin(self, master: _Child) -> None:
        """Start the master, and wait until it listens. A worker before would say it finds none."""
        (self._folder / "master.log").unlink(missing_ok=True)
        until = time.monotonic() + START_S
        while not self._stop.wait(_FIRST_LOOK_S):
            master.keep()
            with contextlib.suppress(OSError):
                found = _LISTENS.search((self._folder / "master.log").read_bytes())
                if found is not None:
                    self.address = f"127.0.0.1:{int(found[1])}"
                    self._listens.set()
                    return
            if time.monotonic() > until:
                why = (
                    f"has not said within {START_S:.0f} s where it listens: is {self._folder} full"
                )
                raise _GivenUp("master", f"{why}?")

    def _environment(self, name: str) -> dict[str, str]:
        host, port = self.address.split(":")
        kept = {
            name: text
            for name, text in os.environ.items()
            if name in _KEPT or name not in VARIABLES
        }
        return kept | {
            "QUEUE_HOST": host,
            "QUEUE_BIND": host,
            "QUEUE_PORT": port,
            "QUEUE_AUTHKEY_FILE": str(self._folder.absolute() / "authkey"),
            "MASTER_DATA": str(self._folder.absolute() / "data"),
            "JOBS_FOLDER": str(self._folder.absolute() / "jobs"),
            "WORKER_SLOTS": str(self._slots),
            "WORKER_DRAIN_S": kept.get("WORKER_DRAIN_S") or "0",
            "HEALTH_FILE": str(self._folder.absolute() / f"health-{name}"),
        }

    def _log_file(self, process: _Started) -> None:
        """What the master says goes into a file: on a terminal it would be in nobody's interest."""
        with (self._folder / "master.log").open("ab") as file:
            process.begin(file)

    def _relayed(self, process: _Started) -> None:
        popen = process.begin(subprocess.PIPE)
        relaying = threading.Thread(target=self._relay, args=(popen.stdout,), daemon=True)
        relaying.start()
        self._relaying = [one for one in self._relaying if one.is_alive()] + [relaying]

    def _relay(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError), pipe:
            for line in pipe:
                self._on_output(line)

    def _last_line(self) -> str:
        """The last line of the master's log, as the end of a line."""
        with contextlib.suppress(OSError), (self._folder / "master.log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
            return f": {lines[-1].strip()}" if lines else ""
        return ""


class _GivenUp(Exception):
    """A child dies again and again, or never gets ready."""

    def __init__(self, module: str, why: str = f"has ended {DEATHS} times") -> None:
        super().__init__(f"the {module} of this command {why}")
        self.module = module


class _Started:
    """How a child is started: `begin` gets where its output goes."""

    def __init__(self, words: list[str], environment: Mapping[str, str]) -> None:
        self._words, self._environment = words, environment
        self.popen: subprocess.Popen[bytes] | None = None

    def begin(self, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        self.popen = subprocess.Popen(
            self._words,
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the command
            preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
        )
        return self.popen


class _Child:
    """A child process that is started again when it dies, after a pause that doubles."""

    def __init__(
        self,
        module: str,
        words: tuple[str, ...],
        environment: Callable[[], Mapping[str, str]],
        begin: Callable[[_Started], None],
    ) -> None:
        self._module, self._begin = module, begin
        self._words = [sys.executable, *_safe(), "-m", module, *words]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._due = 0.0

    def keep(self) -> None:
        """Start it if it does not run. Raises _GivenUp."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            code, self._process = self._process.returncode, None
            self._deaths.append(now)
            recent = sum(now - death < WITHIN_S for death in self._deaths)
            if recent == DEATHS:
                raise _GivenUp(self._module)
            self._due = now + _FIRST_PAUSE_S * 2 ** (recent - 1)
            log.debug("the %s has ended (%d)", self._module, code)
        if self._process is None and now >= self._due:
            started = _Started(self._words, self._environment())
            try:
                self._begin(started)
            except OSError as error:
                raise _GivenUp(self._module, f"can't be started: {error}") from error
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


def _safe() -> list[str]:
    """The option by which a file `worker.py` of the user's folder does not pass for ours."""
    ours = Path(__file__).resolve().parents[2]
    return [] if ours == Path.cwd() else ["-P"]


def _new_key(path: Path) -> bytes:
    """A key that nobody but this user can read. The one of an earlier command is replaced."""
    key = secrets.token_urlsafe(32).encode()
    write_file(path, key + b"\n", 0o600, replace=True)
    return key

"""A master and a worker that one command has for itself, for as long as it runs.

Both are child processes. They are started again if they die, and end with the command, however it
ends. Knows nothing of runs, and nothing of what the command does with its master.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from queue_manager.authkey import write_file
from queue_manager.errors import QueueError, SettingsError
from queue_manager.open_files import make_room
from queue_manager.settings import VARIABLES, Settings
from queue_manager.wire.transport import BACKLOG

from .kept_child import Child, GivenUp, Started

log = logging.getLogger("quartermaster.master")

LOOK_S = 0.1
"""How often it is looked whether a child has ended."""

_FIRST_LOOK_S = 0.02

START_S = 120.0
"""How long a master may take until it answers."""

_LAST_WORDS_S = 1.0
"""What a process that a task has left behind may hold the pipe open for."""

_LAST_BYTES = 4096
_KEPT = (
    "QUEUE_MAX_BYTES",
    "WORKER_TAGS",
    "WORKER_DRAIN_S",
    "QUEUE_ENVIRONMENTS",
    "QUEUE_KEEP_DAYS",
)
"""Settings of the command's own environment that its master and worker have, too."""


class OwnMaster:
    """A master with one worker. Use it in a `with` block; its children end with the block.

    Args:
        folder: where the store, the key and the log are. It may have those of an earlier command,
            whose runs go on. No other process may use it.
        slots: how many processes of the worker run tasks.
        on_output: gets what the worker prints, which is what tasks print, in a thread.
        may_work: the worker starts when this is set; None: beside the master. Runs of an earlier
            command go on with the code that they have as soon as there is a worker.

    address: HOST:PORT. authkey: its key. trouble: the line, if it can go on no longer.

    The socket that listens is this process's, and the master inherits it. So the port stays ours
    while the master is started again, and the worker can start beside the master: who connects
    early waits in the backlog of the socket.

    Raises SettingsError in the `with` line if no worker is installed, the folder can't be used, or
    too few files may be open.
    """

    def __init__(
        self,
        folder: Path,
        slots: int,
        on_output: Callable[[bytes], None],
        may_work: threading.Event | None = None,
    ) -> None:
        self._folder, self._slots = folder, slots
        self._on_output, self._may_work = on_output, may_work
        self._on_trouble: Callable[[str], object] = lambda line: None
        self._stop = threading.Event()
        self._listens = threading.Event()
        self._relaying: list[threading.Thread] = []
        self._keeping = threading.Thread(target=self._keep, name="own-master", daemon=True)
        self.trouble = ""
        self._socket = socket.socket()
        self.address = ""
        self.authkey = b""

    def __enter__(self) -> OwnMaster:
        if importlib.util.find_spec("worker") is None:
            raise SettingsError(
                "no worker is installed here: set QUEUE_HOST to a master that has workers"
            )
        make_room(self._slots)  # the worker inherits it
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self.authkey = _new_key(self._folder / "authkey")
            (self._folder / "jobs").mkdir(exist_ok=True)
        except OSError as error:
            self._socket.close()
            raise SettingsError(f"{self._folder} can't be used: {error.strerror}") from error
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(BACKLOG)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._keeping.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self) -> None:
        """Wait until the master answers.

        Raises QueueError if it can't; its line says why.
        """
        self._listens.wait()
        self.check()

    def on_trouble(self, act: Callable[[str], object]) -> None:
        """Have `act` called in a thread, once, with one line when it can go on no longer.

        Raises as `check`: what came before is not lost.
        """
        self._on_trouble = act
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
        self._socket.close()

    # --- in the thread that keeps them: the kernel ends a child when the thread that has started it
    # ends, so this one lives as long as they do ---

    def _keep(self) -> None:
        children: list[Child] = []
        try:
            (self._folder / "master.log").unlink(missing_ok=True)
            children += [self._master(), self._worker()]
            self._begin(*children)
            while not self._stop.is_set():
                self._keep_both(*children)
                self._stop.wait(LOOK_S)
        except GivenUp as error:
            says_why = error.module == "master" and not error.signal
            self._give_up(f"{error}{self._last_line() if says_why else ''}")
        except Exception as error:  # such as no room for a thread; nobody else would ever say it
            log.debug("the processes of this command can't be kept", exc_info=True)
            self._give_up(f"the master and worker of this command can't go on: {error}")
        finally:
            self._listens.set()
            for child in reversed(children):  # the worker has nothing to do without the master
                child.end()
            for relaying in self._relaying:  # the last lines of tasks
                relaying.join(_LAST_WORDS_S)

    def _give_up(self, line: str) -> None:
        self.trouble = line
        self._on_trouble(line)

    def _master(self) -> Child:
        number = self._socket.fileno()
        serve = ("serve", "--listening", str(number))
        master = Child("master", serve, self._environment("master"), self._log_file, (number,))
        # The worker of an earlier command knows neither this one's key nor its port.
        master.first_words = ("--workers-gone",)
        return master

    def _worker(self) -> Child:
        return Child("worker", ("--quiet",), self._environment("worker"), self._relayed)

    def _keep_both(self, master: Child, worker: Child) -> None:
        master.keep()
        if self._may_work is None or self._may_work.is_set():
            worker.keep()

    def _begin(self, master: Child, worker: Child) -> None:
        """Start them, and wait until the master answers. Raises GivenUp."""
        until = time.monotonic() + START_S
        with _Answer(self._socket.getsockname()) as answer:
            while not self._stop.is_set():
                self._keep_both(master, worker)
                if answer.has_come(_FIRST_LOOK_S):
                    self._listens.set()
                    return
                if time.monotonic() > until:
                    raise GivenUp("master", f"has not answered within {START_S:.0f} s")

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
            "MASTER_HTTP_PORT": "off",
        }

    def _log_file(self, process: Started) -> None:
        """What the master says goes into a file: on a terminal it would be in nobody's interest."""
        with (self._folder / "master.log").open("ab") as file:
            process.begin(file)

    def _relayed(self, process: Started) -> None:
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


class _Answer:
    """The first bytes that a master sends to whoever connects."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def has_come(self, limit_s: float) -> bool:
        """Wait for it, for so many seconds at most."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address)
        if not select.select([self._socket], [], [], limit_s)[0]:
            return False
        came = b""
        with contextlib.suppress(ConnectionResetError):
            came = self._socket.recv(1)
        self._close()  # without an answer the master has died, and another one comes
        return bool(came)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _new_key(path: Path) -> bytes:
    """A key that nobody but this user can read. The one of an earlier command is replaced."""
    key = secrets.token_urlsafe(32).encode()
    write_file(path, key + b"\n", 0o600, replace=True)
    return key

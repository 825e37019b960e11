"""Clients with nothing but the standard library, in processes of their own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SYSTEM_PYTHON = "/usr/bin/python3"
CLIENT = Path(__file__).with_name("stock_client.py")
ANSWER_S = 60.0
"""How long a client's answer may take on a busy machine; its start is a part of the first one."""


def stock_pythons() -> Iterator[tuple[str, str]]:
    """(name, path) of the system's Python and of 3.8, 3.11 and 3.13 where they are installed."""
    yield "system", SYSTEM_PYTHON
    for version in ("3.8", "3.11", "3.13"):
        places = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        found = str(places[-1]) if places else shutil.which(f"python{version}")
        if found:
            yield version, found


class StockClient:
    """`client("tasks.put(x)", x=3)`: evaluated in the other process, errors raised here."""

    def __init__(self, folder: Path, python: str, port: int, key: str) -> None:
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()
        address = [str(fd), "127.0.0.1", str(port), key.encode().hex()]
        with (folder / "clients.log").open("ab") as log:
            self.popen = subprocess.Popen(
                [python, "-I", "-S", str(CLIENT), *address],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": "/usr/bin:/bin"},
                pass_fds=[fd],
            )
        theirs.close()
        self._orders = Connection(ours.detach())

    def __call__(self, code: str, **values: Any) -> Any:
        self.begin(code, **values)
        return self.answer()

    def begin(self, code: str, **values: Any) -> None:
        """Have it evaluated, without waiting for the answer."""
        self._orders.send((code, values))

    def answer(self, within_s: float = ANSWER_S) -> Any:
        """The answer to what was begun; raises what it raised."""
        if not self._orders.poll(within_s):
            raise AssertionError(f"no answer within {within_s} s")
        error, value = self._orders.recv()
        if error is not None:
            raise error
        return value

    def waits(self) -> bool:
        """Whether what was begun has no answer yet."""
        return not self._orders.poll(0.0)

    def kill(self) -> None:
        """kill -9: its connection ends with the process."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def end(self) -> None:
        """At the end of a test, or as a script that ends: in good order."""
        self._orders.close()
        try:
            self.popen.wait(20.0)
        except subprocess.TimeoutExpired:
            self.kill()

"""The process of a slot from its start, with its pipe and its shared page.

Needs no event loop: a worker may start its slots before it knows its master. `slot_process` takes
over from here.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from queue_manager.lifeline import without_key

from ...ipc.shared_page import SharedPage
from ...processes.orphans import MARK


class Seed:
    """A slot's process that nobody watches yet.

    Args:
        folder: of its jobs.
        mark: what its children are known by (`Orphans.new_mark`).
        job: what it imports and sets up before its first lease; empty: nothing.

    Raises:
        OSError: the system can't start it. Nothing of it stays.
    """

    def __init__(self, folder: Path, mark: str = "", job: str = "") -> None:
        self.mark, self.job = mark, job
        self.page = SharedPage.create()
        self.pipe, theirs = socket.socketpair()
        self.pipe.setblocking(False)
        try:
            self.process = _start(theirs, self.page, folder, mark, job)
        except OSError:
            self.pipe.close()
            self.page.free()
            raise
        finally:
            theirs.close()


def _start(
    theirs: socket.socket, shared_page: SharedPage, folder: Path, mark: str, job: str
) -> subprocess.Popen[bytes]:
    """Start the process in a session of its own: a terminal's Ctrl-C is the supervisor's."""
    args = [theirs.fileno(), shared_page.descriptor, os.getpid(), folder.absolute()]
    return subprocess.Popen(
        [sys.executable, "-m", "worker.slot.main", *map(str, args), *([job] if job else [])],
        # No bytecode: on a full disk Python 3.11 leaves half a file, which no later slot can read.
        env={**without_key(os.environ), MARK: mark, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[theirs.fileno(), shared_page.descriptor],
        start_new_session=True,
    )

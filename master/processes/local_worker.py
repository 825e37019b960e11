"""The worker of `qm run`, a child process that gets ready while the master does.

It is started before all else, and loads its modules meanwhile, so this module loads no event loop
by itself. The worker begins when it is told, on its standard input, how to reach the master. It
ends if that input ends before, or our process. Knows nothing of the run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from queue_manager.lifeline import die_with, without_key

if TYPE_CHECKING:
    import asyncio

_END_S = 2.0
"""How long a worker takes to end when its tasks have ended."""


class LocalWorker:
    """The process of a worker. `start` makes it, `begin` has it work, `leave` and `stop` end it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._is_asked = False

    @classmethod
    def start(cls) -> LocalWorker | None:
        """Start the process; None where no worker is installed, or a standard stream is closed.

        The pipe to the worker would get the number of that stream.
        """
        if importlib.util.find_spec("worker") is None or not _has_streams():
            return None
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "--quiet", "--settings-from-stdin"],
            env=without_key(os.environ),  # `begin` tells it
            stdin=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
        )
        return cls(process)

    def begin(self, settings: Mapping[str, str], keys_told: str) -> None:
        """Have it work.

        settings: variables that it has beside those of this process. keys_told: the keys that are
        made of the authkey (`handshake.told`).
        """
        assert self._process.stdin is not None  # a pipe was asked for
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:  # it has ended
            pipe.write(f"{keys_told}\n{json.dumps(dict(settings))}".encode())

    def leave(self) -> None:
        """Ask it to end, once: a second signal would take the time from its tasks."""
        if not self._is_asked:
            self._is_asked = True
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    async def stop(self, hurry: asyncio.Event, drain_s: float) -> None:
        """End the worker in good order, also in a hurry: else the next start would wait for it.

        hurry: is set when its tasks get no more time. drain_s: the time that they get otherwise.
        """
        import asyncio

        worker = self._process
        self.leave()
        ended = asyncio.create_task(self._end())
        asked = asyncio.create_task(hurry.wait())
        await asyncio.wait(
            {ended, asked}, timeout=drain_s + _END_S, return_when=asyncio.FIRST_COMPLETED
        )
        asked.cancel()
        with contextlib.suppress(ProcessLookupError):
            if not ended.done():
                worker.send_signal(signal.SIGTERM)  # the second signal ends it at once
                await asyncio.wait({ended}, timeout=_END_S)
            if not ended.done():
                worker.kill()
        await ended

    async def _end(self) -> None:
        """Wait until the process has ended, without holding up the loop or the end of ours."""
        import asyncio

        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def wait() -> None:
            self._process.wait()
            with contextlib.suppress(RuntimeError):  # the loop has ended before the worker
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=wait, daemon=True).start()
        await ended.wait()


def _has_streams() -> bool:
    try:
        for number in range(3):
            os.fstat(number)
    except OSError:
        return False
    return True

"""The worker of `qm run`, a child process that gets ready while the master does.

It is started before anybody knows where the master listens, and loads its modules meanwhile. It
begins when it is told, on its standard input, how to reach the master. Knows nothing of the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Mapping
from functools import partial

from queue_manager.lifeline import die_with

from .child_watcher import watch_children_by_pidfd

_END_S = 2.0
"""How long a worker takes to end when its tasks have ended."""


class LocalWorker:
    """The process of a worker. `start` makes it, `begin` has it work, `stop` ends it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._has_begun = False

    @classmethod
    async def start(cls) -> LocalWorker | None:
        """Start the process; None where no worker is installed."""
        if importlib.util.find_spec("worker") is None:
            return None
        watch_children_by_pidfd()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "worker",
            "--quiet",
            "--settings-from-stdin",
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
        )
        return cls(process)

    def begin(self, settings: Mapping[str, str]) -> None:
        """Have it work. settings: variables that it has beside those of this process."""
        assert self._process.stdin is not None  # a pipe was asked for
        self._process.stdin.write(json.dumps(dict(settings)).encode())
        self._process.stdin.close()
        self._has_begun = True

    async def stop(self, hurry: asyncio.Event, drain_s: float) -> None:
        """End the worker in good order, also in a hurry: else the next start would wait for it.

        hurry: is set when its tasks get no more time. drain_s: the time that they get otherwise.
        """
        worker = self._process
        ended, asked = asyncio.create_task(worker.wait()), asyncio.create_task(hurry.wait())
        with contextlib.suppress(ProcessLookupError):
            worker.send_signal(signal.SIGTERM)
            await asyncio.wait(
                {ended, asked},
                timeout=drain_s + _END_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            asked.cancel()
            if not ended.done():
                worker.send_signal(signal.SIGTERM)  # the second signal ends it at once
                await asyncio.wait({ended}, timeout=_END_S)
            if not ended.done():
                worker.kill()
        await ended

    async def end_unused(self) -> None:
        """End a worker that was never told to begin: it has nothing in hand."""
        if not self._has_begun and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

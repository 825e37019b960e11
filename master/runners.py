"""The runner processes of a master: one for each run that has tasks to give or results to collect.

A runner that dies is started again with back-off; after five deaths without progress its run is
stalled, which touches no other run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from queue_manager.lifeline import die_with

from .run import Run

log = logging.getLogger("quartermaster.master")

DEATHS = 5
STDERR_BYTES = 4096
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_STOP_S = 3.0


@dataclass(slots=True)
class Runner:
    """The process of one run. over: it ended well. stalled: one line when it was given up."""

    run: Run
    process: asyncio.subprocess.Process | None = None
    deaths: int = 0
    over: bool = False
    stderr: bytes = b""
    stalled: str = ""
    progress: tuple[int, int, int] = (-1, -1, -1)


class Runners:
    """Keeps a runner for every run that needs one.

    Args:
        environment: what a runner gets beside the master's own environment (address and key).
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.all: dict[int, Runner] = {}
        self.on_finished: list[Callable[[Run], None]] = []
        self.on_stalled: list[Callable[[Run, str], None]] = []

    def start(self, run: Run) -> None:
        """Keep a runner for this run, until it has ended well."""
        if run.id in self.all and not self.all[run.id].stalled:
            return
        runner = self.all[run.id] = Runner(run)
        task = asyncio.get_running_loop().create_task(self._keep(runner))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def run_ended(self, run: Run) -> None:
        """All tasks of a run have ended; without a `collect` its runner is over before that."""
        runner = self.all.get(run.id)
        if runner is not None:
            self._finish(runner)

    async def stop(self) -> None:
        """End all runners; what they had not handed in comes again after the next start."""
        self._stopping = True
        # Only those that live: the number of one that ended may be somebody else's by now.
        processes = [runner.process for runner in self.all.values()]
        alive = [p.pid for p in processes if p is not None and p.returncode is None]
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_S)
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    async def _keep(self, runner: Runner) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping:
            try:
                code = await self._live(runner)
            except OSError as error:  # such as too many processes or open files
                log.error("can't start the runner of run %d: %s", runner.run.id, error)
                code = os.EX_OSERR
            if self._stopping:
                return
            if code == 0:
                runner.over = True
                self._finish(runner)
                return
            run = runner.run
            if runner.progress != (progress := (run.tasks, run.collected, run.collected_into)):
                runner.progress, runner.deaths, pause_s = progress, 0, _FIRST_PAUSE_S
            runner.deaths += 1
            log.warning("the runner of run %d (%s) %s", run.id, run.job, _how(code))
            if runner.deaths >= DEATHS:
                self._stall(runner, code)
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _live(self, runner: Runner) -> int:
        process = runner.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "master.runner",
            str(runner.run.id),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # a terminal's Ctrl-C is the master's to handle
            preexec_fn=partial(die_with, os.getpid()),
        )
        assert process.stderr is not None
        while part := await process.stderr.read(STDERR_BYTES):
            runner.stderr = (runner.stderr + part)[-STDERR_BYTES:]
            sys.stderr.buffer.write(part)
            sys.stderr.buffer.flush()
        return await process.wait()

    def _finish(self, runner: Runner) -> None:
        if runner.over and not runner.run.active:
            for listener in self.on_finished:
                listener(runner.run)

    def _stall(self, runner: Runner, code: int) -> None:
        run = runner.run
        tail = runner.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        runner.stalled = f"its runner {_how(code)} {DEATHS} times without progress" + (
            f": {tail[0]}" if tail else ""
        )
        log.error(
            "run %d (%s) is stalled: %s; mend jobs/%s.py and restart the master",
            run.id,
            run.job,
            runner.stalled,
            run.job,
        )
        for listener in self.on_stalled:
            listener(run, runner.stalled)


def _how(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"

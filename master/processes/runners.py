"""Keeps a runner for each run that has tasks to give or results to collect.

A runner that dies is started again with back-off. After five deaths without progress its run is
stalled; other runs go on. A stalled run gets another chance when the code of its job has changed,
or by `retry`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from queue_manager.environments.python import OWN, Python
from queue_manager.errors import JobError
from queue_manager.lifeline import without_key
from queue_manager.log_lines import about_run

from ..broker.runs.run import Run
from ..turn.answer import log_failure
from .child_output import end_group
from .gate import Gate
from .runner import (
    STOP_S,
    Runner,
    RunnerState,
    how_it_ended,
    signal_group,
    start_process,
)

log = logging.getLogger("quartermaster.master")

DEATHS = 5
STARTING = 4
"""How many runners start at a time. A restarted master may have a thousand to start."""

START_S = 10.0
"""How long the next runner waits for one that does not take up its run."""

LOST_S = 5.0
"""How long a runner may live after its session has ended."""

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_LONGEST_WAIT_S = 30.0
_LOOK_S = 0.05


async def _ours(_: Run) -> Python:
    return OWN


class Runners:
    """Keeps a runner for every run that needs one.

    Args:
        environment: what a runner gets beside the master's own environment (address and key).
        idle: by run, how often its runner came to the point where it only waits for outcomes. A
            death after that is progress, and not the job's fault.
        keys_told: the keys that are made of the authkey (`handshake.told`), or empty.
        python_of: finds what the runner of a run runs with. It raises JobError where there is no
            environment for it, which is no death.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        idle: Mapping[int, int],
        keys_told: str = "",
        python_of: Callable[[Run], Awaitable[Python]] = _ours,
    ) -> None:
        self._python_of = python_of
        # The key goes through the runner's stdin: a job must not find it in the environment.
        self._environment = without_key({**os.environ, **environment})
        authkey = environment.get("QUEUE_AUTHKEY", "").encode("utf-8", "surrogateescape")
        self._secret = keys_told.encode() + b"\n" + authkey
        self._idle = idle
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._ready: asyncio.Task[asyncio.subprocess.Process] | None = None
        self._gate = Gate(STARTING)
        self.all: dict[int, Runner] = {}
        self.deaths = 0
        """How many processes of runners have ended before their run."""
        self.on_finished: list[Callable[[Run], None]] = []
        self.on_stalled: list[Callable[[Run, str], None]] = []

    def start(self, run: Run, *, urgent: bool = True) -> None:
        """Keep a runner for this run until it has ended well. A stalled runner tries again.

        A run that clients feed has no runner, and one that waits for others has none yet.
        urgent: it comes before those that go on after a restart of the master.
        """
        if run.pending or not run.has_runner:
            return
        present = self.all.get(run.id)
        if present is not None and not (present.stalled or present.over):
            if present.state is RunnerState.KEPT:
                present.state = RunnerState.ONCE_MORE
            return
        runner = self.all[run.id] = Runner(run, urgent=urgent)
        self._begin(self._keep(runner))

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)

    def prepare(self) -> None:
        """Start a process for a run that is about to begin: it loads its modules meanwhile."""
        if self._ready is None and not self._stopping:
            start = start_process(self._environment)
            self._ready = asyncio.get_running_loop().create_task(start)

    def dismiss(self) -> None:
        """No run has begun: the process that was prepared for it ends."""
        ready, self._ready = self._ready, None
        if ready is not None:
            self._begin(_ended(ready))

    def lives(self, run: Run) -> bool:
        """Whether a runner still has to do with a run."""
        runner = self.all.get(run.id)
        return runner is not None and runner.lives

    def opened(self, number: int, pid: int) -> None:
        """A runner has taken up its run. It has started, so the next one may start."""
        runner = self._by_process(number, pid)
        if runner is not None and runner.ticket is not None:
            runner.ticket.leave()

    def lost(self, number: int, pid: int) -> None:
        """The session of a runner has ended. The runner is of no use without it."""
        runner = self._by_process(number, pid)
        if runner is not None and runner.process is not None:
            asyncio.get_running_loop().call_later(LOST_S, runner.kill, runner.process)

    def _by_process(self, number: int, pid: int) -> Runner | None:
        runner = self.all.get(number)
        if runner is None or runner.process is None or runner.process.pid != pid:
            return None
        return runner

    # --- what ends a runner ---

    async def end(self, run: Run) -> None:
        """End the runner of a run that is to go, if there is one, and wait until it has ended."""
        runner = self.all.get(run.id)
        if runner is None:
            return
        self._stop_one(runner)
        deadline = time.monotonic() + 2 * STOP_S
        while runner.process is not None and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_S)

    def run_ended(self, run: Run) -> None:
        """All tasks of a run have ended. Its runner may have ended before them.

        The runner of a cancelled run is stopped, since it may be in the midst of `tasks()`. A new
        one does what `finish()` needs.
        """
        runner = self.all.get(run.id)
        if run.state == "cancelled" and run.options.finish and uncollected(run):
            self._replace(run, runner)
        elif runner is not None:
            if run.state == "cancelled":
                self._stop_one(runner)
            self._finish(runner)
        elif run.options.feeder != "runner":
            self._tell_finished(run)

    def _replace(self, run: Run, runner: Runner | None) -> None:
        if runner is None or runner.stalled or runner.over:
            self.start(run)
        elif runner.state is not RunnerState.STOPPING:
            runner.state = RunnerState.REPLACED
            runner.end()

    def drop(self, run: Run) -> None:
        """A run was forgotten or pruned: end its runner, if that still collects."""
        self.gone(run.id)

    def gone(self, number: int) -> None:
        """As `drop`, by the number of the run."""
        runner = self.all.pop(number, None)
        if runner is not None:
            self._stop_one(runner)

    def _stop_one(self, runner: Runner) -> None:
        if runner.stalled or runner.over:
            runner.state = RunnerState.ENDED
        else:
            runner.state = RunnerState.STOPPING
            runner.end()

    async def stop(self, patience_s: float = STOP_S) -> None:
        """End all runners. What they had not handed in, they make again after the next start.

        patience_s: how long they have after SIGTERM.
        """
        self._stopping = True
        self.dismiss()
        # Only processes that live: the number of an ended one may be another process's by now.
        processes = [runner.process for runner in self.all.values()]
        alive = [p.pid for p in processes if p is not None and p.returncode is None]
        for pid in alive:
            signal_group(pid, signal.SIGTERM)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)
        for pid in alive:
            signal_group(pid, signal.SIGKILL)

    # --- one runner, from process to process ---

    async def _keep(self, runner: Runner) -> None:
        pause_s, wait_s = _FIRST_PAUSE_S, _FIRST_PAUSE_S
        while self._wants(runner):
            runner.state = RunnerState.KEPT
            code = await self._try(runner)
            if not self._wants(runner):
                break
            if runner.state is RunnerState.REPLACED:
                continue
            if code is None:  # the system could not start it: that is no death
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
                continue
            wait_s = _FIRST_PAUSE_S
            if code == 0 and self._ended_well(runner):
                continue
            if self._has_progressed(runner):
                runner.deaths, pause_s = 0, _FIRST_PAUSE_S
            runner.deaths += 1
            self.deaths += 1
            run = runner.run
            what = run.id, run.job, how_it_ended(code)
            log.warning("the runner of run %d (%s) %s", *what, extra=about_run(run))
            if runner.deaths >= DEATHS:
                self._stall(runner, code)
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        if runner.state is RunnerState.STOPPING:
            runner.state = RunnerState.ENDED
        self._finish(runner)

    def _wants(self, runner: Runner) -> bool:
        """Whether another process of the runner may start."""
        return not (self._stopping or runner.over or runner.state is RunnerState.STOPPING)

    def _ended_well(self, runner: Runner) -> bool:
        """Whether exit code 0 is no death: another process is wanted, or the run is through."""
        run = runner.run
        if runner.state is RunnerState.ONCE_MORE and (run.active or uncollected(run)):
            return True
        if is_through(run):
            runner.state = RunnerState.ENDED
        return runner.over

    def _has_progressed(self, runner: Runner) -> bool:
        """Whether its run has come further since its last death."""
        run, before = runner.run, runner.progress
        idle = self._idle.get(run.id, 0)
        runner.progress = (run.tasks, run.collect_cursor, idle)
        return runner.progress != before

    async def _try(self, runner: Runner) -> int | None:
        """One process from start to end. Returns its exit code; None when it could not start."""
        runner.waits_since = time.monotonic()
        ticket = runner.ticket = await self._gate.enter(urgent=runner.urgent)
        runner.waits_since = None
        asyncio.get_running_loop().call_later(START_S, ticket.leave)
        try:
            return await self._live(runner) if self._wants(runner) else None
        except (OSError, subprocess.SubprocessError, JobError) as error:  # too many processes, say
            trouble = f"its runner can't be started ({error}): it is tried again by itself"
            if trouble != runner.trouble:
                runner.trouble = trouble
                run = runner.run
                log.error("run %d (%s): %s", run.id, run.job, trouble, extra=about_run(run))
            return None
        finally:
            ticket.leave()

    async def _live(self, runner: Runner) -> int:
        python = await self._python_of(runner.run)
        if python.folder:
            self.dismiss()
            return await runner.live(self._environment, self._secret, python=python)
        ready, self._ready = self._ready, None
        process = await ready if ready is not None else None
        if process is not None and process.returncode is not None:
            process = None  # it was killed meanwhile
        return await runner.live(self._environment, self._secret, process)

    def _finish(self, runner: Runner) -> None:
        present = self.all.get(runner.run.id) is runner  # otherwise its run was forgotten
        if present and runner.over and not runner.run.active:
            del self.all[runner.run.id]  # nothing stays of an ended run
            self._tell_finished(runner.run)

    def _tell_finished(self, run: Run) -> None:
        for listener in self.on_finished:
            listener(run)

    def _stall(self, runner: Runner, code: int) -> None:
        run = runner.run
        tail = runner.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        runner.state = RunnerState.STALLED
        runner.why_stalled = f"its runner {how_it_ended(code)}, {DEATHS} times without progress" + (
            f": {tail[0]}" if tail else ""
        )
        remedy = runner.remedy()
        what = run.id, run.job, runner.why_stalled, remedy
        log.error("run %d (%s) is stalled: %s; %s", *what, extra=about_run(run))
        for listener in self.on_stalled:
            listener(run, runner.why_stalled)


async def _ended(ready: asyncio.Task[asyncio.subprocess.Process]) -> None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # it could not be started
        process = await ready
        end_group(process)
        await process.wait()


def is_through(run: Run) -> bool:
    """Whether a run needs no runner any more: it gave all its tasks, and said that it is done."""
    if run.active:
        return run.exhausted and run.collect_cursor.closed
    return not uncollected(run)


def uncollected(run: Run) -> bool:
    """Whether `collect()` has not been given all that there is, or `finish()` has not returned.

    Without a runner there is neither.
    """
    if run.state == "pruned" or not run.has_runner:
        return False
    if run.options.finish:
        return not run.collect_cursor.closed
    return run.state != "cancelled" and run.collect_cursor.number < run.last_seq
